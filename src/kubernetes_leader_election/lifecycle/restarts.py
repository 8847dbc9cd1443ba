"""
What becomes of work that fails: its error is raised, or it is tried again after a pause.

Work that fails ends its term, for a reason of its own, and the elector stays out for the
pause: so another replica gets a try, and two of them do not fail in turn without one.
"""

from __future__ import annotations

import time
from typing import Any, Literal, get_args

from kubernetes_leader_election.backoff import RestartBackoff
from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.lifecycle.handlers import name_of
from kubernetes_leader_election.lifecycle.kinds_of_work import WrongWorkError
from kubernetes_leader_election.lifecycle.lifecycle import Lifecycle
from kubernetes_leader_election.settings.durations import Duration, seconds_of
from kubernetes_leader_election.text import did_you_mean, printable, shown

Restart = Literal["never", "on-failure"]
"""Whether work that failed is tried again."""
_POLICIES = get_args(Restart)


class Restarts:
    """
    Decide over work that failed, and say so.

    Args:
        lifecycle: of the elector.
        work: what is called with each term.
        restart: whether it is tried again.
        longest: the longest pause before that.

    Raises:
        ConfigurationError: there is no such policy, or no such duration.

    """

    def __init__(
        self,
        lifecycle: Lifecycle[Any],
        work: object,
        *,
        restart: Restart,
        longest: Duration,
    ) -> None:
        if restart not in _POLICIES:
            raise ConfigurationError(
                f"restart={shown(restart)} is no policy.{did_you_mean(restart, _POLICIES)}",
                option="restart",
            )
        self._lifecycle = lifecycle
        self.name = name_of(work)
        """What the work is called in messages."""
        self._wanted = restart == "on-failure"
        """Whether work that failed is to be tried again at all."""
        self._backoff = RestartBackoff(seconds_of("restart_max_delay_sec", longest))
        """How long to stay out before that."""
        self._began = 0.0
        """The ``time.monotonic()`` when it began last."""
        self.done = False
        """Whether the work has returned."""
        self.last_error: Exception | None = None
        """The newest error of the work; None: it has not failed."""

    def begin(self) -> None:
        """Take it that the work begins."""
        self.done = False
        self._began = time.monotonic()

    def fail(self, error: BaseException, number: int) -> bool:
        """
        End the numbered term, in which the work failed; tell whether it is tried again.

        Not again: where that is not asked for, where the elector stops, and what is no
        ``Exception``, as a cancellation or an exit.
        """
        lifecycle = self._lifecycle
        if not isinstance(error, Exception):
            return False
        self.last_error = error
        again = (
            self._wanted
            and not isinstance(error, WrongWorkError)
            and not lifecycle.stopping
        )
        what = f"{self.name} raised {type(error).__name__}"
        said = f"{what}: {error}" if str(error) else what
        pause = self._backoff.after(time.monotonic() - self._began) if again else 0.0
        lifecycle.fail_term(number, detail=printable(said, longest=200), stay_out=pause)
        if again:
            lifecycle.event_log.trouble(
                f"{what}: stepping down, and called again {pause:g} s later at the "
                "soonest, when this elector leads",
                error=error,
            )
        return again
