"""Real processes of ``run`` for tests, here and in the end-to-end tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from kubernetes_leader_election.testing.belief_log import ReadLog, read_log

CHILD = Path(__file__).with_name("run_child.py")
T = TypeVar("T")
MARK = "RUN_TEST_MARK"
PATIENCE = 60.0
"""Seconds that anything may take here; what takes them all is broken."""

FAST = (
    "--renew-interval-ms=300",
    "--lease-duration-sec=3",
    "--request-timeout-sec=0.4",
    "--stop-budget-sec=0.6",
)
"""Renew deadline 1.9 s, KILL at 2.3 s, others start 2.7 s after a renewal."""
STEADY = ("--lease-duration-sec=300", "--request-timeout-sec=5")
"""For who loses nothing on a busy machine: it leads until it is told, and releases then."""


def eventually(check: Callable[[], T], what: str, within: float = PATIENCE) -> T:
    """Wait until something is true, and give it."""
    deadline = time.monotonic() + within
    while not (found := check()):
        assert time.monotonic() < deadline, f"within {within:g} s not: {what}"
        time.sleep(0.01)
    return found


def marked(mark: str) -> list[int]:
    """Give the living processes with a mark in their environment, but for this one."""
    needle = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environ = (entry / "environ").read_bytes()
            stat = (entry / "stat").read_bytes()
        except OSError:
            continue  # it ended meanwhile, or is not ours
        if needle in environ and stat[stat.rindex(b")") + 2 :][:1] not in b"ZX":
            found.append(int(entry.name))
    return found


def _is_guard(pid: int) -> bool:
    """Tell whether it is one; it is called as `run` is until it has its own name."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        name = Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return True  # it has ended
    return name.startswith("leader-") or b"kubernetes_leader_election" in words


class Replica:
    """One wrapper, its command, and what they said."""

    def __init__(
        self,
        folder: Path,
        name: str = "a",
        *options: str,
        kubeconfig: Path | None = None,
        child: tuple[str, ...] = (),
        command: list[str] | None = None,
        prefix: tuple[str, ...] = (),
        lease: str = "run-test",
        **popen: object,
    ) -> None:
        self.name, self.lease = name, lease
        self.mark = uuid.uuid4().hex
        self.log_path = folder / f"{name}.log"
        self.err_path = folder / f"{name}.stderr"
        hidden = ("KUBERNETES_SERVICE_HOST", "KUBECONFIG")
        environ = {k: v for k, v in os.environ.items() if k not in hidden}
        where = () if kubeconfig is None else (f"--kubeconfig={kubeconfig}", *FAST)
        if command is None:
            command = [sys.executable, "-S", str(CHILD), str(self.log_path), *child]
        with self.err_path.open("ab") as stderr:
            self.process = subprocess.Popen(
                [
                    *prefix,
                    sys.executable,
                    "-m",
                    "kubernetes_leader_election",
                    "run",
                    lease,
                    f"--identity={name}",
                    *where,
                    *options,
                    "--",
                    *command,
                ],
                env={**environ, MARK: self.mark, "TMPDIR": str(folder)},
                stderr=stderr,
                **{"stdin": subprocess.DEVNULL, **popen},
            )

    @property
    def log(self) -> ReadLog:
        """What the command noted so far."""
        return read_log(self.log_path)

    @property
    def stderr(self) -> str:
        """What the wrapper said so far."""
        return self.err_path.read_text()

    def noted(self, what: str) -> list[str]:
        """Give the details of all notes of one kind."""
        return [x.detail for x in self.log.lines if x.what == what]

    def works(self) -> bool:
        """Tell whether the command has worked within the last moments."""
        lines = [x for x in self.log.lines if x.what == "work"]
        recent = time.monotonic() - 0.5
        return bool(lines) and lines[-1].detail == "yes" and lines[-1].instant > recent

    def wait_for_work(self) -> None:
        """Wait until the command works."""
        try:
            eventually(self.works, f"{self.name} works")
        except AssertionError as error:
            error.add_note(f"It said:\n{self.stderr}")
            raise

    def signal(self, number: int) -> float:
        """Send a signal to the wrapper; give the instant before."""
        before = time.monotonic()
        self.process.send_signal(number)
        return before

    def wait(self) -> int:
        """Wait for the wrapper's end; give its exit code as Popen gives it."""
        return self.process.wait(PATIENCE)

    def living(self) -> list[int]:
        """Give all living processes of this replica, the wrapper included."""
        return marked(self.mark)

    def assert_nothing_is_left(self) -> None:
        """Nothing that it ran lives now; its guards, which run nothing more, end soon."""
        assert [pid for pid in self.living() if not _is_guard(pid)] == []
        eventually(lambda: self.living() == [], "its guards have ended")

    def catches(self, number: int) -> bool:
        """Tell whether the wrapper has come so far that it handles a signal itself."""
        try:
            text = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return False
        (line,) = [x for x in text.splitlines() if x.startswith("SigCgt:")]
        return bool(int(line.split()[1], 16) >> (number - 1) & 1)

    def find_watchdog(self) -> int | None:
        """Give the process id of the watchdog, if there is one yet."""
        return self._called("leader-watchdog")

    def watchdog(self) -> int:
        """Give the process id of the watchdog."""
        pid = self.find_watchdog()
        assert pid is not None, f"no watchdog among {self.living()}"
        return pid

    def backstop(self) -> int:
        """Give the process id of the backstop."""
        pid = self._called("leader-backstop")
        assert pid is not None, f"no backstop among {self.living()}"
        return pid

    def _called(self, name: str) -> int | None:
        for pid in self.living():
            try:
                if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                    return pid
            except OSError:
                continue  # it ended meanwhile
        return None

    def close(self) -> None:
        """End everything of this replica, by its process ids."""
        for pid in (self.process.pid, *self.living()):
            for number in (signal.SIGKILL, signal.SIGCONT):
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    break
        self.process.wait()
