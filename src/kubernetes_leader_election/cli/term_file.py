"""
What a command learns of its term: variables at its start, a file kept up to date.

The file is replaced as a whole at each renewal, so whoever reads it sees one term. A
wrapper that is frozen or dead does not replace it: the deadline in it passes, and
``check`` says no.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from kubernetes_leader_election.errors import NotLeaderError

PREFIX: Final = "LEADER_ELECTION_"
FILE_VARIABLE: Final = f"{PREFIX}TERM_FILE"
_NAMES: Final = ("lease", "namespace", "identity", "token", "deadline")
NO_TOKEN: Final = "none"  # noqa: S105 - no secret
"""Instead of a token that should be there: empty, it would look like off-cluster."""
FOLDERS: Final = ("/tmp", "/dev/shm", "/var/tmp")  # noqa: S108 - a fresh folder in them
"""Where the file may go: one of them is writable even on a read-only root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TermFacts:
    """One term as a command sees it."""

    lease: str
    namespace: str
    identity: str
    token: int | None
    """The fencing token; None off-cluster, or where the versions are not numbers."""
    deadline: float | None
    """CLOCK_BOOTTIME seconds until which leadership is provable; None: no end."""

    @property
    def assumed(self) -> bool:
        """Whether there is no cluster: then the term has no end, and no token."""
        return self.deadline is None

    def variables(self, path: Path | None) -> dict[str, str]:
        """Give the environment variables for the command."""
        token = "" if self.assumed else NO_TOKEN
        if self.token is not None:
            token = str(self.token)
        deadline = ""
        if self.deadline is not None:
            # Down: a rounded deadline must not be a later one.
            deadline = f"{math.floor(self.deadline * 1000) / 1000:.3f}"
        return {
            "LEADER_ELECTION_LEASE": self.lease,
            "LEADER_ELECTION_NAMESPACE": self.namespace,
            "LEADER_ELECTION_IDENTITY": self.identity,
            "LEADER_ELECTION_TOKEN": token,
            "LEADER_ELECTION_DEADLINE": deadline,
            FILE_VARIABLE: "" if path is None else str(path),
        }

    def remaining(self) -> float:
        """Give the seconds that are provably left."""
        if self.deadline is None:
            return float("inf")
        return self.deadline - time.clock_gettime(time.CLOCK_BOOTTIME)

    def ended(self) -> TermFacts:
        """Give the same term after its end."""
        return replace(self, deadline=0.0)


class TermFile:
    """
    Keep the file for one command after the other, in a folder of its own.

    Raises:
        OSError: no folder can be made anywhere.

    """

    def __init__(self) -> None:
        self.folder = _fresh_folder()
        self.path = self.folder / "term.json"

    def write(self, facts: TermFacts) -> None:
        """Replace the file as a whole."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(facts)) + "\n", encoding="utf-8")
        fresh.replace(self.path)

    def remove(self) -> None:
        """Remove the file and its folder."""
        with contextlib.suppress(OSError):
            for path in (self.path, self.path.with_suffix(".new")):
                path.unlink(missing_ok=True)
            self.folder.rmdir()


def _fresh_folder() -> Path:
    name = f"leader-election-{os.getpid()}-{os.urandom(6).hex()}"
    refused: OSError | None = None
    for place in (os.environ.get("TMPDIR"), *FOLDERS):
        if not place:
            continue
        folder = Path(place) / name
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
        NotLeaderError: this process was not started by ``run``, or the term is over.

    """
    name = os.environ.get(FILE_VARIABLE)
    if name is None:
        raise NotLeaderError(
            f"{FILE_VARIABLE} is not set: this is for programs started by "
            "`kubernetes-leader-election run LEASE -- COMMAND`."
        )
    if not name:
        return _from_variables()
    try:
        facts: Any = json.loads(Path(name).read_text(encoding="utf-8"))
        found = TermFacts(**facts)
        end = None if found.deadline is None else float(found.deadline)
        return replace(found, deadline=end)
    except FileNotFoundError as error:
        raise NotLeaderError(f"{name} is gone: the term is over.") from error
    except (OSError, ValueError, TypeError) as error:
        raise NotLeaderError(f"{name} cannot be read: {error}") from error


def _from_variables() -> TermFacts:
    """Give the term as it was at its start: there is no folder for a file of it."""
    found = {name: os.environ.get(f"{PREFIX}{name.upper()}") for name in _NAMES}
    token, deadline = found["token"], found["deadline"]
    if None in found.values() or (not deadline and token):
        raise NotLeaderError("the variables of the term are not complete.")
    try:
        return TermFacts(
            lease=found["lease"] or "",
            namespace=found["namespace"] or "",
            identity=found["identity"] or "",
            token=int(token) if token and token != NO_TOKEN else None,
            # Still true when it is late: renewals only move the end further away.
            deadline=float(deadline) if deadline else None,
        )
    except ValueError as error:
        raise NotLeaderError(f"the variables of the term are odd: {error}") from error
