"""Find credentials for one elector, and try again where they cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kubernetes_leader_election.backoff import pause_after
from kubernetes_leader_election.credentials.base import Credentials
from kubernetes_leader_election.errors import LeaderElectionError
from kubernetes_leader_election.process.timers import Timer, shared_timers

LONGEST_RETRY: Final = 30.0
"""Seconds at most between two looks for credentials that cannot be read."""


class Connector:
    """
    Know where credentials come from, and when to look again.

    Args:
        given: as given by the user; None: to be found at each start.
        again: called on a thread of timers when the next look is due.

    """

    def __init__(
        self, given: Credentials | None, *, again: Callable[[], object]
    ) -> None:
        self.given = given
        """What the user gave; None: to be found."""
        self._again = again
        self.error: LeaderElectionError | None = None
        """The newest trouble with them: there is no election yet that could report it."""
        self._retry: Timer | None = None
        """The next look, while one is awaited."""
        self._retries = 0
        """How many looks of this life failed, from which the pause follows."""

    @property
    def awaits_retry(self) -> bool:
        """Whether another look is to come."""
        return self._retry is not None

    def begin(self) -> None:
        """Begin a life: pauses are short again."""
        self._retries = 0

    def find(self) -> Credentials | None:
        """Return what was given, or is there to be found; None: not in a cluster."""
        self.give_up()
        return self._find_credentials()

    def _find_credentials(self) -> Credentials | None:
        if self.given is not None:
            return self.given
        from kubernetes_leader_election.credentials import discover  # noqa: PLC0415 - tests replace it, a pod pays for what it uses

        return discover()

    def try_later(self) -> None:
        """Have the next look taken after a pause that grows."""
        pause = pause_after(self._retries, first=1.0, longest=LONGEST_RETRY)
        self._retries += 1
        self.give_up()
        self._retry = shared_timers().call_later(pause, self._again)

    def give_up(self) -> None:
        """Take none of the looks that are to come."""
        retry, self._retry = self._retry, None
        if retry is not None:
            retry.cancel()
