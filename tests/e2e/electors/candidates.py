"""
Candidates of every kind, as processes: started, killed, frozen, and read.

Each kind writes down when it did what only a leader may do. `log` gives that in one
form for all kinds, so that the logs can be laid side by side.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from controlplane.processes import Guard, wait_until

from kubernetes_leader_election.testing.belief_log import Line, ReadLog

__all__ = [
    "CLIENT_GO_RHYTHM",
    "PROGRAMS",
    "QUICK",
    "Candidate",
    "ClientGo",
    "NodePackage",
    "Official",
    "Ours",
    "Rhythm",
    "Setting",
]

PROGRAMS = Path(__file__).resolve().parent / "programs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """The times of an elector, in seconds."""

    duration: float
    interval: float
    deadline: float
    timeout: float
    stop_budget: float = 0.5


QUICK = Rhythm(duration=3, interval=0.5, deadline=2, timeout=0.5)
CLIENT_GO_RHYTHM = Rhythm(duration=15, interval=2, deadline=10, timeout=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the candidates of one election share."""

    kubeconfig: Path
    namespace: str
    lease: str = "election"
    rhythm: Rhythm = QUICK
    before: Sequence[str] = ()
    """Put before the command: another network namespace."""
    work_period: float = 0.005
    """Seconds between two pieces of work, and two lines in the log."""
    notes_renewals: bool = True
    """Whether candidates of this package listen to their renewals, which has its cost."""


@dataclass(slots=True)
class _Reader:
    """Reads a growing file, whole lines only."""

    path: Path
    at: int = 0

    def lines(self) -> list[str]:
        """Give the lines that came since the last call."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self.at)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self.at += len(whole)
        return whole.decode().splitlines()


@dataclass(slots=True)
class Candidate(ABC):
    """
    One process that takes part.

    Args:
        name: its identity, and the name of its files.
        folder: for its output and its log.
        guard: kills it when the test run is killed.

    """

    name: str
    setting: Setting
    folder: Path
    guard: Guard
    _process: subprocess.Popen[bytes] | None = None
    _readers: dict[str, _Reader] = field(default_factory=dict)
    _logs: dict[str, ReadLog] = field(default_factory=dict)

    kind: ClassVar[str]

    @property
    def log_files(self) -> dict[str, Path]:
        """Return the files with what it did when, by identity."""
        return {self.name: self.folder / f"{self.name}.out"}

    @property
    def errors(self) -> Path:
        """Return the file with what it complained about."""
        return self.folder / f"{self.name}.err"

    @abstractmethod
    def command(self) -> list[str]:
        """Return program and arguments."""

    def environment(self) -> Mapping[str, str]:
        """Return variables beside the usual ones."""
        return {}

    def start(self) -> None:
        """Start the process."""
        kept = ("PATH", "HOME", "LANG", "TMPDIR")
        usual = {key: os.environ[key] for key in kept if key in os.environ}
        with (
            (self.folder / f"{self.name}.out").open("ab") as output,
            self.errors.open("ab") as errors,
        ):
            self._process = subprocess.Popen(
                [*self.setting.before, *self.command()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
                env={**usual, **self.environment()},
            )
        self.guard.watch(self._process.pid)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """Return the process."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process

    @property
    def alive(self) -> bool:
        """Say whether it runs."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Kill it (SIGKILL) and wait until it is gone."""
        if self.alive:
            self.process.kill()
            self.process.wait(10)

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self, *, within: float = 30) -> int:
        """Send SIGTERM, wait until it has ended, give its exit code."""
        self.ask_to_stop()
        return self.process.wait(within)

    def freeze(self) -> None:
        """Stop it in its tracks."""
        self.process.send_signal(signal.SIGSTOP)
        stat = Path(f"/proc/{self.process.pid}/task")

        def still() -> bool:
            return all(
                (task / "stat").read_text().rpartition(")")[2].split()[0] == "T"
                for task in stat.iterdir()
            )

        wait_until(still, within=10, what=f"{self.name} frozen")

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def logs(self) -> dict[str, ReadLog]:
        """Return all it has written down so far, by identity."""
        for name, path in self.log_files.items():
            reader = self._readers.setdefault(name, _Reader(path))
            log = self._logs.setdefault(name, ReadLog())
            for text in reader.lines():
                log.lines.extend(self._parsed(text))
        return self._logs

    def log(self) -> ReadLog:
        """Return all it has written down so far, in order of time."""
        logs = self.logs()
        if len(logs) == 1:
            return next(iter(logs.values()))
        lines = [line for log in logs.values() for line in log.lines]
        return ReadLog(sorted(lines, key=lambda line: line.instant))

    def happened(self, what: str) -> list[Line]:
        """Return what it noted under a name."""
        return [line for line in self.log().lines if line.what == what]

    def _parsed(self, text: str) -> list[Line]:
        """Read a line of JSON: what rivals print; for them work and belief are one."""
        event = json.loads(text)
        instant = event["monotonic"] / 1e9
        if event["event"] == "work":
            return [Line(instant, what, "yes") for what in ("belief", "work")]
        if event["event"] in {"stopped-leading", "stopped-working"}:
            return [Line(instant, what, "no") for what in ("belief", "work")]
        if event["event"] == "new-leader":
            return [Line(instant, "new-leader", event["identity"])]
        return [Line(instant, event["event"], "-")]


@dataclass(slots=True)
class Ours(Candidate):
    """A program with an elector of this package."""

    front: str = "threads"
    electors: int = 1
    python: Path = Path(sys.executable)
    """The interpreter, whose environment has the package in one version or another."""
    programs: Path = PROGRAMS
    """Programs that know the names of that version."""

    kind = "this package"

    @property
    def log_files(self) -> dict[str, Path]:
        """Return the logs of its electors' beliefs."""
        names = [f"{self.name}-{k}" for k in range(self.electors)]
        if self.electors == 1:
            names = [self.name]
        return {name: self.folder / f"{name}.log" for name in names}

    def command(self) -> list[str]:
        """Return program and arguments."""
        rhythm = self.setting.rhythm
        command = [
            *(str(self.python), str(self.programs / "worker.py")),
            *("--front", self.front),
            *("--kubeconfig", str(self.setting.kubeconfig)),
            *("--namespace", self.setting.namespace, "--lease", self.setting.lease),
            *("--duration", f"{rhythm.duration:g}"),
            *("--interval-ms", f"{rhythm.interval * 1000:g}"),
            *("--deadline", f"{rhythm.deadline:g}", "--timeout", f"{rhythm.timeout:g}"),
            *("--stop-budget", f"{rhythm.stop_budget:g}"),
            *("--work-period", f"{self.setting.work_period:g}"),
        ]
        if not self.setting.notes_renewals:
            command.append("--no-renewals")
        for name, path in self.log_files.items():
            command += ["--identity", name, "--log", str(path)]
        return command

    def _parsed(self, text: str) -> list[Line]:
        instant, what, detail = text.split(" ", 2)
        return [Line(float(instant), what, detail)]


@dataclass(slots=True)
class ClientGo(Candidate):
    """A program with client-go's leader election."""

    program: Path | None = None
    release: bool = True

    kind = "client-go"

    def command(self) -> list[str]:
        """Return program and arguments."""
        rhythm = self.setting.rhythm
        return [
            *(str(self.program), "-kubeconfig", str(self.setting.kubeconfig)),
            *("-namespace", self.setting.namespace, "-lease", self.setting.lease),
            *("-id", self.name, "-work-period", f"{self.setting.work_period:g}s"),
            *("-lease-duration", f"{rhythm.duration:g}s"),
            *("-renew-deadline", f"{rhythm.deadline:g}s"),
            *("-retry-period", f"{rhythm.interval:g}s"),
            f"-release={str(self.release).lower()}",
        ]


@dataclass(slots=True)
class Official(Candidate):
    """A program with the election of the official `kubernetes` package."""

    kind = "official Python package"

    def command(self) -> list[str]:
        """Return program and arguments."""
        rhythm = self.setting.rhythm
        return [
            *(sys.executable, str(PROGRAMS / "official_worker.py")),
            *("--kubeconfig", str(self.setting.kubeconfig), "--identity", self.name),
            *("--namespace", self.setting.namespace, "--lease", self.setting.lease),
            *("--duration", f"{rhythm.duration:g}"),
            *("--deadline", f"{rhythm.deadline:g}"),
            *("--retry", f"{max(1, rhythm.interval):g}"),
            *("--work-period", f"{self.setting.work_period:g}"),
        ]


@dataclass(slots=True)
class NodePackage(Candidate):
    """A program with the Node package."""

    home: Path | None = None

    kind = "Node package"

    def command(self) -> list[str]:
        """Return program and arguments."""
        rhythm = self.setting.rhythm
        return [
            *("node", f"{self.home}/candidate.js"),
            *("--namespace", self.setting.namespace, "--lease", self.setting.lease),
            *("--identity", self.name, "--duration", f"{rhythm.duration:g}"),
            *("--interval-ms", f"{rhythm.interval * 1000:g}"),
        ]

    def environment(self) -> Mapping[str, str]:
        """Return what makes it take part at all."""
        return {
            "KUBECONFIG": str(self.setting.kubeconfig),
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        }
