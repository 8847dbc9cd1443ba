"""Which handler fits which event: what a type checker accepts, and what it refuses."""

from __future__ import annotations

from functools import partial

from kubernetes_leader_election.elector import Elector as AsyncElector
from kubernetes_leader_election.events import (
    EVENTS,
    ElectorEvent,
    LeaderChanged,
    LeadershipAcquired,
    LeadershipLost,
)
from kubernetes_leader_election.sync import Elector


def on_any(event: ElectorEvent) -> None:
    """Take any event."""


def on_term(event: LeadershipAcquired | LeadershipLost) -> int:
    """Take the events of a term."""
    return event.term


def on_changed(event: LeaderChanged) -> None:
    """Take one kind of event."""


async def on_lost(event: LeadershipLost) -> None:
    """Take another kind, as a coroutine."""


def on_lost_with(words: str, event: LeadershipLost) -> None:
    """Take one with a word before it."""


class Listener:
    """Have a handler as a method."""

    def on_lost(self, event: LeadershipLost) -> None:
        """Take the loss."""


def fits(elector: Elector, event: EVENTS, name: str) -> None:
    """See that what fits is accepted, and keeps its type."""
    kept: int = elector.on(EVENTS.LEADERSHIP_LOST, on_term)(
        LeadershipLost(
            lease="", namespace="", identity="", term=1, token=None, reason="stopped"
        )
    )
    assert kept == 1
    elector.on("leadership_acquired", on_term)
    elector.on(elector.EVENTS.LEADERSHIP_LOST, lambda lost: lost.reason)
    elector.on(EVENTS.LEADERSHIP_LOST, partial(on_lost_with, "oh"))
    elector.once(EVENTS.LEADERSHIP_LOST, Listener().on_lost)
    elector.once(EVENTS.LEADER_CHANGED, on_changed)
    elector.on(event, on_any)
    elector.on(name, on_any)
    elector.off(EVENTS.LEADER_CHANGED, on_changed)


def fits_async(elector: AsyncElector) -> None:
    """See the same of the front for asyncio, which takes coroutines, too."""
    elector.on(EVENTS.LEADERSHIP_LOST, on_lost)

    @elector.on(elector.EVENTS.LEADERSHIP_ACQUIRED)
    @elector.on(EVENTS.LEADERSHIP_LOST)
    def on_both(event: LeadershipAcquired | LeadershipLost) -> int:
        return event.term

    @elector.once("leader_changed")
    async def on_next(event: LeaderChanged) -> None: ...

    def plain(event):  # type: ignore[no-untyped-def]  # as many programs have them
        del event

    elector.on(EVENTS.ERROR, plain)
    assert on_both(  # it is still the function
        LeadershipAcquired(
            lease="", namespace="", identity="", term=1, token_if_any=None
        )
    )


def misfits(elector: Elector, asynchronous: AsyncElector, name: str) -> None:
    """See that a handler of another event is found: each ignore would be unused else."""
    elector.on(EVENTS.LEADERSHIP_LOST, on_changed)  # type: ignore[type-var]
    elector.on("leadership_lost", on_changed)  # type: ignore[type-var]
    elector.once(EVENTS.LEADER_CHANGED, on_term)  # type: ignore[type-var]
    elector.on(EVENTS.LEADERSHIP_LOST)(on_changed)  # type: ignore[type-var]
    asynchronous.on(EVENTS.LEADER_CHANGED, on_lost)  # type: ignore[type-var]
    elector.on(name, on_changed)  # type: ignore[type-var]
    elector.on(EVENTS.ERROR, lambda: None)  # type: ignore[type-var]
