"""
What ``on()`` and ``once()`` take, for type checkers: which handler fits which event.

A handler of one event is refused for another one. Whoever names the event by a variable
gives a handler that takes any of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeVar, overload

from kubernetes_leader_election.events import (
    EVENTS,
    ElectorEvent,
    ErrorOccurred,
    LeaderChanged,
    LeadershipAcquired,
    LeadershipLost,
    LeaseRenewed,
)

_OfAcquired = TypeVar("_OfAcquired", bound=Callable[[LeadershipAcquired], object])
_OfLost = TypeVar("_OfLost", bound=Callable[[LeadershipLost], object])
_OfRenewed = TypeVar("_OfRenewed", bound=Callable[[LeaseRenewed], object])
_OfChanged = TypeVar("_OfChanged", bound=Callable[[LeaderChanged], object])
_OfError = TypeVar("_OfError", bound=Callable[[ErrorOccurred], object])
_OfAny = TypeVar("_OfAny", bound=Callable[[ElectorEvent], object])


class Subscribe(Protocol):
    """
    Register a handler, and return it; without one: return a decorator.

    The names are texts as well, so that each of them could be meant by the last two
    overloads, too: which is why they are ignored there, and they come last.
    """

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        event: Literal[EVENTS.LEADERSHIP_ACQUIRED, "leadership_acquired"],
        handler: _OfAcquired,
    ) -> _OfAcquired: ...
    @overload
    def __call__(
        self, event: Literal[EVENTS.LEADERSHIP_ACQUIRED, "leadership_acquired"]
    ) -> Callable[[_OfAcquired], _OfAcquired]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        event: Literal[EVENTS.LEADERSHIP_LOST, "leadership_lost"],
        handler: _OfLost,
    ) -> _OfLost: ...
    @overload
    def __call__(
        self, event: Literal[EVENTS.LEADERSHIP_LOST, "leadership_lost"]
    ) -> Callable[[_OfLost], _OfLost]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, event: Literal[EVENTS.LEASE_RENEWED, "lease_renewed"], handler: _OfRenewed
    ) -> _OfRenewed: ...
    @overload
    def __call__(
        self, event: Literal[EVENTS.LEASE_RENEWED, "lease_renewed"]
    ) -> Callable[[_OfRenewed], _OfRenewed]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        event: Literal[EVENTS.LEADER_CHANGED, "leader_changed"],
        handler: _OfChanged,
    ) -> _OfChanged: ...
    @overload
    def __call__(
        self, event: Literal[EVENTS.LEADER_CHANGED, "leader_changed"]
    ) -> Callable[[_OfChanged], _OfChanged]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, event: Literal[EVENTS.ERROR, "error"], handler: _OfError
    ) -> _OfError: ...
    @overload
    def __call__(
        self, event: Literal[EVENTS.ERROR, "error"]
    ) -> Callable[[_OfError], _OfError]: ...
    @overload
    def __call__(self, event: str, handler: _OfAny) -> _OfAny: ...
    @overload
    def __call__(self, event: str) -> Callable[[_OfAny], _OfAny]: ...
