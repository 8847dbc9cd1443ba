"""
What a response to a request means: done, not done or unknown, and old or new.

Responses to requests that are over are not looked at. What a response shows of the
Lease becomes a sighting, unless newer news came before it (rule 11).
"""

from __future__ import annotations

from typing import Final

from tests.differential.frozen.core import messages as m
from tests.differential.frozen.core import record as rec
from tests.differential.frozen.core.election_state import NEVER
from tests.differential.frozen.core.in_flight import PendingWrite
from tests.differential.frozen.core.observed import Observed
from tests.differential.frozen.core.states import HOLDING, Fact, State
from tests.differential.frozen.errors import LeaseApiError

TRY_WATCH_AGAIN: Final = 300.0
"""Seconds between tries to watch where that is not permitted."""

MANY_CONFLICTS: Final = 3
"""Conflicts of a leader's writes in a row that are worth an error."""

FOLLOWING: Final = frozenset(
    {State.LOOKING, State.WAITING, State.CONTENDING, State.STANDING_BY, State.FENCED}
)
"""States that follow the Lease without holding it."""

WRITE_DECIDES: Final = frozenset({State.ACQUIRING, State.WITHDRAWING})
"""States in which it is to be found out whether an acquire landed."""


class Outcomes(Observed):
    """Conclude from the responses to requests."""

    __slots__ = ()

    # Reads --------------------------------------------------------------------

    def _on_fetched(self, message: m.LeaseFetched) -> None:
        pending = self._in_flight.read
        if pending is None or pending.request_id != message.request_id:
            return
        self._in_flight.read = None
        self._failures = 0
        snapshot = rec.read_snapshot(message.lease)
        known = self._observation.version
        overtaken = known not in (pending.known, snapshot.version)
        if overtaken and self._observation.is_news(snapshot) is False:
            self._read_was_overtaken()
            return
        went_back = (
            pending.known is not None
            and snapshot.version is not None
            and snapshot.version < pending.known
        )
        if went_back and self._term is not None and self.state in HOLDING:
            self._observe(snapshot)
            self._lose(
                "another_holder",
                Fact.LOST,
                "the Lease went back to an earlier version, as after a restore",
            )
            self._forget_undone(snapshot)
            self._after_read()
            return
        if went_back:
            self._forget_undone(snapshot)
        self._doubt = self._refused = False
        self._take(snapshot)
        self._after_read()

    def _on_not_found(self, message: m.LeaseNotFound) -> None:
        pending = self._in_flight.read
        if pending is None or pending.request_id != message.request_id:
            return
        self._in_flight.read = None
        self._failures = 0
        if pending.known != self._observation.version:
            self._read_was_overtaken()
            return
        self._doubt = self._refused = False
        self._gone()
        # It may be gone by a restore, after which versions count from lower on: the
        # answer to a creating write would else look like old news.
        self._observation.hear("", None)
        self._after_read()

    def _read_was_overtaken(self) -> None:
        """Rule 11: what was read before newer news came proves nothing."""
        if self._doubt:
            self._want_read(0.0)
        self._after_read()

    def _after_read(self) -> None:
        """Open the watch that waited for a read, as soon as one may be opened."""
        now = self._now.boottime
        if self._in_flight.watch_id is not None or self.state is State.STOPPED:
            return
        if now < self._may_watch_at:
            self._watch_at = self._may_watch_at
        elif self._watch_at == NEVER:
            self._watch_at = now + self._backoff(self._watch_failures)

    # Writes -------------------------------------------------------------------

    def _on_written(self, message: m.LeaseWritten) -> None:
        write = self._take_write(message.request_id)
        if write is None:
            return
        self._failures = self._conflicts = 0
        snapshot = rec.read_snapshot(message.lease)
        if not write.stamp.is_on(snapshot.record):
            # An answer that is not what was written: something sits in between.
            self._in_doubt(
                self._error("the answer to a write was not what was written")
            )
            return
        heard_more = self._observation.version != write.known
        if heard_more and self._observation.is_news(snapshot) is False:
            return  # the watch was faster: this is known, or overtaken
        # News also with a lower version, as what is created after a restore has.
        self._take(snapshot)

    def _on_conflict(self, message: m.WriteConflict) -> None:
        if self._take_write(message.request_id) is None:
            return
        # Rule 10: perhaps our own write; read and look for our stamp.
        self._doubt_write()
        self._conflicts += 1
        if self._conflicts == MANY_CONFLICTS and self._term is not None:
            # Said once in a row of them: else a term would end without any error.
            self._emit(
                m.ErrorOccurred(
                    error=self._error(
                        f"{MANY_CONFLICTS} writes in a row met a conflict (409): "
                        "something else changes the Lease, or refuses its writes"
                    )
                )
            )
        self._want_read(self._backoff(self._conflicts - 2))

    def _on_unknown(self, request_id: int, error: LeaseApiError) -> None:
        if (
            self._in_flight.read is not None
            and self._in_flight.read.request_id == request_id
        ):
            self._in_flight.read = None
            self._count_failure()
            if error.status == 403:
                # Not the watch alone is forbidden: it is tried again with the reads.
                self._may_watch_at, self._watch_at = 0.0, NEVER
            self._emit(m.ErrorOccurred(error=error))
            delay = self._backoff(self._failures, error)
            self._want_read(delay)
            if self._refused and self.state in WRITE_DECIDES:
                # One look at what a refused write left behind is enough.
                self._doubt = self._refused = False
                self._retry_at = max(self._retry_at, self._now.boottime + delay)
        elif self._take_write(request_id) is not None:
            self._in_doubt(error)

    def _in_doubt(self, error: LeaseApiError) -> None:
        self._emit(m.ErrorOccurred(error=error))
        self._doubt_write()
        self._want_read(self._backoff(self._failures, error))
        self._count_failure()
        # Fault 24: reads that work meanwhile are no reason to write in a hot loop.
        pause = self._backoff(self._write_failures)
        # Rule 14: who cannot lead here stays out, whatever became of that write.
        self._retry_at = max(self._retry_at, self._now.boottime + pause)
        self._write_at = max(self._write_at, self._retry_at)
        self._write_failures += 1

    def _doubt_write(self) -> None:
        """Take it that a write may have been applied, or may still be."""
        self._doubt = True
        if self.state in WRITE_DECIDES:
            # A read that left before this one was in doubt shows nothing of it.
            self._in_flight.abandon_read()

    def _on_failed(self, request_id: int, error: LeaseApiError) -> None:
        """
        Take it that a request was refused, or was never sent.

        If it was sent, its stamp is not forgotten: who refused it need not be who applied it, as
        behind a proxy that sends again, or gives up waiting. So a stamp that is seen
        outweighs any status (rule 10).
        """
        if (
            self._in_flight.read is not None
            and self._in_flight.read.request_id == request_id
        ):
            self._on_unknown(request_id, error)
            return
        write = self._take_write(request_id)
        if write is None:
            return
        self._emit(m.ErrorOccurred(error=error))
        self._count_failure()
        # Reads that work meanwhile are no reason to write in a hot loop.
        self._write_failures += 1
        delay = self._backoff(self._write_failures, error)
        self._write_at = self._now.boottime + delay
        self._retry_at = max(self._retry_at, self._write_at)
        sent = error.status is not None or error.outcome != "not done"
        if not sent:
            self._forget_unsent(write.stamp)
        if self.state not in WRITE_DECIDES:
            return  # the next try, or the watch, shows what came of it
        if sent:
            self._doubt_write()
            self._refused = True
            self._want_read(self._asked(error))
        elif self.state is State.ACQUIRING:
            self._change(self._verdict() or Fact.FREE)

    def _take_write(self, request_id: int) -> PendingWrite | None:
        write = self._in_flight.write
        if write is None or write.request_id != request_id:
            return None
        self._in_flight.write = None
        return write

    # The watch ----------------------------------------------------------------

    def _on_watch_event(self, message: m.WatchEvent) -> None:
        if message.request_id != self._in_flight.watch_id:
            return
        snapshot = rec.read_snapshot(message.object)
        self._watch_news = self._now.boottime
        if message.type == "BOOKMARK":
            self._observation.bookmark(snapshot.resource_version, snapshot.version)
            return
        if message.type not in ("ADDED", "MODIFIED", "DELETED"):
            self._in_flight.abandon_watch()
            self._watch_broke(self._error(f"the watch brought {message.type[:40]!r}"))
            return
        self._watch_failures = 0
        news = self._observation.is_news(snapshot)
        if news is None:
            self._want_read(0.0)  # rule 11: not comparable, so ask
        elif news:
            if message.type == "DELETED":
                self._observation.hear(snapshot.resource_version, snapshot.version)
                self._forget_deleted(snapshot.resource_version, snapshot.version)
                self._gone()
            else:
                self._take(snapshot)

    def _on_watch_ended(self, message: m.WatchEnded) -> None:
        if message.request_id != self._in_flight.watch_id:
            return
        lasted = self._now.boottime - self._in_flight.watch_since
        self._in_flight.watch_id = None
        if message.error is None and lasted >= 1.0:
            # An end in good order: go on from where it was.
            self._watch_at = self._now.boottime
            return
        self._watch_broke(message.error)

    def _watch_broke(self, error: LeaseApiError | None) -> None:
        """Rule 16: any oddity in a stream: close, GET, watch again, with backoff."""
        self._watch_failures += 1
        self._watch_at = NEVER
        now = self._now.boottime
        if error is not None and error.status == 403:
            if self._may_watch_at == 0.0:  # said once
                self._emit(m.ErrorOccurred(error=error))
            self._may_watch_at = now + TRY_WATCH_AGAIN
        elif error is not None and error.status != 410:
            self._emit(m.ErrorOccurred(error=error))
        self._want_read(self._backoff(self._watch_failures - 1, error))
