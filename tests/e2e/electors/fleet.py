"""All candidates of one test: start them, find the leader, count overlapping belief."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from controlplane.processes import Guard, wait_until

from electors.candidates import Candidate, Ours, Setting
from kubernetes_leader_election.testing.belief_log import count_overlaps

__all__ = ["PATIENCE", "Counted", "Fleet", "leads_since"]

PATIENCE = 40.0
"""Seconds for what takes one or two on an idle machine."""

FRESH = 0.5
"""Seconds: who said yes so lately counts as the leader."""

Kind = TypeVar("Kind", bound=Candidate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How often two believed, or worked, at the same instant, and of how many."""

    overlaps: int
    instants: int


def leads_since(candidate: Candidate) -> tuple[float, float] | None:
    """Return the first and last yes of the run a candidate is in; None after a no."""
    first = last = None
    for line in reversed(candidate.log().lines):
        if line.what == "began" or (line.what, line.detail) == ("belief", "no"):
            break
        if line.what == "belief":
            first = line.instant
            last = last or line.instant
    return None if first is None or last is None else (first, last)


class Fleet:
    """
    The processes of one election, ended with the block.

    Args:
        folder: for their files.

    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.candidates: list[Candidate] = []
        self._guard = Guard(folder / "removed-when-killed")

    def start(
        self, setting: Setting, kind: Callable[..., Kind] = Ours, **more: Any
    ) -> Kind:
        """Start one more process; its name tells when it came."""
        name = f"c{len(self.candidates):02d}"
        candidate = kind(name, setting, self.folder, self._guard, **more)
        candidate.start()
        self.candidates.append(candidate)
        return candidate

    def leader(self, among: Iterable[Candidate] | None = None) -> Candidate | None:
        """Return who said lately that it leads."""
        now = time.monotonic()
        for candidate in list(self.candidates if among is None else among):
            run = leads_since(candidate) if candidate.alive else None
            if run is not None and now - run[1] < FRESH:
                return candidate
        return None

    def wait_leader(
        self,
        *among: Candidate,
        after: float = 0.0,
        within: float = PATIENCE,
    ) -> Candidate:
        """
        Wait until somebody leads and give that one.

        Args:
            among: who counts; everybody unless given.
            after: only belief that began after this instant counts.
            within: seconds.

        """
        found: list[Candidate] = []

        def leads() -> bool:
            found[:] = [x for x in [self.leader(among or None)] if x is not None]
            run = leads_since(found[0]) if found else None
            return run is not None and run[0] > after

        wait_until(leads, within=within, what="somebody leads")
        return found[0]

    def pair(self, start: Callable[[], Candidate]) -> tuple[Candidate, Candidate]:
        """Start two candidates; give the leader, which has renewed, and the other."""
        start()
        leader = self.wait_leader()
        other = start()
        self.wait_noted(other, "began")
        self.wait_renewals(leader, 2)
        return leader, other

    def wait_renewals(self, leader: Candidate, count: int) -> None:
        """Wait until a leader has renewed so often from now on."""
        seen = len(leader.happened("renewed"))
        wait_until(
            lambda: len(leader.happened("renewed")) >= seen + count,
            within=PATIENCE,
            what=f"{leader.name} renews",
        )

    def wait_no_leader(self, *among: Candidate, within: float = PATIENCE) -> None:
        """Wait until none of some, or of all, says that it leads."""

        def none() -> bool:
            runs = [leads_since(c) for c in among or self.candidates if c.alive]
            return not any(runs)

        wait_until(none, within=within, what="nobody leads")

    def wait_noted(
        self,
        candidate: Candidate,
        what: str,
        *,
        after: float = 0.0,
        within: float = PATIENCE,
    ) -> str:
        """Wait until a candidate notes something, and give the details."""

        def noted() -> bool:
            return any(line.instant > after for line in candidate.happened(what))

        wait_until(noted, within=within, what=f"{candidate.name} notes {what}")
        return next(x.detail for x in candidate.happened(what) if x.instant > after)

    def count(self) -> Counted:
        """Count overlapping belief and overlapping work over all logs."""
        logs = {k: log for each in self.candidates for k, log in each.logs().items()}
        belief, work = (count_overlaps(logs, what) for what in ("belief", "work"))
        return Counted(overlaps=belief[0] + work[0], instants=belief[1] + work[1])

    def check(self, *, at_least: int = 50) -> Counted:
        """Assert that no two led at once, and that there was something to see."""
        counted = self.count()
        assert counted.overlaps == 0, f"{counted.overlaps} instants with two leaders"
        assert counted.instants >= at_least, "hardly anybody led: nothing was tested"
        return counted

    def outputs(self) -> str:
        """Return the end of what every process complained about and noted."""
        parts = []
        for candidate in self.candidates:
            notes = [
                f"{line.instant:.3f} {line.what} {line.detail}"
                for line in candidate.log().lines
                if line.detail not in {"yes", "no"} and line.what != "renewed"
            ]
            errors = candidate.errors.read_text(encoding="utf-8", errors="replace")
            parts += [f"--- {candidate.name} ({candidate.kind})", *notes[-15:]]
            parts += errors.splitlines()[-15:]
        return "\n".join(parts)

    def close(self) -> None:
        """Kill every process, frozen ones too."""
        for candidate in self.candidates:
            candidate.kill()
        self._guard.close()

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()
