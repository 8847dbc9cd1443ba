"""
What a torture has to show, judged from outside by the workers' own logs.

The logs tell instants of CLOCK_MONOTONIC, which all processes of a machine share.
Nothing here imports the package. The words:

*belief*
    A yes to "do I lead?" was true at some instant between the one before the question
    and the one after the answer. A term never revives (G4), so from after its first
    yes until before its last question the term was believed throughout: its *certain
    interval*. Of a command of ``run`` the question is that of ``kle check``.

*overlap of belief* (G1)
    Two certain intervals of two lives have an instant in common, or a yes, from the
    instant before its question to the instant after its answer, lies within the certain
    interval of another life. Nothing excuses it: not a freeze, not a lock held in C,
    since whoever asks looks at the clock first (rule 15).

*overlap of work* (G2)
    A piece of work inside a scope *began*, without a question, within the certain
    interval of another life. It is excused only if both hold: the process had stood
    still (SIGSTOP, a lock held in C, no time from the kernel: by its own clock, or
    because we froze it) and began the work within ``stop_budget`` after that; *and*
    its token is smaller, so that the fencing would refuse it. The end of a piece of
    work is not judged: an instruction that was next when the process froze is executed
    first after the thaw, which no library inside it can prevent.

*tokens* (G3)
    Of two terms with certain intervals one of which ends before the other begins, the
    later one has the larger token. No two lives have the same token.

*pairing* (G4)
    In each life acquired and lost come in turns, acquired first, each pair with one
    token; a life that ended in good order ends with lost.

*children*
    A forked child is never told that it leads.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

__all__ = ["Life", "Verdict", "judge", "read_lives"]

Window = tuple[float, float]


@dataclass(slots=True)
class Life:
    """What one process noted, from its beginning to its end."""

    name: str
    asked: dict[int, list[Window]] = field(default_factory=dict)
    acts: list[tuple[float, int]] = field(default_factory=list)
    stalls: list[Window] = field(default_factory=list)
    events: list[tuple[str, int]] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    ended: bool = False

    def certain(self) -> dict[int, Window]:
        """Return the certain interval of each term that has one."""
        found = {
            token: (asked[0][1], asked[-1][0]) for token, asked in self.asked.items()
        }
        return {
            token: window for token, window in found.items() if window[0] < window[1]
        }


@dataclass(slots=True)
class Verdict:
    """What was judged, and what was wrong."""

    acts: int = 0
    questions: int = 0
    terms: int = 0
    stalls: int = 0
    children: int = 0
    excused: int = 0
    violations: list[str] = field(default_factory=list)


def read_lives(path: Path) -> list[Life]:
    """Read the log of a worker, whose processes follow each other; drop a torn end."""
    lives: list[Life] = []
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    for line in text.splitlines(keepends=True):
        parts = line.rstrip("\n").split(" ", 3)
        if not line.endswith("\n") or len(parts) < 4:
            continue
        instant, what, token, detail = float(parts[0]), parts[1], parts[2], parts[3]
        if what == "began" or not lives:
            lives.append(Life(f"{path.stem}#{len(lives) + 1}"))
        _add(lives[-1], instant, what, token, detail)
    return lives


def _add(life: Life, instant: float, what: str, token: str, detail: str) -> None:
    if what == "asked":
        life.asked.setdefault(int(token), []).append((instant, float(detail)))
    elif what == "act":
        life.acts.append((instant, int(token)))
    elif what == "stall":
        life.stalls.append((instant, float(detail.partition(" ")[0])))
    elif what in {"acquired", "lost"}:
        life.events.append((what, int(token)))
    elif what == "child":
        life.children.append(detail)
    elif what == "ended":
        life.ended = True


def judge(
    lives: list[Life],
    *,
    stop_budget: float,
    frozen: Mapping[str, list[Window]] | None = None,
) -> Verdict:
    """
    Judge all lives of one election.

    Args:
        lives: Of all workers.
        stop_budget: S, in seconds.
        frozen: When we froze whom, by the name of the worker.

    """
    verdict = Verdict(
        acts=sum(len(life.acts) for life in lives),
        questions=sum(len(a) for life in lives for a in life.asked.values()),
        terms=len({token for life in lives for token in life.asked}),
        stalls=sum(len(life.stalls) for life in lives),
        children=sum(len(life.children) for life in lives),
    )
    intervals = sorted(
        (window, token, life.name)
        for life in lives
        for token, window in life.certain().items()
    )
    _judge_beliefs(verdict, lives, intervals)
    for life in lives:
        worker = life.name.partition("#")[0]
        stalls = sorted([*life.stalls, *(frozen or {}).get(worker, [])])
        _judge_work(verdict, life, intervals, stalls, stop_budget)
        _judge_events(verdict, life)
    _judge_tokens(verdict, lives, intervals)
    return verdict


Interval = tuple[Window, int, str]


def _judge_beliefs(
    verdict: Verdict, lives: list[Life], intervals: list[Interval]
) -> None:
    longest: Interval | None = None
    for one in intervals:
        if longest is not None and longest[2] != one[2] and one[0][0] < longest[0][1]:
            verdict.violations.append(
                f"belief overlaps (G1): {_named(longest)} and {_named(one)}"
            )
        if longest is None or one[0][1] > longest[0][1]:
            longest = one
    for life in lives:
        for token, asked in life.asked.items():
            for before, after in asked:
                other = _within(intervals, before, after, life.name)
                if other is not None:
                    verdict.violations.append(
                        f"belief overlaps (G1): {life.name} said yes under token "
                        f"{token} at {before:.6f}-{after:.6f}, within {_named(other)}"
                    )
                    break


def _judge_work(
    verdict: Verdict,
    life: Life,
    intervals: list[Interval],
    stalls: list[Window],
    stop_budget: float,
) -> None:
    told: set[tuple[int, str]] = set()
    for instant, token in life.acts:
        other = _within(intervals, instant, instant, life.name)
        if other is None:
            continue
        # Also while it stood still: an instant noted before, work begun after.
        stalled = any(b <= instant <= e + stop_budget for b, e in stalls)
        if stalled and token < other[1]:
            verdict.excused += 1
        elif (token, other[2]) not in told:
            told.add((token, other[2]))
            verdict.violations.append(
                f"work overlaps (G2): {life.name} began work under token {token} at "
                f"{instant:.6f}, within {_named(other)}"
                f"{'' if not stalled else '; the fencing would not refuse it'}"
            )


def _judge_events(verdict: Verdict, life: Life) -> None:
    expected, open_token = "acquired", 0
    for what, token in life.events:
        if what != expected or (what == "lost" and token != open_token):
            verdict.violations.append(
                f"events unpaired (G4): {life.name}: {what} of token {token} where "
                f"{expected} was due"
            )
            return
        expected, open_token = ("lost" if what == "acquired" else "acquired"), token
    if life.ended and expected == "lost":
        verdict.violations.append(
            f"events unpaired (G4): {life.name} ended without lost of {open_token}"
        )
    acquired = [token for what, token in life.events if what == "acquired"]
    for earlier, later in pairwise(acquired):
        if later <= earlier:
            verdict.violations.append(
                f"token did not grow (G3): {life.name}: {later} after {earlier}"
            )
    for detail in life.children:
        if detail.startswith("yes"):
            verdict.violations.append(f"a forked child of {life.name} leads: {detail}")
            return


def _judge_tokens(
    verdict: Verdict, lives: list[Life], intervals: list[Interval]
) -> None:
    owners: dict[int, str] = {}
    for life in lives:
        for token in life.asked:
            if owners.setdefault(token, life.name) != life.name:
                verdict.violations.append(
                    f"two lives have token {token} (G3): {owners[token]}, {life.name}"
                )
    largest = 0
    by_end = sorted(intervals, key=lambda one: one[0][1])
    ends = 0
    for window, token, name in intervals:
        while by_end[ends][0][1] < window[0]:
            largest = max(largest, by_end[ends][1])
            ends += 1
        if token < largest:
            verdict.violations.append(
                f"token did not grow (G3): {name} has {token} at {window[0]:.6f}, after "
                f"a term with {largest} had ended"
            )


def _within(
    intervals: list[Interval], first: float, last: float, own: str
) -> Interval | None:
    """Return the certain interval of another life in which a window lies."""
    # Intervals of one election are disjoint unless something is wrong: few to look at.
    end = bisect_left(intervals, ((last, last), 0, ""))
    for one in intervals[max(0, end - 8) : end]:
        if one[2] != own and one[0][0] <= first and last <= one[0][1]:
            return one
    return None


def _named(one: Interval) -> str:
    (first, last), token, name = one
    return f"{name} with token {token} ({first:.6f} to {last:.6f})"
