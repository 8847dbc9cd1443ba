"""`run` on a terminal, under a shell with job control: Ctrl-Z, `fg`, Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import shlex
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.supervise.run_replica import (
    CHILD,
    FAST,
    MARK,
    PATIENCE,
    Replica,
    eventually,
    marked,
)

from conftest import RunPlace
from kubernetes_leader_election.testing.belief_log import (
    ReadLog,
    count_overlaps,
    read_log,
)

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]


class Shell:
    """A shell on a terminal of its own, in which one `run` is started."""

    def __init__(self, log: Path) -> None:
        self.log_path = log
        self.mark = uuid.uuid4().hex
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            for name in ("KUBERNETES_SERVICE_HOST", "KUBECONFIG"):
                os.environ.pop(name, None)
            os.environ[MARK] = self.mark
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])  # noqa: S606 - a shell that stops and continues jobs is what is tested

    def run(self, *options: str) -> None:
        """Start the wrapper."""
        start = [sys.executable, "-m", "kubernetes_leader_election", "run", *options]
        child = [sys.executable, "-S", str(CHILD), str(self.log_path)]
        self.type(shlex.join([*start, "--", *child]) + "\n")

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._terminal, text.encode())

    def read(self, words: str) -> None:
        """Wait until something is on the screen."""
        text, until = "", time.monotonic() + PATIENCE
        while words not in text:
            assert time.monotonic() < until, f"{words!r} did not come:\n{text}"
            if select.select([self._terminal], [], [], 0.1)[0]:
                text += os.read(self._terminal, 4096).decode(errors="replace")

    def assert_prompt(self) -> None:
        """The shell has the terminal, and answers."""
        self.type("echo a$((6*7))b\n")
        self.read("a42b")

    @property
    def log(self) -> ReadLog:
        """What the command noted so far."""
        return read_log(self.log_path)

    def commands(self) -> list[int]:
        """Give the process id of each command that was started, in order."""
        return [int(x.detail) for x in self.log.lines if x.what == "began"]

    def works_after(self, instant: float) -> bool:
        """Tell whether the command has worked since."""
        return any(x > instant for x in self.log.instants("work"))

    def close(self) -> None:
        """End the shell and all that was started in it."""
        os.close(self._terminal)
        for pid in [self.pid, *marked(self.mark)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def state(pid: int) -> str:
    """Give the state of a process as ps has it; nothing for one that is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat[stat.rindex(")") + 2]


def parent(pid: int) -> int:
    """Give the parent of a process."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat[stat.rindex(")") + 2 :].split()[1])


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Lend a shell whose command logs to logs/a.log."""
    (tmp_path / "logs").mkdir()
    started = Shell(tmp_path / "logs" / "a.log")
    yield started
    started.close()


def _stop(shell: Shell) -> None:
    """Press Ctrl-Z, and see that wrapper and command have stopped."""
    eventually(lambda: shell.works_after(0.0), "the command works")
    command = shell.commands()[-1]
    wrapper = parent(parent(parent(command)))  # watchdog and backstop stand between
    shell.type("\x1a")
    shell.read("Stopped")
    shell.assert_prompt()
    assert state(wrapper) == "T"
    assert state(command) in ("T", "", "Z")  # gone, where the deadline came meanwhile


def _end(shell: Shell) -> None:
    """Press Ctrl-C, which ends the command and with it the wrapper."""
    shell.type("\x03")
    shell.type("echo code=$?\n")
    shell.read("code=0")


def _go_on(shell: Shell) -> None:
    _stop(shell)
    before = time.monotonic()
    shell.type("fg\n")
    eventually(lambda: shell.works_after(before), "the command goes on")
    assert len(shell.commands()) == 1
    _end(shell)


def test_run_obeys_ctrl_z_off_cluster(shell: Shell) -> None:
    """Ctrl-Z stops wrapper and command, fg goes on with both."""
    shell.run("x")
    _go_on(shell)


def test_run_goes_on_within_its_term_after_ctrl_z(
    shell: Shell, run_place: RunPlace
) -> None:
    """With a Lease of 100 s, Ctrl-Z and fg keep the same command and its term."""
    shell.run(
        "run-test", f"--kubeconfig={run_place.kubeconfig()}", "--lease-duration-sec=100"
    )
    _go_on(shell)


def test_run_that_stays_stopped_is_ended_at_its_deadline(
    shell: Shell, run_place: RunPlace, tmp_path: Path
) -> None:
    """G2, fault 02: Ctrl-Z past the deadline ends the command; fg contends again."""
    config = run_place.kubeconfig()
    shell.run("run-test", "--identity=a", f"--kubeconfig={config}", *FAST)
    eventually(lambda: shell.works_after(0.0), "the command works")
    rival = Replica(tmp_path / "logs", "b", kubeconfig=config)
    try:
        _stop(shell)
        (command,) = shell.commands()
        rival.wait_for_work()
        assert state(command) in ("", "Z")
        shell.type("fg\n")
        rival.signal(signal.SIGTERM)
        assert rival.wait() == 0
        eventually(lambda: len(shell.commands()) == 2, "it leads again")
        eventually(
            lambda: shell.works_after(rival.log.instants("work")[-1]), "it works"
        )
        _end(shell)
    finally:
        rival.close()
    logs = {"a": shell.log, "b": rival.log}
    overlaps, total = count_overlaps(logs, "work")
    assert (overlaps, total > 0) == (0, True)
