"""
When the next read and write are due, and when a release is given up.

All instants are CLOCK_BOOTTIME seconds. A read is asked for by whatever needs one, and
the earliest wish counts; a write is due by R, or as soon as a record is to be put right.
"""

from __future__ import annotations

from typing import Final

NEVER: Final = float("inf")


class Schedule:
    """Keep three instants of one elector."""

    __slots__ = ("give_up_at", "read_at", "write_at")

    def __init__(self) -> None:
        self.begin_life()

    def begin_life(self) -> None:
        """Forget what was due before a start."""
        self.read_at = NEVER
        """When the Lease is to be read; NEVER: nothing asks for it."""
        self.write_at = 0.0
        """When to renew or release, while the state is one that does."""
        self.give_up_at = 0.0
        """When RELEASING or WITHDRAWING end, whatever was reached (rule 12)."""

    def read_by(self, when: float) -> None:
        """Ask for a read; an earlier wish stands."""
        if when < self.read_at:
            self.read_at = when

    def read_is_ordered(self) -> None:
        """Take it that every wish for a read is met by the one that leaves now."""
        self.read_at = NEVER

    def write_next(self, when: float) -> None:
        """Let the next write be due then."""
        self.write_at = when

    def write_by(self, when: float) -> None:
        """Let the next write be due then at the latest."""
        self.write_at = min(self.write_at, when)

    def write_not_before(self, when: float) -> None:
        """Put the next write off until then, if it is not put off more."""
        self.write_at = max(self.write_at, when)

    def end_by(self, when: float, *, now: float) -> None:
        """Begin to end a term or an acquire: write at once, and give up then."""
        self.give_up_at, self.write_at = when, now
