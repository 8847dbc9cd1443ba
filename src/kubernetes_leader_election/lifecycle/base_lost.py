"""``term.lost``, as far as it is the same for asyncio and for threads."""

from __future__ import annotations

from typing import Any

from kubernetes_leader_election.lifecycle.base_term import BaseTerm
from kubernetes_leader_election.lifecycle.lifecycle import Lifecycle


class BaseLost:
    """Tell when a term has ended."""

    __slots__ = ("_lifecycle", "_term")

    def __init__(self, lifecycle: Lifecycle[Any], term: BaseTerm) -> None:
        self._lifecycle = lifecycle
        """Tells of news. Never changes."""
        self._term = term
        """Whose end it is. Never changes."""

    def is_set(self) -> bool:
        """Return whether the term has ended."""
        return self._term.is_lost
