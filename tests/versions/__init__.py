"""
Earlier versions of this package, which share Leases with the present one in tests.

During a rolling update replicas of two versions contend for one Lease. So each version
in :data:`EARLIER` is tested against the working tree: its core, copied into a folder
beside this file, in the simulator, and its wheel, built from its commit, as processes.

To add a version, add it to :data:`EARLIER` and copy its core:
``python -m tests.versions.freeze --earlier``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["EARLIER", "Version"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version that came before."""

    name: str
    commit: str
    """Forty hexadecimal digits: abbreviated ones may become ambiguous."""
    broken_by: frozenset[str] = frozenset()
    """
    Faults of the simulator that break this version, which later ones withstand.

    They are left out of the worlds in which it takes part. A fault goes in here only
    with the name of the change that mended it, never to get a world to pass: shrink the
    world, and see that it is a process of this version that breaks the promise.
    """

    @property
    def package(self) -> str:
        """Return the Python package with the copy of its core."""
        return f"tests.versions.core_{self.commit[:7]}"

    def __str__(self) -> str:
        return self.name


EARLIER: Final = (
    Version(
        name="before the core was rebuilt",
        commit="d0d2bc781854e26c7de576f86f27154d18b9157b",
        broken_by=frozenset(
            {
                # "Forget own writes that others overtook, trust no refusal, cap what a
                # server asks to wait, mind a record cut short": rules 5, 8, 9 and 14.
                # Of the same: it takes back its own record that a backup brings back after
                # the Lease was deleted.
                "restore",
                "late create",
                "roll back",
                "roll back: after an edit",
                "cap",
                "shorten",
                "edit: short",
                "outage: 403 after commit",
                "outage: 408 after commit",
                "outage: 429 after commit",
                # It takes what it created at once for its own when a watch that lags has
                # told of an earlier deletion meanwhile (rule 5, of the same).
                "outage: disconnect after commit",
                "outage: 504 after commit",
                # It forgets a write that was refused, though another copy of it lands (rule 10).
                "refused: 401",
                "refused: 403",
                "refused: 429",
                "outage: come back in days",
                # "Release in no hot loop while writes fail; poll on in every state where
                # no watch is permitted": rule 16.
                "watch denied",
            }
        ),
    ),
)
"""Oldest first. A version that nobody runs any more may go."""
