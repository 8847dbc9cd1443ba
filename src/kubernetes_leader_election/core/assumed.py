"""
Leadership assumed where there is no cluster: the core's verbs without an election.

A convenience outside G1-G9: nobody else is asked, so nothing is promised; the term
has no token and does not run out.
"""

from __future__ import annotations

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.participation import Participation
from kubernetes_leader_election.core.record import Snapshot
from kubernetes_leader_election.core.states import Fact, State, next_state
from kubernetes_leader_election.core.timing import Belief, ElectionSettings, Now
from kubernetes_leader_election.events import LossReason

FOREVER = float("inf")


class AssumedElection:
    """Lead at once and until stopped; same verbs and words as ``Election``."""

    def __init__(self, settings: ElectionSettings, *, terms: int = 0) -> None:
        self.settings = settings
        self.state = State.STOPPED
        self.snapshot: Snapshot | None = None
        self.expires_in: float | None = None
        self._out: list[m.Request | m.Event] = []
        self._terms = terms
        self._stopping = False
        self._participation = Participation(settings)
        """Until when this elector was asked not to lead."""
        self._now = Now(0.0, 0.0, 0)

    @property
    def stay_out_until(self) -> float | None:
        """The CLOCK_BOOTTIME until which this elector was asked not to lead."""
        return self._participation.stay_out_until

    @property
    def belief(self) -> Belief | None:
        """The present term, which does not run out; None when not leading."""
        return self._belief() if self.state is State.LEADER else None

    @property
    def term_deadline(self) -> Belief | None:
        """The same while draining, too."""
        return self._belief() if self._holds() else None

    @property
    def last_deadline(self) -> Belief | None:
        """The same: nobody else may lead, whatever becomes of it."""
        return self.term_deadline

    def _holds(self) -> bool:
        return self.state in (State.LEADER, State.DRAINING)

    def _belief(self) -> Belief:
        return Belief(
            term=self._terms,
            token=None,
            boottime_deadline=FOREVER,
            monotonic_deadline=FOREVER,
            wall_deadline=FOREVER,
            wall_ahead_limit=FOREVER,
            spare=FOREVER,
        )

    def receive(self, message: m.Message, *, now: Now) -> None:
        """Take a word of the application; there are no responses."""
        self._now = now
        match message:
            case m.StartAsked():
                self._stopping = False
                self._participation.come_back()
                self._change(Fact.START_ASKED)
            case m.StopAsked():
                self._stopping = True
                self._drain("stopped", Fact.STOP_ASKED)
            case m.StepDownAsked(stay_out=stay_out):
                self._drain("stepped_down", Fact.STEP_DOWN_ASKED)
                seconds = self.settings.lease_duration if stay_out is None else stay_out
                self._participation.stay_out(now.boottime + seconds)
            case m.EndAsked(term=term) if term == self._terms and self._holds():
                self._end(message, now)
            case m.WorkEnded():
                self._change(Fact.WORK_ENDED)
                self._change(Fact.RELEASE_OVER)
            case m.DriverFailed(error=error):
                self._out.append(m.ErrorOccurred(**self.settings.origin, error=error))
            case _:
                pass
        self._settle()

    def handle_timer(self, *, now: Now) -> None:
        """Lead again when the staying out is over."""
        self._now = now
        self._settle()

    def drain(self) -> list[m.Request | m.Event]:
        """Return the events since the last call, in order."""
        out, self._out = self._out, []
        return out

    def next_deadline(self) -> float | None:
        """Return the CLOCK_BOOTTIME at which the staying out is over."""
        return self.stay_out_until if self.state is State.STANDING_BY else None

    def _end(self, word: m.EndAsked, now: Now) -> None:
        failure = word.failure
        if failure is None:
            self._drain("work_ended", Fact.END_ASKED, word.detail)
            return
        self._drain("work_failed", Fact.END_ASKED, failure.detail)
        until = now.boottime + failure.stay_out
        self._participation.stay_out(until, whoever_leads=True)

    def _drain(self, reason: LossReason, fact: Fact, detail: str = "") -> None:
        if self.state is State.LEADER:
            self._out.append(
                m.LeadershipLost(
                    **self.settings.origin,
                    term=self._terms,
                    token=None,
                    reason=reason,
                    detail=detail,
                )
            )
        self._change(fact)

    def _change(self, fact: Fact) -> None:
        self.state = next_state(
            self.state,
            fact,
            stopping=self._stopping,
            may_contend=self.stay_out_until is None,
        )

    def _settle(self) -> None:
        until = self.stay_out_until
        if self.state is State.STANDING_BY and until is not None:
            if self._now.boottime < until:
                return
            self._participation.come_back()
            self._change(Fact.MAY_CONTEND)
        if self.state is State.LOOKING and not self.settings.observe:
            self._change(Fact.FREE)
            self._change(Fact.DELAY_OVER)
            self._change(Fact.ACQUIRE_PROVED)
            self._terms += 1
            self._out.append(
                m.LeadershipAcquired(
                    **self.settings.origin,
                    term=self._terms,
                    token_if_any=None,
                    assumed=True,
                )
            )
