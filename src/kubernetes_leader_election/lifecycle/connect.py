"""Find credentials for one elector, and try again where they cannot be read."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from kubernetes_leader_election.backoff import pause_after
from kubernetes_leader_election.credentials.base import Credentials
from kubernetes_leader_election.errors import CredentialsError, LeaderElectionError
from kubernetes_leader_election.lifecycle.event_log import EventLog
from kubernetes_leader_election.process.timers import Timer, shared_timers
from kubernetes_leader_election.settings.options import Settings

if TYPE_CHECKING:
    from kubernetes_leader_election.engine.driver import Driver
    from kubernetes_leader_election.engine.view import Listener

LONGEST_RETRY: Final = 30.0
"""Seconds at most between two looks for credentials that cannot be read."""


class Connector:
    """
    Know where credentials come from, and when to look again.

    Args:
        given: as given by the user; None: to be found at each start.
        again: called on a thread of timers when the next look is due.
        event_log: hears of what nobody foresaw.

    """

    def __init__(
        self,
        given: Credentials | None,
        *,
        again: Callable[[], object],
        event_log: EventLog,
    ) -> None:
        self.given = given
        """What the user gave; None: to be found."""
        self._again = again
        self._event_log = event_log
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
        """Begin a life: pauses are short again, and no look of the last one is due."""
        self._retries = 0
        self.give_up()

    def find(self) -> Credentials | None:
        """Return what was given, or is there to be found; None: not in a cluster."""
        if self.given is not None:
            return self.given
        from kubernetes_leader_election.credentials import discover  # noqa: PLC0415 - tests replace it, a pod pays for what it uses

        return discover()

    def failed(self, error: Exception, *, where: str) -> LeaderElectionError:
        """Have the next look taken after a pause; return what to report of this one."""
        # First of all: whatever becomes of the report, the next try is due (G8).
        pause = pause_after(self._retries, first=1.0, longest=LONGEST_RETRY)
        self._retries += 1
        self.give_up()
        self._retry = shared_timers().call_later(pause, self._again)
        if not isinstance(error, LeaderElectionError):
            # Of its kind only: the text may hold what was read, a token even (fault 50).
            kind = type(error).__name__
            trace = "".join(traceback.format_tb(error.__traceback__))
            self._event_log.trouble(f"loading credentials raised {kind}", trace)
            error = CredentialsError(
                f"{where}: unexpected {kind} while loading credentials; retrying. "
                "See the log."
            )
        self.error = error
        return error

    def give_up(self) -> None:
        """Take none of the looks that are to come."""
        retry, self._retry = self._retry, None
        if retry is not None:
            retry.cancel()


def refuse_no_cluster(
    settings: Settings, credentials: Credentials | None, *, where: str
) -> None:
    """
    Refuse to assume leadership where that was not to be.

    Raises:
        CredentialsError: ``require_cluster=True``, and this is no cluster.

    """
    if credentials is None and settings.require_cluster:
        raise CredentialsError(
            f"{where}: this is no cluster (no KUBERNETES_SERVICE_HOST, no "
            "service account is mounted), and require_cluster=True was given. "
            "Give credentials=, as kubernetes_leader_election.credentials."
            "kubeconfig(), or leave require_cluster out: leadership is then "
            "assumed."
        )


def make_driver(
    settings: Settings,
    credentials: Credentials | None,
    *,
    listener: Listener,
    event_log: EventLog,
    terms: int,
) -> Driver:
    """
    Return the way to the election.

    Args:
        settings: checked settings.
        credentials: for the API server; None: outside any cluster.
        listener: hears of what happens, on the engine's thread.
        event_log: hears of what nobody foresaw.
        terms: how many there were before, from which the next ones are counted on.

    """
    from kubernetes_leader_election.engine.driver import Driver  # noqa: PLC0415 - half of the import, needed by who starts only

    return Driver(
        settings=settings.election(
            namespace=credentials.namespace if credentials else "default"
        ),
        credentials=credentials,
        listener=listener,
        log=event_log,
        terms=terms,
    )
