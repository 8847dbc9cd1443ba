"""
What still runs of a term, so that its Lease is released after it and never before.

Scopes, acquired handlers that are coroutines and lost handlers each take a
:class:`Hold`. When the term is lost and the last hold has ended, the driver is told so
exactly once (G5: release only follows the end of the work).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from enum import Enum
from typing import Final, Protocol


class Phase(Enum):
    """How far the end of a term's work has come."""

    OPEN = "open"
    CLOSED = "closed"
    """No new work: the last scope ended, or the term is about to."""
    LOST = "lost"
    ENDED = "ended"


class Home(Protocol):
    """Where work runs, as far as its end can be seen from there: an event loop."""

    def is_closed(self) -> bool:
        """Tell whether nothing can run there any more."""
        ...

    def is_running(self) -> bool:
        """Tell whether something runs there now."""
        ...


class Hold:
    """
    One piece of work that keeps a term from being released.

    ``cancel`` asks it to stop, on any thread, without waiting. ``home`` is the event
    loop it runs on, ``thread`` the thread where there is none. ``may_work`` is false as
    long as the caller has not got its scope yet, and when it has begun to leave it.
    """

    __slots__ = ("_work", "cancel", "home", "is_scope", "may_work", "thread", "what")

    def __init__(
        self,
        what: str,
        *,
        cancel: Callable[[], object] | None = None,
        home: Home | None = None,
        is_scope: bool = False,
        may_work: bool = True,
    ) -> None:
        self._work: TermWork | None = None
        self.may_work = may_work
        self.what = what
        self.cancel = cancel
        self.home = home
        self.is_scope = is_scope
        self.thread = None if home is not None else threading.get_ident()

    @property
    def term(self) -> int | None:
        """The number of the term that it is part of, once it is."""
        return None if self._work is None else self._work.term

    def keeps(self, work: TermWork) -> None:
        """Note whose release this piece of work holds up."""
        self._work = work

    def end(self) -> bool:
        """
        Say that this piece of work is over. Harmless when said twice, or before it began.

        Returns True if it was the last scope of a term that still held, also when said
        again: the caller then asks for the end of the term.
        """
        return self._work is not None and self._work.end(self)


class TermWork:
    """
    Count what runs of one term.

    Args:
        term: the term's number.
        ended: called on any thread when the term is lost and nothing runs; once, but
            for :meth:`settle_again`.

    """

    def __init__(self, term: int, *, ended: Callable[[int], None]) -> None:
        self.term = term
        self.had_scope = False
        self._ended = ended
        self._lock = threading.Lock()
        self._holds: list[Hold] = []
        self._phase = Phase.OPEN

    @property
    def phase(self) -> Phase:
        """How far the end of the work has come."""
        return self._phase

    @property
    def alive(self) -> tuple[Hold, ...]:
        """What runs now."""
        with self._lock:
            return tuple(self._holds)

    def begin(
        self,
        what: str,
        *,
        cancel: Callable[[], object] | None = None,
        home: Home | None = None,
        is_scope: bool = False,
    ) -> Hold | None:
        """Take a hold; None when the term takes no new work."""
        hold = Hold(what, cancel=cancel, home=home, is_scope=is_scope)
        return hold if self.take(hold) else None

    def take(self, hold: Hold) -> bool:
        """Take this hold; False when the term takes no new work."""
        with self._lock:
            if self._phase is not Phase.OPEN:
                return False
            self._add(hold)
            return True

    def hold_late(self, what: str, *, home: Home | None = None) -> Hold:
        """Take a hold that is part of the term's end: a lost handler, a wait."""
        hold = Hold(what, home=home)
        with self._lock:
            self._add(hold)
        return hold

    def lose(self) -> None:
        """Take no new work, cancel what is alive, and see whether all has ended."""
        with self._lock:
            self._phase = Phase.LOST
            alive = tuple(self._holds)
        for hold in alive:
            if hold.cancel is not None:
                hold.cancel()
        self._settle()

    def settle_again(self) -> None:
        """
        Say that the work has ended, if it has, though that may have been said.

        An exception of a signal handler can come in between the end and the word of it.
        """
        with self._lock:
            over = not self._holds and self._phase in (Phase.LOST, Phase.ENDED)
            if over:
                self._phase = Phase.ENDED
        if over:
            self._ended(self.term)

    def _settle(self) -> None:
        """Say that the work has ended, if it has and the term is lost."""
        with self._lock:
            if self._phase is not Phase.LOST or self._holds:
                return
            self._phase = Phase.ENDED
        self._ended(self.term)

    def end(self, hold: Hold) -> bool:
        """End a hold; see :meth:`Hold.end`."""
        with self._lock:
            again = hold not in self._holds
            if not again:
                self._holds.remove(hold)
            scopes = any(h.is_scope for h in self._holds)
            if hold.is_scope and not scopes and self._phase is Phase.OPEN:
                self._phase = Phase.CLOSED
            last = hold.is_scope and self._phase is Phase.CLOSED
        if again:
            self.settle_again()
        else:
            self._settle()
        return last

    def drop_if(self, is_over: Callable[[Hold], bool]) -> None:
        """End every hold whose work cannot run any more."""
        for hold in self.alive:
            if is_over(hold):
                self.end(hold)

    def _add(self, hold: Hold) -> None:
        hold.keeps(self)
        self._holds.append(hold)
        self.had_scope = self.had_scope or hold.is_scope


class Place:
    """
    Mark the code that runs inside a scope or a handler of an elector.

    Context variables carry it into the tasks that this code starts; it counts only
    while it is ``active``.
    """

    __slots__ = ("active", "is_scope", "owner", "work")

    def __init__(self, owner: object, *, work: TermWork | None, is_scope: bool) -> None:
        self.owner = owner
        self.work = work
        self.is_scope = is_scope
        self.active = True

    @property
    def is_over(self) -> bool:
        """Tell whether the term that this is part of is lost."""
        return self.work is not None and self.work.phase in (Phase.LOST, Phase.ENDED)

    def enter(self) -> None:
        """Mark what the present task or thread runs from here on."""
        _places.set((*(p for p in _places.get() if p.active), self))

    def leave(self) -> None:
        """
        Take the mark back, in whichever context the caller is.

        No token is kept: an ``async with`` in a generator may end in another context.
        """
        self.active = False
        _places.set(tuple(p for p in _places.get() if p.active))


_places: Final[ContextVar[tuple[Place, ...]]] = ContextVar("places", default=())


def leave_all_places() -> None:
    """Let what the present context runs count as outside every scope and handler."""
    _places.set(())


def is_inside_work() -> bool:
    """Tell whether the caller runs in a scope or handler, of whichever elector."""
    return any(place.active for place in _places.get())


def place_inside(owner: object) -> Place | None:
    """Give the innermost scope or handler of ``owner`` that the caller runs in."""
    for place in reversed(_places.get()):
        if place.owner is owner and place.active:
            return place
    return None
