"""
What a planted mistake is: one changed place of the source, and who has to notice it.

The place is named by its text, which occurs exactly once in its file: when the code
there changes, the mistake is planted anew, by hand, or given up. A mistake whose tests
all pass is a hole in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path("kubernetes_leader_election")


class LostPlaceError(Exception):
    """Say that the text of a mistake's place is gone, or is there more than once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One mistake, and the tests of which one at least must fail with it."""

    name: str
    """What goes wrong, in one sentence."""
    file: str
    """Below the package."""
    old: str
    new: str
    tests: tuple[str, ...]
    """Files, tests or single cases of tests, as pytest names them."""
    slow: bool = field(default=False)
    """Whether to find it takes more than two seconds: left out of the short form."""

    @property
    def area(self) -> str:
        """The part of the package that it is planted in."""
        room = Path(self.file).parts[0]
        areas = {"cli": "command line"} | {
            name: name for name in ("core", "engine", "kube_api", "pods")
        }
        return areas.get(room, "fronts")

    def plant(self, text: str) -> str:
        """
        Return the source with this mistake in it.

        Raises:
            LostPlaceError: the place is not there, or not the only one.

        """
        found = text.count(self.old)
        if found != 1:
            raise LostPlaceError(
                f"{self.name!r} has lost its place: {self.old!r} occurs {found} times "
                f"in src/{PACKAGE / self.file}. Name the place as the code has it now, "
                "or take the mistake out of tests/mutants if it cannot be made any more."
            )
        return text.replace(self.old, self.new)
