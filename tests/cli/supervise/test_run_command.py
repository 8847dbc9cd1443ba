"""``run`` with real processes and without a cluster: the command starts at once."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.supervise.run_replica import PATIENCE, Replica, eventually

pytestmark = pytest.mark.slow

UNSHARE = shutil.which("unshare")

Start = Callable[..., Replica]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start wrappers; end all that is left of them after the test."""
    started: list[Replica] = []

    def begin(*options: str, **more: object) -> Replica:
        replica = Replica(tmp_path, f"r{len(started)}", *options, **more)
        started.append(replica)
        return replica

    yield begin
    for replica in started:
        replica.close()


@pytest.mark.parametrize(
    ("script", "code", "ended"),
    [
        ("exit 0", 0, "exited with 0"),
        ("exit 7", 7, "exited with 7"),
        ("kill -KILL $$", 137, "was ended by SIGKILL"),
        ("kill -TERM $$", 143, "was ended by SIGTERM"),
    ],
    ids=["success", "exit code 7", "killed", "ended by TERM"],
)
def test_run_exits_with_the_code_of_its_command(start, script, code, ended):
    """The exit code is the command's, 128 + n for a signal; the log says it, too."""
    replica = start(command=["sh", "-c", script])
    assert replica.wait() == code
    assert "leadership is assumed" in replica.stderr
    assert f"gave up leadership: its work ended (the command {ended})" in replica.stderr
    replica.assert_nothing_is_left()


def test_run_passes_stdin_and_stdout_through(start):
    """The command reads and writes the wrapper's own descriptors."""
    replica = start(
        command=["tr", "a-z", "A-Z"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    out, _ = replica.process.communicate(b"hello\n", timeout=PATIENCE)
    assert out == b"HELLO\n"
    assert replica.process.returncode == 0


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (lambda folder: "no-such-program", 127, "not found"),
        (lambda folder: "", 127, "not found"),
        (str, 126, "Is a directory"),
        (lambda folder: _file(folder, "echo hi\n", 0o755), 126, "#! line"),
        (lambda folder: _file(folder, "#!/bin/sh\n", 0o644), 126, "Permission denied"),
        (lambda folder: _file(folder, "#!/no/sh\n", 0o755), 127, "interpreter"),
        (lambda folder: _file(folder, "#!/tmp\n", 0o755), 126, "Permission denied"),
        (lambda folder: str(folder / ("x" * 300)), 126, "File name too long"),
    ],
    ids=[
        "not found",
        "empty",
        "a folder",
        "no program",
        "no permission",
        "no interpreter",
        "an interpreter that is a folder",
        "a name that is too long",
    ],
)
def test_run_says_why_a_command_cannot_be_run(start, tmp_path, make, code, words):
    """126 and 127 as shells give them, with one clear line and no traceback."""
    replica = start("--quiet", command=[make(tmp_path)])
    assert replica.wait() == code
    *before, line = replica.stderr.splitlines()
    # What is not seen before the elector starts comes after its warning.
    assert all("leadership is assumed" in warning for warning in before)
    assert words in line


def test_run_says_that_a_command_is_being_written(start, tmp_path):
    """Text file busy: the watchdog's own error is told, as a shell does (126)."""
    program = tmp_path / "program"
    shutil.copy(shutil.which("true"), program)
    with program.open("ab"):
        replica = start("--quiet", command=[str(program)])
        assert replica.wait() == 126
    assert "Text file busy" in replica.stderr


def _file(folder: Path, text: str, mode: int) -> str:
    path = folder / "program"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_run_passes_signals_on_in_their_order(start):
    """HUP, USR1, USR2, WINCH and CONT reach the command; TERM ends it in good order."""
    replica = start()
    replica.wait_for_work()
    sent = ["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGCONT", "SIGTERM"]
    for number, name in enumerate(sent, 1):
        replica.signal(signal.Signals[name])
        if name != "SIGTERM":
            eventually(lambda count=number: len(replica.noted("signal")) == count, name)
    assert replica.wait() == 0
    # CONT follows TERM, for a command that is stopped.
    assert replica.noted("signal")[:6] == sent
    replica.assert_nothing_is_left()


def test_run_passes_signals_to_the_whole_group(start, tmp_path):
    """What the command has started hears of them, too, as it would on a terminal."""
    ready, heard = tmp_path / "ready", tmp_path / "heard"
    child = f"trap 'touch {heard}' USR1; touch {ready}; while :; do sleep 0.02; done"
    replica = start(command=["sh", "-c", f"trap : USR1; ({child}) & wait; wait"])
    eventually(ready.exists, "the command's child is there")
    replica.signal(signal.SIGUSR1)
    eventually(heard.exists, "the command's child hears of the signal")
    replica.signal(signal.SIGTERM)
    assert replica.wait() == 143
    replica.assert_nothing_is_left()


def test_run_ends_a_command_that_is_stopped(start):
    """A stopped process takes its TERM only when it goes on: it is woken for it."""
    replica = start("--grace=100")
    replica.wait_for_work()
    os.kill(int(replica.noted("began")[0]), signal.SIGSTOP)
    eventually(lambda: not replica.works(), "the command is stopped")
    replica.signal(signal.SIGTERM)
    assert replica.wait() == 0
    assert replica.noted("signal")[0] == "SIGTERM"


def test_run_stops_and_continues_its_command(start):
    """TSTP stops the command and not the wrapper; CONT lets it go on."""
    replica = start()
    replica.wait_for_work()
    replica.signal(signal.SIGTSTP)
    eventually(lambda: not replica.works(), "the command is stopped")
    replica.signal(signal.SIGCONT)
    replica.wait_for_work()
    replica.signal(signal.SIGTERM)
    assert replica.wait() == 0


def test_run_kills_after_the_grace_period(start):
    """A command that ignores TERM is killed when --grace-sec is over, not before."""
    replica = start("--grace-sec=0.7", child=("--ignore-term",))
    replica.wait_for_work()
    before = replica.signal(signal.SIGTERM)
    assert replica.wait() == 137
    assert time.monotonic() - before >= 0.7
    replica.assert_nothing_is_left()


@pytest.mark.parametrize("grace", ["--grace=100", "--grace-sec=none"])
def test_run_kills_at_a_second_signal(start, grace):
    """A second signal does not wait for the grace, also for one without an end."""
    replica = start(grace, child=("--ignore-term",))
    replica.wait_for_work()
    replica.signal(signal.SIGTERM)
    eventually(lambda: "SIGTERM" in replica.noted("signal"), "TERM was passed on")
    replica.signal(signal.SIGINT)
    assert replica.wait() == 137
    replica.assert_nothing_is_left()


@pytest.mark.parametrize("how", ["after the command", "after a signal"])
def test_run_ends_grandchildren_that_forked_twice(start, how):
    """No stray process: who left group and session is found and ended, too."""
    last = ("--last=0.5",) if how == "after the command" else ()
    replica = start("--stop-budget-sec=1", child=("--grandchild", *last))
    eventually(lambda: replica.noted("grandchild"), "there is a grandchild")
    if how == "after a signal":
        replica.signal(signal.SIGTERM)
    assert replica.wait() == 0
    replica.assert_nothing_is_left()


def test_run_leaves_ignored_signals_ignored(start):
    """Under nohup, HUP reaches neither the wrapper nor the command."""
    replica = start(prefix=("nohup",), child=("--last=1.0",))
    eventually(lambda: replica.noted("began"), "the command is there")
    replica.signal(signal.SIGHUP)
    assert replica.wait() == 0
    assert replica.noted("signal") == []


@pytest.mark.parametrize("prefix", [(), ("nohup",)], ids=["caught", "ignored"])
def test_run_starts_its_command_with_the_signals_that_it_had(start, tmp_path, prefix):
    """What was ignored is so for the command; what `run` itself caught is not."""
    found = tmp_path / "found"
    script = (
        "import signal; "
        "ignored = {s for s in signal.valid_signals() "
        "if signal.getsignal(s) == signal.SIG_IGN}; "
        f"open({str(found)!r}, 'w').write(str(signal.SIGHUP in ignored)); "
        "assert not ignored & {signal.SIGTERM, signal.SIGTTOU, signal.SIGUSR1}"
    )
    command = [sys.executable, "-S", "-c", script]
    replica = start(prefix=prefix, command=command)
    assert replica.wait() == 0
    assert found.read_text() == str(bool(prefix))


def test_run_restarts_with_a_growing_delay(start):
    """--restart=on-failure starts again what failed, 1 s later, then 2 s."""
    replica = start(
        "--restart=on-failure", child=("--exit-code=3", "--last=0.05"), stdout=-3
    )
    eventually(lambda: len(replica.noted("began")) >= 3, "two restarts")
    first, second, third = [x.instant for x in replica.log.lines if x.what == "began"][
        :3
    ]
    assert second - first >= 1.0
    assert third - second >= 2.0
    replica.signal(signal.SIGTERM)
    assert replica.wait() in (143, 3)
    assert "its work ended (the command exited with 3)" in replica.stderr
    assert "stepped down" not in replica.stderr


def test_run_ends_its_command_when_it_is_killed_itself(start, tmp_path):
    """After kill -9 of the wrapper the watchdog ends all, and removes the term file."""
    replica = start("--grace=0.5", child=("--grandchild", "--ignore-term"))
    eventually(lambda: replica.noted("grandchild"), "there is a grandchild")
    replica.signal(signal.SIGKILL)
    replica.process.wait()
    eventually(lambda: replica.living() == [], "all are gone")
    assert list(tmp_path.glob("leader-election-*")) == []


def test_run_ends_its_command_when_the_watchdog_is_killed(start):
    """After kill -9 of the watchdog nothing is left, and the wrapper says why."""
    replica = start(child=("--grandchild",))
    eventually(lambda: replica.noted("grandchild"), "there is a grandchild")
    os.kill(replica.watchdog(), signal.SIGKILL)
    assert replica.wait() == 137
    replica.assert_nothing_is_left()
    assert "watchdog" in replica.stderr
    assert "its work ended (the watchdog was killed)" in replica.stderr


def test_run_frozen_with_its_watchdog_killed_leaves_no_command(start):
    """G2, fault 02: the kernel ends the command where neither can."""
    replica = start()
    replica.wait_for_work()
    (command,) = (int(pid) for pid in replica.noted("began"))
    replica.signal(signal.SIGSTOP)
    os.kill(replica.watchdog(), signal.SIGKILL)
    eventually(lambda: command not in replica.living(), "the command is gone")
    replica.signal(signal.SIGCONT)
    assert replica.wait() == 137
    replica.assert_nothing_is_left()


def test_run_lends_the_terminal_to_its_command(tmp_path):
    """On a terminal Ctrl-C goes to the command alone, which reads from it, too."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.pop("KUBERNETES_SERVICE_HOST", None)
        script = "trap 'echo caught; exit 9' INT; read line; echo got $line; read x"
        arguments = [sys.executable, "-m", "kubernetes_leader_election", "run"]
        os.execv(sys.executable, [*arguments, "x", "--", "sh", "-c", script])  # noqa: S606 - what a terminal's shell does
    try:
        os.write(terminal, b"words\n")
        assert "got words" in _read_until(terminal, "got words")
        os.write(terminal, b"\x03")
        assert "caught" in _read_until(terminal, "caught")
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 9
    finally:
        os.close(terminal)


def _read_until(terminal: int, words: str) -> str:
    text, until = "", time.monotonic() + PATIENCE
    while words not in text and time.monotonic() < until:
        if select.select([terminal], [], [], 0.1)[0]:
            text += os.read(terminal, 4096).decode()
    return text


def test_run_survives_closed_descriptors_and_passes_them_on(start, tmp_path):
    """Closed 0, 1 and 2 are no numbers for sockets; the command gets them closed, too."""
    out = tmp_path / "out"
    script = f"for fd in 0 1 2; do test -e /proc/$$/fd/$fd; echo $? >> {out}; done"
    prefix = ("sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh")
    replica = start(prefix=prefix, command=["sh", "-c", script])
    assert replica.wait() == 0
    assert out.read_text().split() == ["1", "1", "1"]


def test_run_ends_at_a_sigterm_before_it_is_ready(start):
    """Whenever SIGTERM comes, nothing is left, and it is 143 or the command's own end."""
    for pause in (0.0, 0.03, 0.06, 0.1, 0.15, 0.2):
        replica = start(command=["sleep", "100"])
        # SIGTERM at another instant of the start each time: that is what is tested.
        time.sleep(pause)
        replica.signal(signal.SIGTERM)
        assert replica.wait() in (143, -signal.SIGTERM)
        replica.assert_nothing_is_left()


# Only in a process namespace of its own is a test process 1, and the kernel gives one
# to root alone.
@pytest.mark.skipif(
    UNSHARE is None or os.geteuid() != 0,
    reason="a process namespace needs root and `unshare`",
)
def test_run_ends_at_an_early_sigterm_as_process_1():
    """Where the kernel drops signals without a handler, the first line sets one."""
    program = (
        "import os, signal, sys, runpy\n"
        "class Early:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'kubernetes_leader_election.cli.main':\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.meta_path.insert(0, Early())\n"
        "sys.argv[1:] = ['run', 'x', '--', 'sleep', '100']\n"
        "runpy.run_module('kubernetes_leader_election', run_name='__main__')\n"
    )
    done = subprocess.run(
        [str(UNSHARE), "--pid", "--fork", sys.executable, "-c", program],
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 143


def test_run_keeps_its_exit_code_when_a_signal_comes_late(start, tmp_path):
    """A SIGTERM while the wrapper ends gives the command's code, not an end by signal."""
    over = tmp_path / "over"
    script = f"trap '' TERM; echo $$ > {over}; exit 9"
    replica = start(command=["sh", "-c", script])
    command = eventually(lambda: over.exists() and over.read_text(), "it is started")
    with contextlib.suppress(ProcessLookupError):  # it has ended
        # Before its end, the second of these signals would kill it.
        ended = os.pidfd_open(int(command))
        assert select.select([ended], [], [], PATIENCE)[0]
        os.close(ended)
    while replica.process.poll() is None:
        replica.signal(signal.SIGTERM)
        # One of them is to meet the very end; without a pause the wrapper would only
        # take signals, and never come to it.
        time.sleep(0.001)
    assert replica.wait() == 9
