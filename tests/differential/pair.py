"""
Two cores as one: given the same inputs and draws, compared after each.

Whoever drives the pair sees the working core; the earlier one gets what it gets. The
pair uses the four verbs and the public properties, nothing else.
"""

from __future__ import annotations

import difflib
import pprint
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from tests.differential.earlier import earlier_core
from tests.versions.families import EventsOfNow, Family, plain, this_version

PROPERTIES: Final = (
    "state",
    "belief",
    "term_deadline",
    "snapshot",
    "stay_out_until",
    "expires_in",
)
"""What the engine reads of a core beside the four verbs."""

REMEMBERED: Final = 8
"""Inputs before the one at which the cores differ that are shown with it."""

Make = Callable[..., Any]
"""Gives a core: takes settings, and ``draw``."""


class DifferenceError(AssertionError):
    """Say at which input two cores came to differ, and how."""


class Draws:
    """Numbers that one core draws, and the other one has to draw as well."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self._draw = draw
        self._drawn: list[float] = []
        self._repeated = 0

    def first(self) -> float:
        """Draw a number."""
        number = self._draw()
        self._drawn.append(number)
        return number

    def second(self) -> float:
        """Return the next number that was drawn; any one when there is none left."""
        self._repeated += 1
        if self._repeated > len(self._drawn):
            return 0.5
        return self._drawn[self._repeated - 1]

    def take_counts(self) -> tuple[int, int]:
        """Return how many numbers each core has drawn since the last call."""
        counts = (len(self._drawn), self._repeated)
        self._drawn.clear()
        self._repeated = 0
        return counts


class Pair:
    """
    The working core, with the earlier one in its shadow.

    Args:
        settings: of the working core's family.
        draw: gives a number in [0, 1) at each call.
        working: makes the working core; another one than usual to see that its
            mistakes are found.
        assumed: compare the cores that assume leadership.

    """

    def __init__(
        self,
        settings: Any,
        *,
        draw: Callable[[], float],
        working: Make | None = None,
        assumed: bool = False,
    ) -> None:
        ours, earlier = this_version(), earlier_core()
        self.inputs = 0
        self.outputs = 0
        self._identity = settings.identity
        self._earlier_family: Family = earlier
        self._earlier_events = EventsOfNow(settings, assumed=assumed)
        self._draws = Draws(draw)
        self._out: list[Any] = []
        self._before: deque[tuple[Any, Any]] = deque(maxlen=REMEMBERED)
        self._last: dict[str, tuple[Any, Any]] = {}
        self._properties = ("state",) if assumed else PROPERTIES
        make = working or (ours.assumed if assumed else ours.election)
        earlier_make = earlier.assumed if assumed else earlier.election
        self.working = make(settings, draw=self._draws.first)
        self.earlier = earlier_make(settings, draw=self._draws.second)
        self._compare("the constructor", None)

    # The four verbs -----------------------------------------------------------

    def receive(self, message: Any, *, now: Any) -> None:
        """Give both cores one message; raise what both raise."""
        theirs = self._earlier_family.take(message)
        self._run(
            message,
            now,
            lambda: self.working.receive(message, now=now),
            lambda clocks: self.earlier.receive(theirs, now=clocks),
        )

    def handle_timer(self, *, now: Any) -> None:
        """Let both cores handle their timers."""
        self._run(
            "the timer",
            now,
            lambda: self.working.handle_timer(now=now),
            lambda clocks: self.earlier.handle_timer(now=clocks),
        )

    def drain(self) -> list[Any]:
        """Return what the working core gave; the earlier one gave the same."""
        out, self._out = self._out, []
        return out

    def next_deadline(self) -> float | None:
        """Return what the working core says; the earlier one says the same."""
        due: float | None = self.working.next_deadline()
        return due

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["working"], name)

    # Comparing ----------------------------------------------------------------

    def _run(
        self,
        said: Any,
        now: Any,
        working: Callable[[], None],
        earlier: Callable[[Any], None],
    ) -> None:
        self.inputs += 1
        raised = _raised(working)
        clocks = self._earlier_family.take(now)
        raised_there = _raised(lambda: earlier(clocks))
        if raised is not None or raised_there is not None:
            shown = [
                None if error is None else f"{type(error).__name__}: {error}"
                for error in (raised, raised_there)
            ]
            if shown[0] != shown[1]:
                self._differ(said, now, {"raised": (shown[0], shown[1])})
            assert raised is not None
            raise raised
        self._compare(said, now)
        self._before.append((said, now))

    def _compare(self, said: Any, now: Any) -> None:
        working, earlier = self.working, self.earlier
        found: dict[str, tuple[Any, Any]] = {}
        out, there = working.drain(), earlier.drain()
        if out or there:
            self.outputs += len(out)
            self._out += out
            there = [self._earlier_events.take(item) for item in there]
            pair = ([plain(item) for item in out], [plain(item) for item in there])
            if pair[0] != pair[1]:
                found["requests and events"] = pair
        due, due_there = working.next_deadline(), earlier.next_deadline()
        if due != due_there:
            found["next_deadline"] = (due, due_there)
        for name in self._properties:
            one, other = getattr(working, name), getattr(earlier, name)
            if one is other:
                continue
            last = self._last.get(name)
            if last is not None and last[0] is one and last[1] is other:
                continue
            pair = (plain(one), plain(other))
            if pair[0] != pair[1]:
                found[name] = pair
            else:
                self._last[name] = (one, other)
        if now is not None and "belief" in self._properties:
            leads = working.current_leader(now)
            leads_there = earlier.current_leader(self._earlier_family.take(now))
            if leads != leads_there:
                found["current_leader"] = (leads, leads_there)
        drawn, drawn_there = self._draws.take_counts()
        if drawn != drawn_there:
            found["numbers drawn"] = (drawn, drawn_there)
        if found:
            self._differ(said, now, found)

    def _differ(self, said: Any, now: Any, found: dict[str, tuple[Any, Any]]) -> None:
        where = f"at input {self.inputs} of {self._identity!r}"
        lines = [
            f"The working core and the earlier one differ in {', '.join(found)}, {where}:",
            f"  input   {said!r}",
            f"  clocks  {now}",
        ]
        for name, (one, other) in found.items():
            lines += [f"  {name} (- earlier, + working):", *_lines(other, one)]
        if self._before:
            lines += ["  inputs before, oldest first:"]
            lines += [
                f"    {f'{what!r} at {when}'[:400]}" for what, when in self._before
            ]
        raise DifferenceError("\n".join(lines))


def _raised(call: Callable[[], None]) -> Exception | None:
    try:
        call()
    except Exception as error:  # noqa: BLE001 - both cores have to raise the same
        return error
    return None


def _lines(earlier: Any, working: Any) -> list[str]:
    """Return the difference between two plain values, line by line."""
    texts = [
        pprint.pformat(value, width=76, sort_dicts=False).splitlines()
        for value in (earlier, working)
    ]
    return [f"    {line}" for line in difflib.ndiff(*texts) if not line.startswith("?")]
