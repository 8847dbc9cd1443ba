"""
A scheduler for ``celery beat`` that sends tasks on the leader alone.

.. code-block:: console

    celery -A shop beat -S kubernetes_leader_election.contrib.celery:LeaderScheduler
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from celery.beat import Scheduler

from kubernetes_leader_election.errors import LeadershipLostError, NotLeaderError
from kubernetes_leader_election.events import EVENTS, LeaderChanged
from kubernetes_leader_election.sync import Elector

_GLANCE = 1.0
"""Seconds between two looks at whether this process leads."""


class LeaderScheduler(Scheduler):  # type: ignore[misc]  # Celery has no types
    """
    Sends what is due while this process leads, and nothing while another one does.

    The setting ``leader_election`` of the Celery application is a dict of the elector's
    options; the Lease is ``celery-beat`` unless it names another. The elector starts with
    the first tick, in the process that ticks, and stops with the scheduler.

    If another process led before, each entry counts from the moment when that one gave up
    the Lease: what came due until then was for it to send. So nothing is sent twice at a
    hand-over; after a crash, what came due before the Lease ran out is not sent.

    The schedule is kept in memory: a file beside each replica would not say what the
    others have sent.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        settings = self.app.conf.get("leader_election") or {}
        # Beat has handlers of signals that end it, and close() stops the elector.
        fixed = {"lease_name": "celery-beat", "auto_close": False}
        self._elector = Elector(**{**fixed, **settings})
        self._elector.on(EVENTS.LEADER_CHANGED, self._leader_changed)
        # The number of the term that the schedule was last prepared for.
        self._term = 0
        # Whether another one holds the Lease, as last told.
        self._another = False
        # When another one gave the Lease up, since this process led.
        self._given_up: datetime | None = None
        self._started = self._closed = False

    def tick(self, *args: Any, **options: Any) -> float:
        """
        Send one task that is due, if this process leads.

        Returns:
            float: seconds until the next call.

        """
        if self._closed:
            # By beat's handler of signals, and the exception which that raises was lost:
            # Python drops one that comes where an object is destroyed.
            raise SystemExit
        if not self._started:
            self._started = True  # before: a signal may come in there, and close it
            self._elector.start()
        try:
            # The Lease is not released while a task is being sent.
            with self._elector.guard() as term:
                if term.number != self._term:
                    self._begin(term.number)
                pause = float(super().tick(*args, **options))
        except (NotLeaderError, LeadershipLostError):
            # It waits for its turn, or has lost it while it was sending.
            pause = _GLANCE
        return min(pause, _GLANCE)

    def close(self) -> None:
        """Stop the elector, which releases the Lease, and then the scheduler."""
        self._closed = True
        if self._started:
            self._elector.stop()
        super().close()

    def _begin(self, number: int) -> None:
        """Leave to those who led before what came due under them."""
        since = self.app.now() if self._another else self._given_up
        self._term, self._another, self._given_up = number, False, None
        if since is None:
            return
        for entry in self.schedule.values():
            if entry.last_run_at is None or entry.last_run_at < since:
                entry.last_run_at = since
        self._heap = None  # the next tick computes it anew

    def _leader_changed(self, event: LeaderChanged) -> None:
        """Note when another one leads, and when it does no more; on the elector's thread."""
        if event.holder_identity not in {None, event.identity}:
            self._another = True
        elif self._another:
            self._another, self._given_up = False, self.app.now()
