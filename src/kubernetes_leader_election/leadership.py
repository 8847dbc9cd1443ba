"""
What an elector does at one instant: its role, and its state.

For people and for displays: values, which were true when they were made.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum, StrEnum
from typing import Final

from kubernetes_leader_election.errors import (
    LeaderElectionError,
)
from kubernetes_leader_election.values import Value


class Role(StrEnum):
    """What an elector is doing, in one word."""

    STOPPED = "stopped"
    """Not started, or stopped."""
    CANDIDATE = "candidate"
    """Waits for the Lease, or does not know yet who has it."""
    LEADER = "leader"
    """Holds the Lease, and its work runs."""
    DRAINING = "draining"
    """The term is given up or lost, and its work has not ended yet."""
    STANDING_BY = "standing by"
    """Asked not to contend for a while."""
    OBSERVER = "observer"
    """Follows the Lease and never contends (``observe=True``)."""


class ElectorState(Value):
    """
    One elector at one instant. For people and for displays.

    To decide whether to act, ask ``current_leader`` or ``ensure()``: this value was
    true when it was made.
    """

    role: Role
    """What the elector did."""
    holder: str | None
    """Who holds the Lease as last seen; None: nobody, or nothing is known."""
    since: datetime
    """When the role was taken up; aware, UTC, by this machine's clock."""
    deadline: datetime | None
    """
    Leader: until when the term holds without another renewal. Else: when the Lease
    seen counts as expired. None where there is no such time.
    """
    transitions: int | None
    """How often the Lease changed hands, as written in it."""
    last_error: LeaderElectionError | None
    """The newest error; kept when things go well again."""

    @property
    def is_leader(self) -> bool:
        """Whether the role was that of the leader."""
        return self.role is Role.LEADER


class Health(Value):
    """
    Whether an elector works, at one instant: what probes ask.

    Each is a few words for people, or empty where nothing is to be said.
    """

    problem: str
    """What is wrong, so that this process had better be restarted: for liveness."""
    absence: str
    """Why it is not in the race, leading or waiting: for readiness."""


class Skipped(Enum):
    """What a job that was skipped gives in place of its result; it is false."""

    NOT_LEADER = "not leader"
    """This elector does not lead."""

    def __bool__(self) -> bool:
        return False


NOT_LEADER: Final = Skipped.NOT_LEADER
"""The job was skipped, as this elector does not lead."""
