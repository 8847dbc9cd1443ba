"""
What a command learns of its term: variables at its start, a file kept up to date.

The file is replaced as a whole at each renewal, so whoever reads it sees one term. A
wrapper that is frozen or dead does not replace it: the deadline in it passes, and
``check`` says no.

The deadline is there on each clock of rule 14, and with it what these clocks count
from. Who reads it on another machine, after a reboot or in another time namespace is
told so: there the numbers mean nothing.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from kubernetes_leader_election.cli.supervise.linux import clock_origin, read_clocks
from kubernetes_leader_election.cli.supervise.term_deadline import Deadline
from kubernetes_leader_election.errors import ConfigurationError, NotLeaderError

PREFIX: Final = "LEADER_ELECTION_"
FILE_VARIABLE: Final = f"{PREFIX}TERM_FILE"
TERM_VARIABLE: Final = f"{PREFIX}TERM"
NO_TOKEN: Final = "none"  # noqa: S105 - no secret
"""Instead of a token that should be there: empty, it would look like off-cluster."""
FOLDERS: Final = ("/tmp", "/dev/shm", "/var/tmp")  # noqa: S108 - a fresh folder in them
"""Where the file may go: one of them is writable even on a read-only root."""
VERSION: Final = 2
"""Of the file's format; the first one had no number, and one clock only."""
LARGEST: Final = 1 << 16
"""Bytes of a file that can be one of ours."""
_OVER: Final = Deadline(0.0, 0.0, 0.0, 0.0)
_CLOCKS: Final = (
    "deadline",
    "monotonic_deadline",
    "wall_deadline",
    "wall_ahead_limit",
)
_TEXTS: Final = ("lease", "namespace", "identity", "boot_id", "time_namespace")


@dataclass(frozen=True, slots=True, kw_only=True)
class TermFacts:
    """One term as a command sees it."""

    lease: str
    namespace: str
    identity: str
    token: int | None
    """The fencing token; None off-cluster, or where the versions are not numbers."""
    deadline: Deadline | None
    """Until when leadership is provable; None: no end, off-cluster."""
    renew_deadline: float
    """Seconds that a term lasts at most without a renewal."""
    origin: tuple[str, str]
    """What the clocks of the deadline count from: boot and time namespace."""

    @property
    def assumed(self) -> bool:
        """Whether there is no cluster: then the term has no end, and no token."""
        return self.deadline is None

    def variables(self, path: Path | None) -> dict[str, str]:
        """Return the environment variables for the command."""
        token = "" if self.assumed else NO_TOKEN
        if self.token is not None:
            token = str(self.token)
        deadline = ""
        if self.deadline is not None:
            # Down: a rounded deadline must not be a later one.
            deadline = f"{math.floor(self.deadline.boottime * 1000) / 1000:.3f}"
        return {
            "LEADER_ELECTION_LEASE": self.lease,
            "LEADER_ELECTION_NAMESPACE": self.namespace,
            "LEADER_ELECTION_IDENTITY": self.identity,
            "LEADER_ELECTION_TOKEN": token,
            "LEADER_ELECTION_DEADLINE": deadline,
            TERM_VARIABLE: self.as_text(),
            FILE_VARIABLE: "" if path is None else str(path),
        }

    def remaining(self) -> float:
        """
        Return the seconds that are provably left, on the clock that shows the fewest.

        Raises:
            ConfigurationError: the clocks here are other ones than those of ``run``.

        """
        if self.deadline is None:
            return float("inf")
        if self.is_over:
            return 0.0
        self._compare_origin()
        now = read_clocks()
        most = max(
            self.deadline.boottime - now.boottime,
            self.deadline.monotonic - now.monotonic,
        )
        # A renewal is good for so long, and these clocks never go back.
        if most > self.renew_deadline:
            raise ConfigurationError(
                f"the deadline of the term is {most:.0f} s away, and no renewal is good "
                f"for more than {self.renew_deadline:g} s: it was made for other clocks "
                "than this process has, or changed by hand."
            )
        return self.deadline.left(now)

    def _compare_origin(self) -> None:
        boot, namespace = clock_origin()
        if self.origin[0] != boot:
            raise ConfigurationError(
                "the deadline of the term is by the clocks of another machine, or of "
                "this one before it was booted: it cannot be compared here. Ask on the "
                "machine where `run` runs."
            )
        if self.origin[1] != namespace:
            raise ConfigurationError(
                "the deadline of the term is by the clocks of another time namespace: "
                "it cannot be compared here. Ask in the namespace where `run` runs."
            )

    @property
    def is_over(self) -> bool:
        """Whether ``run`` itself noted the end."""
        return self.deadline is not None and self.deadline.boottime <= 0.0

    def ended(self) -> TermFacts:
        """Return the same term after its end."""
        return replace(self, deadline=_OVER)

    def as_text(self) -> str:
        """Return it as a line of JSON."""
        clocks = (None,) * 4 if self.deadline is None else self.deadline
        facts: dict[str, Any] = {
            "version": VERSION,
            "lease": self.lease,
            "namespace": self.namespace,
            "identity": self.identity,
            "token": self.token,
            **dict(zip(_CLOCKS, clocks, strict=True)),
            "renew_deadline": self.renew_deadline,
            "boot_id": self.origin[0],
            "time_namespace": self.origin[1],
        }
        return json.dumps(facts)


class TermFile:
    """
    Keep the file for one command after the other, in a folder of its own.

    Raises:
        OSError: no folder can be made anywhere.

    """

    def __init__(self) -> None:
        self.folder = _fresh_folder()
        """Of this process alone."""
        self.path = self.folder / "term.json"
        """What the command reads."""

    def write(self, facts: TermFacts) -> None:
        """
        Replace the file as a whole.

        Raises:
            OSError: it cannot be written. A file whose term is over is gone then, if
                it can be removed: a full disk lets files go.

        """
        fresh = self.path.with_suffix(".new")
        try:
            fresh.write_text(facts.as_text() + "\n", encoding="utf-8")
            fresh.replace(self.path)
        except OSError:
            if facts.is_over:
                with contextlib.suppress(OSError):
                    self.path.unlink(missing_ok=True)
            raise

    def remove(self) -> None:
        """Remove the file and its folder."""
        with contextlib.suppress(OSError):
            for path in (self.path, self.path.with_suffix(".new")):
                path.unlink(missing_ok=True)
            self.folder.rmdir()


class TermReport:
    """
    Keep what a command can read of its term up to date, as far as it can be written.

    Args:
        file: where it stands; None: there is no folder for it.
        say: tells people where it cannot be written.

    """

    def __init__(self, file: TermFile | None, say: Callable[[str], None]) -> None:
        self._file = file
        """Where it stands. Never changes."""
        self._say = say
        """Tells people. Never changes."""
        self._unwritten = False
        """Whether it could not be written the last time: that was said."""

    @property
    def path(self) -> Path | None:
        """What the command is told to read; None: there is no such file."""
        return None if self._file is None else self._file.path

    def write(self, facts: TermFacts) -> None:
        """Write the term as it is now; where that fails, people are told, once."""
        if self._file is None:
            return
        try:
            self._file.write(facts)
        except OSError as error:
            # The deadline in the file passes: whoever looks at it stops in time.
            if not self._unwritten:
                self._say(f"{self._file.path} cannot be written: {error.strerror}")
            self._unwritten = True
        else:
            self._unwritten = False


def _fresh_folder() -> Path:
    name = f"leader-election-{os.getpid()}-{os.urandom(6).hex()}"
    refused: OSError | None = None
    for target in (os.environ.get("TMPDIR"), *FOLDERS):
        if not target:
            continue
        folder = Path(target) / name
        try:
            # Nothing in it is secret: a command that changed its user reads it, too.
            folder.mkdir(mode=0o755)
        except OSError as error:
            refused = error
            continue
        try:
            # A full disk takes folders, and no text. Not the name that is read.
            probe = folder / "term.new"
            probe.write_bytes(b" " * 1024)
            probe.unlink()
        except OSError as error:
            refused = error
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)
                folder.rmdir()
            continue
        return folder
    raise refused or FileNotFoundError(2, "no folder for temporary files", FOLDERS[0])


def read() -> TermFacts:
    """
    Read the file that the variable names.

    Raises:
        NotLeaderError: this process was not started by ``run``, the term is over, or
            what is there is nothing that ``run`` wrote.

    """
    name = os.environ.get(FILE_VARIABLE)
    if name is None:
        raise NotLeaderError(
            f"{FILE_VARIABLE} is not set: this is for programs started by "
            "`kubernetes-leader-election run LEASE -- COMMAND`."
        )
    # Without a folder for a file: the term as it was at its start. Still true when it
    # is late, since renewals only move the end further away.
    where = name or f"the variable {TERM_VARIABLE}"
    try:
        return parse(_read_text(name) if name else os.environ.get(TERM_VARIABLE, ""))
    except FileNotFoundError as error:
        raise NotLeaderError(f"{name} is gone: the term is over.") from error
    except OSError as error:
        raise NotLeaderError(f"{where} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise NotLeaderError(
            f"{where} has no term that `run` wrote ({error}): {FILE_VARIABLE} and "
            f"{TERM_VARIABLE} have to be what `run` gave its command."
        ) from error


def _read_text(name: str) -> str:
    """Read a file that may be anything: a pipe without a writer, one without an end."""
    fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("it is no regular file")
        data = os.read(fd, LARGEST)
    finally:
        os.close(fd)
    return data.decode()


def parse(text: str) -> TermFacts:
    """
    Read what :meth:`TermFacts.as_text` wrote; anything else is refused.

    Raises:
        ValueError: it did not write this.

    """
    found: Any = json.loads(text)
    _need(isinstance(found, dict), "it is no JSON object")
    version = found.get("version")
    _need(
        type(version) is int and version == VERSION,
        f"its version is {str(version)[:20]}, and {VERSION} is what this program knows. "
        "Use the same version of it everywhere",
    )
    for field in _TEXTS:
        _need(isinstance(found.get(field), str), f"{field} is no text")
    _need(_is_time(found.get("renew_deadline")), "renew_deadline is no time")
    token, clocks = found.get("token"), [found.get(field) for field in _CLOCKS]
    deadline = None
    # No token and no deadline: it is assumed. A deadline alone: the server's versions
    # are not numbers, so that there is none.
    _need("token" in found, "it has no token")
    if token is not None:
        _need(type(token) is int and token >= 0, "token is no whole number")
    if token is not None or clocks != [None] * len(_CLOCKS):
        for field, value in zip(_CLOCKS, clocks, strict=True):
            _need(_is_time(value), f"{field} is no time")
        deadline = Deadline(*(float(found[field]) for field in _CLOCKS))
    return TermFacts(
        lease=found["lease"],
        namespace=found["namespace"],
        identity=found["identity"],
        token=token,
        deadline=deadline,
        renew_deadline=float(found["renew_deadline"]),
        origin=(found["boot_id"], found["time_namespace"]),
    )


def _need(fact: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not fact:
        raise ValueError(otherwise)


def _is_time(value: Any) -> bool:
    # A whole number can be too large to be a float.
    return type(value) in (int, float) and abs(value) < 1e15 and math.isfinite(value)
