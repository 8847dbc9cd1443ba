"""
What still runs of a term, so that its Lease is released after it and never before.

Scopes, acquired handlers that are coroutines and lost handlers each take a
:class:`WorkItem`. When the term is lost and the last hold has ended, the driver is told so
exactly once (G5: release only follows the end of the work).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum
from typing import Final, Protocol
from weakref import ref

from kubernetes_leader_election.process import native


class Phase(Enum):
    """How far the end of a term's work has come."""

    OPEN = "open"
    CLOSED = "closed"
    """No new work: the last scope ended, or the term is about to."""
    LOST = "lost"
    ENDED = "ended"


class EventLoop(Protocol):
    """Where work runs, as far as its end can be seen from there: an event loop."""

    def is_closed(self) -> bool:
        """Return whether nothing can run there any more."""
        ...

    def is_running(self) -> bool:
        """Return whether something runs there now."""
        ...


class Fence(Protocol):
    """What ends the whole process where work outlives its term; see ``hard_fence``."""

    def arm(self) -> None:
        """Let it go off at the hard limit of the term, as that is known now."""
        ...

    def call_off(self) -> None:
        """Never let it go off, also where it is being armed just now."""
        ...

    def look(self) -> None:
        """Let it go off by the signal and at the limit as they are now. The engine's thread."""
        ...

    def left(self) -> float:
        """Return the seconds until it goes off."""
        ...


class WorkItem:
    """
    One piece of work that keeps a term from being released.

    ``cancel`` asks it to stop, on any thread, without waiting. ``loop`` is the event
    loop it runs on, ``thread`` the thread where there is none. ``may_work`` is false as
    long as the caller has not got its scope yet, and when it has begun to leave it.
    ``is_work``: code of the application runs under it, in a scope or a hold by name.
    ``is_wait``: nothing is known to run, and it ends by itself. ``block`` is what enters
    it, and leaves it.
    """

    __slots__ = (
        "block",
        "cancel",
        "entered_in",
        "idle_looks",
        "is_scope",
        "is_wait",
        "is_work",
        "left",
        "loop",
        "may_work",
        "thread",
        "what",
        "work",
    )

    def __init__(
        self,
        what: str,
        *,
        cancel: Callable[[], object] | None = None,
        loop: EventLoop | None = None,
        is_scope: bool = False,
        is_work: bool = False,
        is_wait: bool = False,
        may_work: bool = True,
        block: object = None,
    ) -> None:
        self.block: Callable[[], object] | None = None if block is None else ref(block)
        """Gives what can still leave it; None: that is no block of the main thread."""
        self.work: TermWork | None = None
        """Whose release it holds up."""
        self.may_work = may_work
        self.what = what
        self.cancel = cancel
        self.loop = loop
        self.is_scope = is_scope
        self.is_work = is_scope or is_work
        self.is_wait = is_wait
        self.left: Callable[[], tuple[threading.Thread, ...]] | None = None
        """Gives the threads that it waits for, where those alone are left of the work."""
        self.entered_in: int | None = threading.get_ident()
        """The thread that entered it, also as a task; None: it is for another thread."""
        self.thread = None if loop is not None else self.entered_in
        self.idle_looks = 0
        """Looks in a row at which its event loop stood still."""

    @property
    def is_task(self) -> bool:
        """Whether it is a task of an event loop, which the loss cancels."""
        return self.loop is not None and self.cancel is not None

    @property
    def term(self) -> int | None:
        """The number of the term that it is part of, once it is."""
        return None if self.work is None else self.work.term

    def end(self) -> bool:
        """
        Say that this piece of work is over. Harmless when said twice, or before it began.

        Returns True if it was the last scope of a term that still held, also when said
        again: the caller then asks for the end of the term.
        """
        return self.work is not None and self.work.end(self)


# Members by names of their own: to read them from their class is a call in Python 3.11.
_OPEN: Final = Phase.OPEN
_CLOSED: Final = Phase.CLOSED
_LOST: Final = Phase.LOST
_ENDED: Final = Phase.ENDED


class TermWork:
    """
    Count what runs of one term.

    **Nothing is called, and nothing loops, where the lock is held.** So no handler of
    signals comes in there: one that calls ``stop()`` would wait for the engine, and the
    engine for the lock of the thread that the handler interrupted. What does come in
    there, up to Python 3.11, is the collector of garbage: it closes generators, and with
    them scopes and holds. So the lock is reentrant, and each step leaves things in order.

    **Each time of work has a fence of its own**, from the first of its holds to the
    last: so to call off the one of a time that ended cannot call off the next one's,
    which another thread may have begun meanwhile, and neither needs a lock for it.

    Args:
        term: the term's number.
        ended: called on any thread when the term is lost and nothing runs; once, but
            for :meth:`report_end_again`.
        new_fence: makes what ends the process where work does not end; None: nothing
            does.

    """

    def __init__(
        self,
        term: int,
        *,
        ended: Callable[[int], None],
        new_fence: Callable[[], Fence] | None = None,
    ) -> None:
        self.term = term
        """The term's number."""
        self.had_scope = False
        """Whether a scope has entered it, ever."""
        self.expected_to_end = False
        """Whether somebody looks after work that does not end in time."""
        self.is_told = False
        """Whether the term is lost, and all of its work has been asked to end."""
        self._ended = ended
        """Called when all has ended."""
        self._lock = native.RLock()
        """Held to change the holds, their counts and the phase."""
        self._holds: dict[WorkItem, None] = {}
        """What runs, oldest first."""
        self._scopes = 0
        """How many of them are scopes."""
        self._phase = _OPEN
        """How far the end of the work has come."""
        self._new_fence = new_fence
        """Makes what ends the process where work does not end; None: nothing does."""
        self._at_work = 0
        """The holds that are more than a wait."""
        self._fence: Fence | None = None
        """Of the time of work that goes on; None: there is none, or no fence."""
        self._ended_fence: Fence | None = None
        """Of the last one that ended."""

    @property
    def phase(self) -> Phase:
        """How far the end of the work has come."""
        return self._phase

    @property
    def alive(self) -> tuple[WorkItem, ...]:
        """What runs now."""
        with self._lock:
            return (*self._holds,)

    @property
    def is_passed_here(self) -> bool:
        """Return whether this thread enters or leaves work: a handler interrupts that."""
        here = threading.get_ident()
        return any(h.thread == here and not h.may_work for h in self.alive)

    def begin(
        self,
        what: str,
        *,
        cancel: Callable[[], object] | None = None,
        loop: EventLoop | None = None,
        is_scope: bool = False,
    ) -> WorkItem | None:
        """Take a hold; None when the term takes no new work."""
        hold = WorkItem(what, cancel=cancel, loop=loop, is_scope=is_scope)
        return hold if self.take(hold) else None

    def take(self, hold: WorkItem) -> bool:
        """
        Take this hold; False when the term takes no new work.

        Raises:
            LeaderElectionError: there is no fence to be had for it.

        """
        hold.work = self
        fence: Fence | None = None
        again = True
        while again:
            if self._new_fence is not None and self._fence is None and fence is None:
                fence = self._new_fence()
            with self._lock:
                taken = self._phase is _OPEN
                # The time of work that was seen has ended since: this begins another.
                again = (
                    taken
                    and self._new_fence is not None
                    and self._fence is None
                    and fence is None
                )
                if taken and not again:
                    self._holds[hold] = None
                    self._scopes += hold.is_scope
                    self.had_scope = self.had_scope or hold.is_scope
                    self._at_work += not hold.is_wait
                    if self._fence is None:
                        self._fence = fence
                current = self._fence
        if not taken:
            hold.work = None
        elif current is not None:
            current.arm()
        return taken

    def hold_late(
        self,
        what: str,
        *,
        loop: EventLoop | None = None,
        is_work: bool = False,
        is_wait: bool = False,
    ) -> WorkItem:
        """
        Take a hold that is part of the term's end: a lost handler, a wait.

        It can prolong a time of work, and begins none: its fence might go off at once.
        """
        hold = WorkItem(what, loop=loop, is_work=is_work, is_wait=is_wait)
        hold.work = self
        with self._lock:
            self._holds[hold] = None
            self._at_work += not is_wait
        return hold

    # The fence ----------------------------------------------------------------

    @property
    def fence(self) -> Fence | None:
        """What ends the process if the work that runs does not end; None: nothing does."""
        return self._fence

    def look_at_fence(self) -> None:
        """Let the fence go by the term as it is known now. The engine's thread."""
        ended, fence = self._ended_fence, self._fence
        if ended is not None:
            ended.call_off()  # an exception of a signal may have come before that
        if fence is not None:
            fence.look()

    def lose(self) -> None:
        """Take no new work, cancel what is alive, and see whether all has ended."""
        with self._lock:
            self._phase = _LOST
            alive = (*self._holds,)
        try:
            for hold in alive:
                if hold.cancel is not None:
                    hold.cancel()
        finally:
            self.is_told = True
        self._report_end()

    def report_end_again(self) -> None:
        """
        Say that the work has ended, if it has, though that may have been said.

        An exception of a signal handler can come in between the end and the word of it.
        """
        with self._lock:
            over = not self._holds and (self._phase is _LOST or self._phase is _ENDED)
            if over:
                self._phase = _ENDED
        if over:
            self._ended(self.term)

    def _report_end(self) -> None:
        """Say that the work has ended, if it has and the term is lost."""
        with self._lock:
            if self._phase is not _LOST or self._holds:
                return
            self._phase = _ENDED
        self._ended(self.term)

    def end(self, hold: WorkItem) -> bool:
        """End a hold; see :meth:`WorkItem.end`."""
        fence: Fence | None = None
        former: Fence | None = None
        with self._lock:
            again = hold not in self._holds
            if not again:
                del self._holds[hold]
                self._scopes -= hold.is_scope
                self._at_work -= not hold.is_wait
                if not self._at_work and self._fence is not None:
                    former = self._ended_fence  # kept: its end is a call, too
                    self._ended_fence = fence = self._fence
                    self._fence = None
            if hold.is_scope and not self._scopes and self._phase is _OPEN:
                self._phase = _CLOSED
            last = hold.is_scope and self._phase is _CLOSED
        del former
        if fence is not None:
            fence.call_off()
        if again:
            self.report_end_again()
        else:
            self._report_end()
        return last

    def drop_if(self, is_over: Callable[[WorkItem], bool]) -> bool:
        """
        End every hold whose work cannot run any more.

        Returns True if the last scope of a term that still held was among them: the
        caller then asks for the end of the term.
        """
        last = False
        for hold in self.alive:
            if is_over(hold):
                last |= self.end(hold)
        return last
