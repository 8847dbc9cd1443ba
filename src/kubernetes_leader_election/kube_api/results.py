"""
What a request to the Lease API came to: one class for each result.

Results are values, never exceptions. Every result but the good ones is a
:class:`Failed` and carries a :class:`~kubernetes_leader_election.errors.LeaseApiError`
that says what happened to which Lease and what to do; ``error.outcome`` says what is
known of a write. Only :class:`Unknown` leaves that open: read again, then decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.values import Value

LeaseObject = Mapping[str, Any]
"""A Lease as JSON has it."""


class Ok(Value):
    """The request was applied; this is the Lease now."""

    lease: LeaseObject


class Answered(Value):
    """A request about something else than one Lease was applied; the JSON answered."""

    body: Mapping[str, Any]
    date: str = ""
    """The server's Date header: for people, never for a decision."""


class Listed(Value):
    """One page of a list of Leases."""

    items: Sequence[LeaseObject]
    continue_token: str
    """Asks for the next page; empty on the last one."""
    resource_version: str = ""
    """Of the list: where a watch goes on from it; empty where the server says none."""


class Failed(Value):
    """Be the base of every result that is not the one asked for."""

    error: LeaseApiError


class NotFound(Failed):
    """There is no such Lease (said by the Lease API itself, about this Lease)."""


class Conflict(Failed):
    """The Lease is not the one the write was based on, or is there already."""


class Refused(Failed):
    """
    The server said no for another reason, and nothing was done.

    ``error.status`` and its text say why: no rights, no such namespace, too busy. A
    namespace that is missing or being deleted is never "free" (rule 4).
    """


class NotSent(Failed):
    """Not a byte of the request was sent: it cannot have been applied."""


class Unknown(Failed):
    """The request was sent, at least in part, and whether it was applied is open."""


Failure = NotFound | Conflict | Refused | NotSent | Unknown
"""Every :class:`Failed` there is, for ``match`` statements that must be complete."""
