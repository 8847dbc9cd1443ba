"""One life of an elector, from its start to the end of its stop, and the role it shows."""

from __future__ import annotations

import threading

from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.engine.clocks import SystemClock
from kubernetes_leader_election.leadership import Role
from kubernetes_leader_election.process.fork import Process


class Life:
    """One life, from ``start()`` to the end of ``stop()``; a new one begins it anew."""

    __slots__ = (
        "has_looked",
        "is_asked",
        "main_thread",
        "may_run",
        "number",
        "process",
        "started",
        "stopping",
    )

    def __init__(self) -> None:
        self.number = 0
        """Which one it is, counted from 1; 0 before the first. By ``begin``."""
        self.started = False
        """Whether it has begun and not ended. By ``begin`` and ``_end_life``."""
        self.stopping = False
        """Whether it is to end. By ``begin``, and by whoever stops it, signals too."""
        self.is_asked = False
        """Whether the engine was asked to begin it. By ``begin`` and ``_join``."""
        self.may_run = False
        """Whether the engine may have been asked: it was about to be. Likewise."""
        self.has_looked = False
        """Whether the Lease was seen in it, be it missing. By ``begin`` and ``on_view``."""
        self.main_thread = threading.main_thread().ident
        """The main thread of the process in which it began. By ``begin``."""
        self.process: Process | None = None
        """The process in which it began; None before the first. By ``begin``."""


class ShownRole:
    """The role, and since when, by the wall clock (microseconds since 1970)."""

    __slots__ = ("clock", "role", "seen_at", "since")

    def __init__(self) -> None:
        self.clock = SystemClock()
        """Whose wall clock it is."""
        self.role = Role.STOPPED
        """What the elector is at, as last told by the engine or a life's begin or end."""
        self.since = self.seen_at = self.clock.now().wall
        """When that began; and when the engine showed its last view."""

    def take(self, role: Role) -> None:
        """Note the role; its time only changes with it."""
        if role is not self.role:
            self.role, self.since = role, self.clock.now().wall


def role_of(state: State, *, observe: bool) -> Role:
    """Return what an elector that runs is at, by the state of its election."""
    match state:
        case State.LEADER:
            return Role.LEADER
        case State.DRAINING | State.FENCED | State.RELEASING:
            return Role.DRAINING
        case State.STANDING_BY if not observe:
            return Role.STANDING_BY
        case _:
            return role_outside(observe=observe)


def role_outside(*, observe: bool) -> Role:
    """Return the role while no term is held."""
    return Role.OBSERVER if observe else Role.CANDIDATE
