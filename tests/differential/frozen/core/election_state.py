"""
What one election knows and awaits: its fields, changes of state, delays, ends of terms.

The lowest of the layers that make an :class:`~.election.Election`; each adds methods
to the one below and none overrides another:

- :class:`ElectionState`: what is known and due; changes of state; the end of a term.
- :class:`~.observed.Observed`: what a sighting of the Lease means.
- :class:`~.outcomes.Outcomes`: what a response to a request means.
- :class:`~.election.Election`: the four verbs, and what each state orders.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar
from zlib import crc32

from tests.differential.frozen.core import messages as m
from tests.differential.frozen.core.annotations import yield_to_successor
from tests.differential.frozen.core.in_flight import InFlight
from tests.differential.frozen.core.observation import Observation
from tests.differential.frozen.core.record import Snapshot, Stamp
from tests.differential.frozen.core.states import (
    FREE,
    HELD,
    HOLDING,
    LEADER,
    Fact,
    State,
    next_state,
)
from tests.differential.frozen.core.term import Stamper, Term, Try, find_try
from tests.differential.frozen.core.timing import Belief, ElectionSettings, Now
from tests.differential.frozen.errors import LeaseApiError
from tests.differential.frozen.events import LossReason

NEVER: Final = float("inf")

AFTER_RELEASE: Final = 0.025
"""Seconds at most before writing on a released Lease (rule 13)."""
AFTER_EXPIRY: Final = 0.4
"""Seconds at most, and 5 % of D at most, before writing on an expired one (rule 13)."""
SILENCE: Final = 0.6
"""Share of the holder's D after which a watch without news is replaced (rule 16)."""
SILENCE_SPREAD: Final = 0.1
"""What is added to it at most, so that a thousand candidates do not do so at once."""
FORMER_KEPT: Final = 32
"""Stamps of ended terms and late acquires that are remembered (rule 5)."""

LONGEST_ASKED: Final = 30.0
"""Seconds, or D where that is longer, that a server may ask to wait (fault 32)."""
LONGEST_PAUSE: Final = 5.0
"""Seconds at most between two tries of a candidate, unless the server asks for more."""
THINNING: Final = 0.25
"""Share of an outage that candidates pause between tries once it outlasts D."""

_URGENT: Final = HOLDING | {State.RELEASING, State.WITHDRAWING, State.ACQUIRING}
_BOUNDED: Final = HOLDING | {State.RELEASING, State.WITHDRAWING}
"""States that are over in bounded time, whatever the server does."""


class Former(NamedTuple):
    """A write of our own that is no longer looked for, but may still stand there."""

    uid: str | None
    """Of the Lease it was for; None where that is not known, as of one to be created."""
    attempt: Try

    @property
    def stamp(self) -> Stamp:
        """Return what it would show on the Lease."""
        return self.attempt.stamp

    def seen_on(self, snapshot: Snapshot) -> Former:
        """Return the same, which knows its Lease from the first time that it is seen there."""
        attempt = self.attempt.seen_on(snapshot)
        return self if attempt is self.attempt else Former(attempt.uid, attempt)


_Written = TypeVar("_Written", Former, Try)


class ElectionState:
    """
    Keep what one election knows, and change its state.

    Args:
        settings: checked settings, seconds throughout.
        draw: gives a number in [0, 1) at each call; the only randomness there is.

    """

    # A dictionary of more than thirty fields is slower to read, and so are methods
    # beside it: each input reads a dozen. An Election has one besides, but empty.
    __slots__ = (
        "_alive",
        "_announced",
        "_conflicts",
        "_contend_at",
        "_doubt",
        "_draw",
        "_edits",
        "_failing_since",
        "_failures",
        "_former",
        "_give_up_at",
        "_in_flight",
        "_looked",
        "_marred",
        "_may_watch_at",
        "_now",
        "_observation",
        "_read_at",
        "_refused",
        "_reported_namesake",
        "_retry_at",
        "_silence",
        "_silent_at",
        "_stamper",
        "_stay_out_until",
        "_stopping",
        "_term",
        "_terms",
        "_told_odd_version",
        "_told_short",
        "_tries",
        "_watch_at",
        "_watch_failures",
        "_watch_news",
        "_write_at",
        "_write_failures",
        "_yield_first",
        "settings",
        "state",
    )

    def __init__(
        self, settings: ElectionSettings, *, draw: Callable[[], float]
    ) -> None:
        self.settings = settings
        self.state = State.STOPPED
        self._draw = draw
        # By the identity, not drawn anew: it is looked at far more often than used.
        share = crc32(settings.identity.encode()) / 2**32
        self._silence = SILENCE + SILENCE_SPREAD * share
        self._in_flight = InFlight()
        self._observation = Observation(settings.lease_duration)
        self._stamper = Stamper(settings.identity)
        self._now = Now(0.0, 0.0, 0)
        self._term: Term | None = None
        self._terms = 0
        self._former: list[Former] = []
        self._tries: list[Try] = []
        self._announced: str | None = None
        self._reported_namesake: object = None
        self._told_short = False
        """Whether it was told that our records are cut short, since one was whole."""
        self._told_odd_version = False
        self._alive = True
        self._reset()

    def _reset(self) -> None:
        """Begin a life: nothing asked, nothing due, nothing in doubt."""
        self._stopping = False
        self._yield_first = False
        """Its work just ended, and nobody has led or been contended with since."""
        self._stay_out_until: float | None = None
        self._looked = False
        self._doubt = False
        self._refused = False
        """The doubt is of a write that was refused: one read decides (rule 10)."""
        self._read_at = NEVER
        self._write_at = 0.0
        self._watch_at = NEVER
        self._watch_news = 0.0
        self._silent_at = NEVER
        """When a watch that is open will have brought nothing for too long."""
        self._contend_at = 0.0
        self._give_up_at = 0.0
        self._failures = 0
        self._failing_since = 0.0
        self._conflicts = 0
        self._write_failures = 0
        self._retry_at = 0.0
        self._edits = 0
        """Edits of our record that each came soon after a write of ours."""
        self._marred = False
        """Whether no write of ours landed since the last one of them."""
        self._watch_failures = 0
        self._may_watch_at = 0.0

    # Asking -------------------------------------------------------------------

    @property
    def belief(self) -> Belief | None:
        """How long the present term may be trusted; None when not leading."""
        if self.state is LEADER and self._term is not None:
            return self._term.belief
        return None

    @property
    def term_deadline(self) -> Belief | None:
        """The same while draining, too: how long the Lease is provably ours."""
        if self.state in HOLDING and self._term is not None:
            return self._term.belief
        return None

    @property
    def last_deadline(self) -> Belief | None:
        """The same for a term that is over, as long as its work may still run (G2)."""
        return None if self._term is None else self._term.belief

    @property
    def snapshot(self) -> Snapshot | None:
        """The Lease as last seen; None when nothing is known or it is gone."""
        return self._observation.snapshot

    @property
    def stay_out_until(self) -> float | None:
        """The CLOCK_BOOTTIME until which this elector was asked not to contend."""
        return self._stay_out_until

    @property
    def expires_in(self) -> float | None:
        """Seconds from the last input until the record seen counts as expired."""
        if self._observation.since is None:
            return None
        return max(0.0, self._observation.left(self._now))

    def current_leader(self, now: Now) -> bool:
        """Return whether this elector leads at ``now``, by the clock (rule 15)."""
        belief = self.belief
        return belief is not None and belief.holds(now)

    # Changing state -----------------------------------------------------------

    def _change(self, fact: Fact) -> None:
        before = self.state
        self.state = next_state(
            before, fact, stopping=self._stopping, may_contend=self._may_contend()
        )
        if self.state is before:
            return
        match self.state:
            case State.CONTENDING:
                self._contend_after_delay(fact)
            case State.WAITING | State.ACQUIRING:
                self._yield_first = False
            case State.RELEASING | State.WITHDRAWING:
                # Rule 12: within a bounded time.
                self._give_up_at = (
                    self._now.boottime + 3 * self.settings.request_timeout
                )
                self._write_at = self._now.boottime
                if self._doubt:
                    # Whatever a server asked to wait for: the time is bounded now.
                    self._want_read(0.0)
            case State.LOOKING:
                self._doubt = False
                if self._observation.since is None:
                    self._want_read(0.0)
            case State.STOPPED:
                self._in_flight.abandon_all()
                self._remember([Former(t.uid, t) for t in self._tries])
                self._tries = []
                self._observation.forget()
                self._announced = None
                self._read_at = self._watch_at = NEVER
                self._stay_out_until = None
            case _:
                pass

    def _may_contend(self) -> bool:
        return (
            self._alive and not self.settings.observe and self._stay_out_until is None
        )

    def _contend_after_delay(self, fact: Fact) -> None:
        delay = self._contending_delay(fact)
        self._contend_at = max(self._now.boottime + delay, self._retry_at)

    def _contending_delay(self, fact: Fact) -> float:
        """Rule 13: so that a thousand candidates do not write at once."""
        first, self._looked = not self._looked, True
        if fact is Fact.EXPIRED:
            return self._draw() * min(AFTER_EXPIRY, 0.05 * self.settings.lease_duration)
        snapshot, settings = self._observation.snapshot, self.settings
        wait = 0.0
        if snapshot is not None and snapshot.record.is_free:
            wait = yield_to_successor(
                snapshot, settings.identity, settings.lease_duration
            )
        if first and not self._is_former():
            return wait
        # Whoever just ended its own work lets the others go first.
        return wait + AFTER_RELEASE * (
            self._draw() + (1.0 if self._yield_first else 0.0)
        )

    def _verdict(self) -> Fact | None:
        """Judge the Lease, a record of our own ended terms being free (rule 5)."""
        observation = self._observation
        verdict = observation.verdict(self._now)
        # Most Leases are held by another, and this is asked all the time.
        if verdict is HELD and observation.holder == self.settings.identity:
            if self._is_former():
                return FREE
        return verdict

    def _is_former(self) -> bool:
        snapshot = self._observation.snapshot
        if snapshot is None:
            return False
        record = snapshot.record
        if record.holder_identity != self.settings.identity:
            return False
        return self._is_of_former(snapshot) or (
            self._find_own_try(snapshot) is not None
        )

    def _find_own_try(self, snapshot: Snapshot) -> Try | None:
        """Return the acquire that the Lease shows; a copy under another uid shows none."""
        attempt = find_try(self._tries, snapshot.record)
        if attempt is None or attempt.uid not in (None, snapshot.uid):
            return None
        return attempt

    def _is_of_former(self, snapshot: Snapshot) -> bool:
        """Return whether the Lease carries a stamp of a term or life that is over."""
        return bool(self._former) and any(
            # Another Lease of that name is none of ours, whatever stands in it.
            former.uid in (None, snapshot.uid)
            and former.attempt.stamp.is_on(snapshot.record)
            for former in self._former
        )

    # Losing and ending --------------------------------------------------------

    def _lose(self, reason: LossReason, fact: Fact, detail: str = "") -> None:
        """End the term at once; of it nothing is sent from here on (rule 11)."""
        term = self._term
        assert term is not None
        if self.state is State.LEADER:
            self._announce_loss(reason, detail)
        self._change(fact)
        self._in_flight.abandon_write()
        self._doubt = False
        self._remember_term(term)
        if reason == "renew_deadline":
            self._want_read(0.0)

    def _announce_loss(self, reason: LossReason, detail: str = "") -> None:
        assert self._term is not None
        self._emit(
            m.LeadershipLost(term=self._term.number, reason=reason, detail=detail)
        )

    def _step_down(self, stay_out: float | None, detail: str = "") -> None:
        """Give leadership up if it is held; stay out for a while in any case."""
        seconds = self.settings.lease_duration if stay_out is None else stay_out
        if self.state is State.LEADER:
            self._announce_loss("stepped_down", detail)
        self._change(Fact.STEP_DOWN_ASKED)
        self._stay_out_until = self._now.boottime + seconds

    def _finish(self, fact: Fact) -> None:
        """Leave RELEASING: the term is over."""
        assert self._term is not None
        self._remember_term(self._term)
        self._term = None
        self._doubt = False
        self._change(fact)

    def _give_up(self) -> None:
        """End a release or withdrawal that cannot be brought to an end in time."""
        self._emit(
            m.ErrorOccurred(
                error=self._error(
                    "could not be released in time; it runs out by itself"
                )
            )
        )
        self._in_flight.abandon_write()
        if self.state is State.RELEASING:
            self._finish(Fact.RELEASE_OVER)
        else:
            self._change(Fact.WITHDRAWN)
        self._doubt = False

    def _remember_term(self, term: Term) -> None:
        """Remember what may still stand there of a term, but nothing overtaken."""
        if self._observation.missing:
            return  # of a Lease that is gone nothing comes back but by a restore
        snapshot, tries = self._observation.snapshot, term.tries()
        if snapshot is not None:
            # G1: the very sighting that ended the term may have overtaken them.
            tries = [t for t in tries if not t.is_overtaken_by(snapshot)]
        self._remember([Former(term.uid, attempt) for attempt in tries])

    def _forget_overtaken(self, snapshot: Snapshot) -> None:
        """G1: what another one replaced comes back only when others may believe."""
        self._tries = [
            t.seen_on(snapshot) for t in self._tries if not t.is_overtaken_by(snapshot)
        ]
        self._former = [
            f.seen_on(snapshot)
            for f in self._former
            if not f.attempt.is_overtaken_by(snapshot)
        ]

    def _forget_undone(self, snapshot: Snapshot) -> None:
        """G1: after a restore the next one may bring back whatever was undone."""
        record = snapshot.record
        self._tries = [t for t in self._tries if t.stamp.is_on(record)]
        self._former = [f for f in self._former if f.attempt.stamp.is_on(record)]

    def _forget_deleted(self, resource_version: str, version: int | None) -> None:
        """G1: nor does what was deleted; ``version`` is that of the deletion."""
        self._tries = [
            t for t in self._tries if not t.is_older_than(resource_version, version)
        ]
        self._former = [
            f
            for f in self._former
            if not f.attempt.is_older_than(resource_version, version)
        ]

    def _forget_replacing(self) -> None:
        """G1: there is no Lease now, so only what creates one can still land."""
        self._tries = [t for t in self._tries if t.uid is None]
        self._former = [f for f in self._former if f.uid is None]

    def _remember(self, former: list[Former]) -> None:
        self._former = self._latest([*self._former, *former])

    def _latest(self, writes: list[_Written]) -> list[_Written]:
        """Leave out what is too old to remember, but not what stands there now."""
        forgotten, kept = writes[:-FORMER_KEPT], writes[-FORMER_KEPT:]
        record = self._observation.record
        if forgotten and record is not None:
            kept = [w for w in forgotten if w.stamp.is_on(record)] + kept
        return kept

    def _forget_unsent(self, stamp: Stamp) -> None:
        """
        Forget a write of which not a byte was sent.

        An outage in which many are tried must not push out of memory what may have
        landed, or the term that still stands there (rule 5).
        """
        self._tries = [t for t in self._tries if t.stamp is not stamp]
        if self._term is not None:
            pending = self._term.pending
            self._term.pending = [t for t in pending if t.stamp is not stamp]

    # Waiting and telling ------------------------------------------------------

    def _want_read(self, delay: float) -> None:
        due = self._now.boottime + delay
        if due < self._read_at:
            self._read_at = due

    def _backoff(self, failures: int, error: LeaseApiError | None = None) -> float:
        """Return the seconds to wait after so many failures in a row."""
        timeout = self.settings.request_timeout
        wait = 0.0
        if failures > 0:
            cap = self._longest_pause()
            wait = min(cap, min(0.1, timeout / 8) * 2.0 ** min(failures, 16))
            wait *= 0.5 + 0.5 * self._draw()
        asked = 0.0 if error is None else self._asked(error)
        if self._term is not None and self.state in HOLDING:
            # Fault 32: honoured, but never past the renew deadline; and the last tries
            # of a term come closer together, but never as a burst (fault 24).
            left = self._term.belief.remaining(self._now)
            wait = min(wait, max(left / 2, min(0.1, timeout / 8)))
            asked = min(asked, left - timeout)
        return max(wait, asked)

    def _asked(self, error: LeaseApiError) -> float:
        """Return the seconds that the server asked to wait, as far as we honour it."""
        asked = error.retry_after
        if asked is None or not asked > 0.0:  # not a number, too
            return 0.0
        asked = min(asked, self._longest_asked())
        if self.state is State.RELEASING or self.state is State.WITHDRAWING:
            # Room for a last try before it is given up.
            left = self._give_up_at - self._now.boottime
            asked = max(0.0, min(asked, left - self.settings.request_timeout))
        return asked

    def _longest_asked(self) -> float:
        """Return how long nobody may come to lead because a server asked for it."""
        return max(LONGEST_ASKED, float(self.settings.lease_duration))

    def _longest_pause(self) -> float:
        """Return the seconds that failures may come to cost between two tries."""
        settings = self.settings
        if self.state in _URGENT:
            cap = min(settings.request_timeout / 2, 1.0)
        else:
            cap = min(LONGEST_PAUSE, settings.renew_interval / 2)
        if self._failures and self.state not in _BOUNDED:
            # Fault 44: a server that is slower than T is not kept so by its candidates.
            # After D nobody believes any more, so all that this delays is the first
            # take-over afterwards.
            lasted = self._now.boottime - self._failing_since
            thinned = THINNING * (lasted - settings.lease_duration)
            cap = max(cap, min(LONGEST_PAUSE, thinned))
        return cap

    def _count_failure(self) -> None:
        """Count a request that failed."""
        if self._failures == 0:
            self._failing_since = self._now.boottime
        self._failures += 1

    def _poll_interval(self) -> float:
        return min(self.settings.renew_interval, self.settings.lease_duration / 10)

    def _emit(self, event: m.Event) -> None:
        self._in_flight.out.append(event)

    def _announce_leader(self, holder: str | None) -> None:
        if holder != self._announced:
            self._announced = holder
            self._emit(m.LeaderChanged(holder_identity=holder))

    def _where(self) -> str:
        return f"Lease {self.settings.namespace}/{self.settings.lease_name}"

    def _error(self, what: str) -> LeaseApiError:
        return LeaseApiError(f"{self._where()}: {what}")
