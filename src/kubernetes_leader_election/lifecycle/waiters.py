"""Who waits for news of an elector: called after every change, and looks itself."""

from __future__ import annotations

from collections.abc import Callable

from kubernetes_leader_election.process import native


class Waiters:
    """Call everybody who waits; from any thread, and without a lock."""

    def __init__(self) -> None:
        self._lock = native.RLock()
        """Held to change the others, which who calls reads as they are at that instant."""
        self._all: tuple[Callable[[], object], ...] = ()
        """Who is called after every change; replaced as a whole."""
        self._of_renewals: tuple[Callable[[], object], ...] = ()
        """Those of them who are called after a renewal, too, which changes no more."""

    def __len__(self) -> int:
        return len(self._all)

    def add(self, waiter: Callable[[], object], *, renewals: bool = False) -> None:
        """
        Call ``waiter`` after every change, on any thread; it must not block.

        Args:
            waiter: what to call.
            renewals: whether a renewal counts, which puts off deadlines and no more. It
                wakes nobody else: most renewals are no news to a program.

        """
        with self._lock:
            self._all = (*self._all, waiter)
            if renewals:
                self._of_renewals = (*self._of_renewals, waiter)

    def remove(self, waiter: Callable[[], object]) -> None:
        """Call it no more."""
        with self._lock:
            self._all = tuple(w for w in self._all if w is not waiter)
            self._of_renewals = tuple(w for w in self._of_renewals if w is not waiter)

    def wake(self, *, renewed: bool = False) -> None:
        """
        Have everybody who waits look again.

        ``renewed``: those alone to whom a renewal is news.
        """
        for waiter in self._of_renewals if renewed else self._all:
            waiter()
