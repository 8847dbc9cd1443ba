"""
What a response to a request means: done, not done or unknown, and old or new.

Responses to requests that are over are not looked at. What a response shows of the
Lease becomes a sighting, unless newer news came before it (rule 11).
"""

from __future__ import annotations

from typing import Final

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core import record as rec
from kubernetes_leader_election.core.observed import Observed
from kubernetes_leader_election.core.retry import MANY_CONFLICTS
from kubernetes_leader_election.core.schedule import NEVER
from kubernetes_leader_election.core.standing import Standing
from kubernetes_leader_election.core.states import HOLDING, Fact, State
from kubernetes_leader_election.errors import LeaseApiError

FOLLOWING: Final = frozenset(
    {
        State.LOOKING,
        State.WAITING,
        State.CHALLENGING,
        State.CONTENDING,
        State.STANDING_BY,
        State.FENCED,
    }
)
"""States that follow the Lease without holding it."""

WRITE_DECIDES: Final = frozenset({State.ACQUIRING, State.WITHDRAWING})
"""States in which it is to be found out whether an acquire landed."""


class Outcomes:
    """Conclude from the responses to requests."""

    __slots__ = (
        "_challenge",
        "_in_flight",
        "_notices",
        "_observation",
        "_observed",
        "_own_writes",
        "_retry",
        "_schedule",
        "_standing",
        "_watch_policy",
    )

    def __init__(self, standing: Standing, observed: Observed) -> None:
        self._standing = standing
        self._observed = observed
        # Parts by names of their own: they are asked at each input.
        self._challenge = standing.challenge
        self._in_flight = standing.in_flight
        self._observation = standing.observation
        self._own_writes = standing.own_writes
        self._retry = standing.retry
        self._schedule = standing.schedule
        self._watch_policy = standing.watch_policy
        self._notices = standing.notices

    # Reads --------------------------------------------------------------------

    def on_fetched(self, message: m.LeaseFetched) -> None:
        """Take the Lease as a read brought it."""
        standing = self._standing
        pending = self._in_flight.end_read(message.request_id)
        if pending is None:
            return
        self._retry.answered()
        snapshot = rec.read_snapshot(message.lease)
        known = self._observation.version
        overtaken = known not in (pending.known, snapshot.version)
        went_back = (
            pending.known is not None
            and snapshot.version is not None
            and snapshot.version < pending.known
        )
        if went_back:
            self._challenge.hearing.distrust(self._observation, standing.now)
        if overtaken and self._observation.is_news(snapshot) is False:
            self._read_was_overtaken()
        elif went_back and standing.state in HOLDING:
            self._observed.observe(snapshot)
            standing.lose(
                "another_holder",
                Fact.LOST,
                "the Lease went back to an earlier version, as after a restore",
            )
            self._own_writes.forget_undone(snapshot)
        else:
            if went_back:
                self._own_writes.forget_undone(snapshot)
            self._own_writes.end_doubt()
            self._observed.take(snapshot)
        if self._observation.version == snapshot.version:
            self._mind_passed(snapshot.version, known)
        self._after_read()

    def on_not_found(self, message: m.LeaseNotFound) -> None:
        """Take it that a read found no Lease."""
        pending = self._in_flight.end_read(message.request_id)
        if pending is None:
            return
        self._retry.answered()
        known = self._observation.version
        if pending.known != known:
            self._read_was_overtaken()
        else:
            self._mind_passed(None, known)
            self._own_writes.end_doubt()
            self._observed.gone()
            # It may be gone by a restore, after which versions count from lower on: the
            # answer to a creating write would else look like old news.
            self._observation.hear("", None)
        self._after_read()

    def _read_was_overtaken(self) -> None:
        """Rule 11: what was read before newer news came proves nothing."""
        if self._own_writes.in_doubt:
            self._standing.want_read(0.0)

    def _mind_passed(self, version: int | None, known: int | None) -> None:
        """
        Rule 16: replace a watch that has passed what is seen, and did not bring it.

        It was opened from a version that a restore has undone, say: the server sends
        nothing on it until its versions have come so far again.
        """
        watch = self._watch_policy
        if version != known and watch.has_passed(version):
            if self._in_flight.watch_id is not None:
                self._in_flight.abandon_watch()
                watch.open_from(self._standing.now.boottime)

    def _after_read(self) -> None:
        """Open the watch that waited for a read, as soon as one may be opened."""
        standing = self._standing
        if self._in_flight.watch_id is not None or standing.state is State.STOPPED:
            return
        watch, now = self._watch_policy, standing.now.boottime
        if watch.is_forbidden(now):
            watch.open_when_allowed()
        elif watch.open_at == NEVER:
            watch.open_from(now + standing.backoff(watch.failures))

    # Writes -------------------------------------------------------------------

    def on_written(self, message: m.LeaseWritten) -> None:
        """Take it that a write was applied."""
        write = self._in_flight.end_write(message.request_id)
        if write is None:
            return
        self._retry.written()
        snapshot = rec.read_snapshot(message.lease)
        if not write.stamp.is_on(snapshot.record):
            # An answer that is not what was written: something sits in between.
            self._in_doubt(
                self._notices.error("the answer to a write was not what was written")
            )
            return
        known = self._observation.version
        heard_more = known != write.known
        if heard_more and self._observation.is_news(snapshot) is False:
            return  # the watch was faster: this is known, or overtaken
        # News also with a lower version, as what is created after a restore has.
        self._observed.take(snapshot)
        self._mind_passed(snapshot.version, known)

    def on_conflict(self, message: m.WriteConflict) -> None:
        """Take it that a write met another Lease than it was based on."""
        standing = self._standing
        if self._in_flight.end_write(message.request_id) is None:
            return
        # Rule 10: perhaps our own write; read and look for our stamp.
        self._doubt_write()
        now = standing.now.boottime
        if self._retry.count_conflict(now) and standing.term is not None:
            # Said once in a row of them: else a term would end without any error.
            standing.report(
                f"{MANY_CONFLICTS} writes in a row met a conflict (409): "
                "something else changes the Lease, or refuses its writes"
            )
        standing.want_read(standing.backoff(self._retry.conflicts - 2))

    def on_unknown(self, request_id: int, error: LeaseApiError) -> None:
        """Take it that nobody knows what became of a request."""
        if self._in_flight.end_read(request_id) is not None:
            self._read_failed(error)
        elif self._in_flight.end_write(request_id) is not None:
            self._in_doubt(error)

    def _read_failed(self, error: LeaseApiError) -> None:
        standing = self._standing
        standing.count_failure()
        if error.status == 403:
            self._watch_policy.reading_is_forbidden()
        standing.tell_error(error)
        delay = standing.backoff(self._retry.failures, error)
        standing.want_read(delay)
        if self._own_writes.refused and standing.state in WRITE_DECIDES:
            # One look at what a refused write left behind is enough.
            self._own_writes.end_doubt()
            self._retry.stay_away(standing.now.boottime + delay)

    def _in_doubt(self, error: LeaseApiError) -> None:
        standing = self._standing
        standing.tell_error(error)
        self._doubt_write()
        standing.want_read(standing.backoff(self._retry.failures, error))
        standing.count_failure()
        standing.put_writes_off()
        self._schedule.write_not_before(self._retry.not_before)

    def _doubt_write(self) -> None:
        """Take it that a write may have been applied, or may still be."""
        self._own_writes.doubt()
        if self._standing.state in WRITE_DECIDES:
            # A read that left before this one was in doubt shows nothing of it.
            self._in_flight.abandon_read()

    def on_failed(self, request_id: int, error: LeaseApiError) -> None:
        """
        Take it that a request was refused, or was never sent.

        If it was sent, its stamp is not forgotten: who refused it need not be who
        applied it, as behind a proxy that sends again, or gives up waiting. So a stamp
        that is seen outweighs any status (rule 10).
        """
        standing = self._standing
        if self._in_flight.end_read(request_id) is not None:
            self._read_failed(error)
            return
        write = self._in_flight.end_write(request_id)
        if write is None:
            return
        standing.tell_error(error)
        standing.count_failure()
        self._retry.count_write_failure()
        delay = standing.backoff(self._retry.write_failures, error)
        self._schedule.write_next(standing.now.boottime + delay)
        self._retry.stay_away(standing.now.boottime + delay)
        sent = error.status is not None or error.outcome != "not done"
        if not sent:
            self._own_writes.forget_unsent(write.stamp)
            if standing.term is not None:
                standing.term.forget_unsent(write.stamp)
        if standing.state not in WRITE_DECIDES:
            return  # the next try, or the watch, shows what came of it
        if sent:
            self._doubt_write()
            self._own_writes.doubt_refused()
            standing.want_read(standing.backoff(0, error))
        elif standing.state is State.ACQUIRING:
            standing.change(standing.verdict() or Fact.FREE)

    # The pod of the holder ----------------------------------------------------

    def on_proof_seen(self, message: m.ProofSeen) -> None:
        """Take it that the process has ended that left the note."""
        if message.request_id == self._in_flight.proof_id:
            self._challenge.prove(message.why, self._standing.now.boottime)

    def on_proof_refuted(self, message: m.ProofRefuted) -> None:
        """Take it that the end of that process will never be proved."""
        sought = self._challenge.sought
        if message.request_id == self._in_flight.proof_id and sought is not None:
            self._in_flight.end_proof()
            self._challenge.refute(sought.nonce)
            self._notices.gap.unproved(sought.nonce, message.why)
            self._challenge.seek_no_more()

    def on_proof_unreadable(self, message: m.ProofUnreadable) -> None:
        """Take it that the pod cannot be watched now: without it, time decides."""
        if message.request_id == self._in_flight.proof_id:
            self._in_flight.end_proof()
            now = self._standing.now.boottime
            self._challenge.unreadable(message.error, now)

    # The watch ----------------------------------------------------------------

    def on_watch_event(self, message: m.WatchEvent) -> None:
        """Take one event of the watch."""
        if message.request_id != self._in_flight.watch_id:
            return
        snapshot = rec.read_snapshot(message.object)
        if message.type == "BOOKMARK":
            self._watch_policy.hear_bookmark(
                self._standing.now.boottime, snapshot.version
            )
            self._observation.bookmark(snapshot.resource_version, snapshot.version)
            return
        if message.type not in ("ADDED", "MODIFIED", "DELETED"):
            self._in_flight.abandon_watch()
            self._watch_broke(
                self._notices.error(f"the watch brought {message.type[:40]!r}")
            )
            return
        standing, hearing = self._standing, self._challenge.hearing
        self._watch_policy.hear(standing.now.boottime, snapshot.version)
        news = self._observation.is_news(snapshot)
        if message.type != "DELETED" and standing.settings.crash_takeover:
            before = self._observation.snapshot
            hearing.hear(message.request_id, before, snapshot, standing.now)
        if news is None:
            standing.want_read(0.0)  # rule 11: not comparable, so ask
        elif news:
            if message.type == "DELETED":
                self._observation.hear(snapshot.resource_version, snapshot.version)
                self._own_writes.forget_deleted(
                    snapshot.resource_version, snapshot.version
                )
                self._observed.deleted(snapshot)
            else:
                self._observed.take(snapshot)
        if hearing.notes_first and standing.state in HOLDING:
            # Rule 17: the acquire could not carry a note, so the first renewal does.
            if hearing.note_to_leave(self._in_flight.watch_id) is not None:
                self._schedule.write_by(standing.now.boottime)

    def on_watch_ended(self, message: m.WatchEnded) -> None:
        """Take it that the watch is over."""
        if message.request_id != self._in_flight.watch_id:
            return
        now = self._standing.now.boottime
        self._in_flight.end_watch()
        if message.error is None and self._watch_policy.ended_in_order(now):
            # An end in good order: go on from where it was.
            self._watch_policy.open_from(now)
            return
        self._watch_broke(message.error)

    def _watch_broke(self, error: LeaseApiError | None) -> None:
        """Rule 16: any oddity in a stream: close, GET, watch again, with backoff."""
        standing = self._standing
        standing.contending.wait_in_full()  # rule 4: it may miss what came and went
        standing.notices.gap.lose_sight()
        watch = self._watch_policy
        if watch.broke(error, standing.now.boottime):
            standing.tell_error(error)
        standing.want_read(standing.backoff(watch.failures - 1, error))
