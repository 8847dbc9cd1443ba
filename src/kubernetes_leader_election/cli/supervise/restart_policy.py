"""What ``run`` does when its command has ended: wait, restart, or exit."""

from __future__ import annotations

import errno
import os
import signal
import stat
from typing import Literal

from kubernetes_leader_election.cli import exit_codes

Restart = Literal["never", "on-failure", "always"]
OnLoss = Literal["recontend", "exit"]


def restarts(policy: Restart, code: int) -> bool:
    """Return whether a command that ended by itself is started again."""
    return policy == "always" or (policy == "on-failure" and code != 0)


def code_of(status: int) -> int:
    """Turn a wait status into an exit code, as shells do: 128 + n for signal n."""
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def describe(status: int) -> str:
    """Say how a command ended."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            return f"was ended by {signal.Signals(number).name}"
        except ValueError:
            return f"was ended by signal {number}"
    return f"exited with {os.WEXITSTATUS(status)}"


def start_failure(command: str, number: int) -> tuple[int, str]:
    """Return exit code and message for a command that could not be executed."""
    if number in (errno.ENOENT, errno.ENOTDIR):
        return exit_codes.NOT_FOUND, (
            f"{command}: not found, or the interpreter that its first line names is "
            "not. Check the spelling and PATH."
        )
    if number == errno.ENOEXEC:
        return exit_codes.NOT_EXECUTABLE, (
            f"{command}: no program, and no #! line that names its interpreter. Run "
            f"it as `sh {command}`, or add the line."
        )
    return exit_codes.NOT_EXECUTABLE, f"{command}: {os.strerror(number)}."


def find_problem(command: str) -> tuple[int, str] | None:
    """
    Look for a command before any election: exit code and message if it cannot be run.

    Only what shows without running it: not whether its interpreter is there, too.
    """
    if not command:
        return start_failure("''", errno.ENOENT)
    if "/" in command:
        places = [command]
    else:
        path = os.environ.get("PATH", os.defpath)
        places = [os.path.join(x or ".", command) for x in path.split(os.pathsep)]  # noqa: PTH118
    problem = errno.ENOENT
    for target in places:
        found = _what_stands_in_the_way(target)
        if found == 0:
            return None
        # As execvp(3): the first that is there and cannot be run is the reason.
        if problem == errno.ENOENT and found != errno.ENOTDIR:
            problem = found
    return start_failure(command, problem)


def _what_stands_in_the_way(target: str) -> int:
    """Return the number of the error with which a file could not be executed; 0: none."""
    try:
        mode = os.stat(target).st_mode  # noqa: PTH116 - a name, as exec takes it
    except OSError as error:
        # Also a folder that may not be searched, a loop of links, a name too long.
        return error.errno or errno.EACCES
    if stat.S_ISDIR(mode):
        return errno.EISDIR
    if not stat.S_ISREG(mode) or not os.access(target, os.X_OK):
        return errno.EACCES
    return 0
