"""Mistakes in telling for how long nobody led: the worlds have no rule that they break."""

from __future__ import annotations

from typing import Final

from tests.mutants.mistakes import Mistake

_TESTS: Final = ("tests/core/test_gap.py",)


def _in_gap(name: str, old: str, new: str, file: str = "core/gap.py") -> Mistake:
    return Mistake(name=name, file=file, old=old, new=new, tests=_TESTS)


MISTAKES = [
    _in_gap(
        "who led before is told to be unproved for a reason of another one",
        'return why if nonce == noted else ""',
        "return why",
    ),
    _in_gap(
        "nobody is told why nothing was proved",
        "            self._notices.gap.unproved(sought.nonce, message.why)\n",
        "            pass\n",
        file="core/outcomes.py",
    ),
    _in_gap(
        "a gap is counted with the time in which the machine was suspended",
        "return None if since is None else elapsed_for_candidate(since, now), why",
        "return None if since is None else now.boottime - since.boottime, why",
    ),
    _in_gap(
        "who came after the last renewal takes its first look for it",
        "unknown, self._blind = first or self._blind, False\n        if not changed:",
        "unknown, self._blind = self._blind, False\n        if not changed:",
    ),
    _in_gap(
        "who could not look takes what it finds then for what has just happened",
        '        """Take it that whatever changes from now on may be seen late, or not at all."""\n'
        "        self._blind = True",
        '        """Take it that whatever changes from now on may be seen late, or not at all."""\n'
        "        self._blind = False",
    ),
    _in_gap(
        "who could not look once never knows again",
        "unknown, self._blind = first or self._blind, False\n        if not changed:",
        "unknown = first or self._blind\n        if not changed:",
    ),
    _in_gap(
        "an acquire of our own that is not led counts as a life",
        "if is_tried or (is_free and before):",
        "if is_free and before:",
    ),
    _in_gap(
        "the end of an acquire of our own that was not led counts as a release",
        "if is_tried or (is_free and before):",
        "if is_tried:",
    ),
    _in_gap(
        "an outage while the Lease was held counts as one that held up",
        "self._ended_by, self._led_until, self._held_up = ended_by, until, False",
        "self._ended_by, self._led_until = ended_by, until",
    ),
    _in_gap(
        "an outage is told as whatever came before it",
        "if why is not None and self._held_up:",
        "if False:",
    ),
    _in_gap(
        "a proof is told as an expiry",
        'elif why == "expiry" and proved:',
        "elif False:",
    ),
    _in_gap(
        "a Lease that is gone was released",
        'self._led("deletion", None if unknown else now)',
        'self._led("release", None if unknown else now)',
    ),
    _in_gap(
        "who leads itself forgets when, and counts from the holder before it",
        '        self._tried = False\n        self._led("expiry", now)\n',
        "        self._tried = False\n",
    ),
    _in_gap(
        "a new life remembers what was seen before its start",
        "        self._led_until: Now | None = None\n",
        '        self._led_until: Now | None = getattr(self, "_led_until", None)\n',
    ),
    _in_gap(
        "a request that failed at any time held the take-over up",
        "        if self.verdict() in _TO_BE_HAD:\n            self.notices.gap.hold_up()",
        "        self.notices.gap.hold_up()",
        file="core/standing.py",
    ),
    _in_gap(
        "a watch that broke is taken for one that saw all",
        "        standing.notices.gap.lose_sight()\n        watch = self._watch_policy",
        "        watch = self._watch_policy",
        file="core/outcomes.py",
    ),
]
