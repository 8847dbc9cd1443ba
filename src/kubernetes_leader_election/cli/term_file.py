"""
What a command learns of its term: variables at its start, a file kept up to date.

The file is replaced as a whole at each renewal, so whoever reads it sees one term. A
wrapper that is frozen or dead does not replace it: the deadline in it passes, and
``check`` says no.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from kubernetes_leader_election.errors import NotLeaderError

FILE_VARIABLE: Final = "LEADER_ELECTION_TERM_FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class TermFacts:
    """One term as a command sees it."""

    lease: str
    namespace: str
    identity: str
    token: int | None
    """The fencing token; None where leadership is assumed, off-cluster."""
    deadline: float | None
    """CLOCK_BOOTTIME seconds until which leadership is provable; None: no end."""

    def variables(self, path: Path) -> dict[str, str]:
        """Give the environment variables for the command."""
        token = "" if self.token is None else str(self.token)
        deadline = "" if self.deadline is None else f"{self.deadline:.3f}"
        return {
            "LEADER_ELECTION_LEASE": self.lease,
            "LEADER_ELECTION_NAMESPACE": self.namespace,
            "LEADER_ELECTION_IDENTITY": self.identity,
            "LEADER_ELECTION_TOKEN": token,
            "LEADER_ELECTION_DEADLINE": deadline,
            FILE_VARIABLE: str(path),
        }

    def remaining(self) -> float:
        """Give the seconds that are provably left."""
        if self.deadline is None:
            return float("inf")
        return self.deadline - time.clock_gettime(time.CLOCK_BOOTTIME)


def write(path: Path, facts: TermFacts) -> None:
    """Replace the file."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(facts)) + "\n", encoding="utf-8")
    fresh.replace(path)


def read() -> TermFacts:
    """
    Read the file that the variable names.

    Raises:
        NotLeaderError: this process was not started by ``run``, or the term is over.

    """
    name = os.environ.get(FILE_VARIABLE)
    if not name:
        raise NotLeaderError(
            f"{FILE_VARIABLE} is not set: this is for programs started by "
            "`kubernetes-leader-election run LEASE -- COMMAND`."
        )
    try:
        facts = json.loads(Path(name).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotLeaderError(f"{name} is gone: the term is over.") from error
    except (OSError, ValueError) as error:
        raise NotLeaderError(f"{name} cannot be read: {error}") from error
    return TermFacts(**facts)
