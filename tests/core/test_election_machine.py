"""
The core against a dumb model: anything may happen, in any order, at any time.

Hypothesis plays the application, the API server, the network, the clocks and a rival.
The model knows nothing of states: only which writes left, which were applied, what
the core was shown and when, and what it told. After every step it is asked whether
that justifies what the core believes and orders.
"""

from __future__ import annotations

import os
import random

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.election import Election as Core
from kubernetes_leader_election.core.record import format_time
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.errors import LeaderElectionError
from tests.core.harness import WALL, Hand
from tests.simulation.planted_bugs import BUGS

EXAMPLES = int(os.environ.get("EXAMPLES", "100"))
"""How many stories are played; with another number than usual they are new ones."""
STEPS = 60
WRITES = (m.CreateLease, m.UpdateLease)
DRAINS = {"stopped", "stepped_down", "work_ended"}
FIELDS = ("holderIdentity", "leaseDurationSeconds", "acquireTime", "renewTime")
FIELDS += ("leaseTransitions",)
TINY = 1e-6

moments = st.sampled_from([0.0, 0.001, 0.3, 2.4, 5.0, 9.99, 12.0, 15.0, 20.0, 70.0])
which = st.integers(0, 3)


def record_of(lease):
    """Give what counts as change: the uid and the five fields."""
    spec = lease.get("spec") or {}
    return (lease["metadata"].get("uid"), *(spec.get(name) for name in FIELDS))


class Election(RuleBasedStateMachine):
    """One core, one Lease, and everything that can come between them."""

    make_core = Core
    """The real one, or one with a mistake, to see that the model finds it."""

    @initialize(
        seed=st.integers(0, 2**16),
        found=st.sampled_from(["none", "b", ""]),
        seconds=st.sampled_from([0.0, 1.0, 31.0]),
    )
    def begin(self, seed, found, seconds):
        """Begin with a Lease that is missing, held by a rival, or free; and start."""
        dice = random.Random(seed)  # noqa: S311 - a test, not a secret
        self.hand = Hand(draws=[dice.random() for _ in range(500)])
        hand = self.hand
        hand.core = type(self).make_core(hand.settings, draw=hand._draw)
        if found != "none":
            self.hand.rival_holds(found)
        # What the network holds: writes that were sent, given up or not.
        self.flying = []
        self.unanswered = {}
        self.told_to = 0
        # What the model knows.
        self.sent = {}
        self.applied = {}
        self.first_seen = {}
        self.shown = {}
        self.gone_at = None
        self.saw_held = False
        self.restored = False
        self.open_term = 0
        self.last_term = 0
        self.working = None
        self.acquires = []
        self.lost_acquires = set()
        self.last_stamp = ""
        self.say(m.StartAsked())
        self.live(seconds)

    # Driving ------------------------------------------------------------------

    def now(self):
        """Read the clocks as the model keeps them: boot and monotonic seconds."""
        clock = self.hand.clock
        return (clock.boottime, clock.monotonic)

    def say(self, message):
        """Give the core one input."""
        self.hand.say(message)
        self.read_out()

    def read_out(self):
        """Check each order and each event as it comes out."""
        fresh, self.told_to = self.hand.out[self.told_to :], len(self.hand.out)
        for item in fresh:
            if isinstance(item, WRITES):
                self.check_write(item)
                self.flying.append(item)
                self.unanswered[item.request_id] = None
            elif isinstance(item, m.LeadershipAcquired):
                self.check_acquired(item)
            elif isinstance(item, m.LeadershipLost):
                self.check_lost(item)
            elif isinstance(item, m.LeaseRenewed):
                assert self.working is not None

    # What the core orders and tells -------------------------------------------

    def check_write(self, put):
        """G5: what was shown justifies every write, and it carries uid and version."""
        spec, metadata = put.lease["spec"], put.lease["metadata"]
        self.sent[record_of(put.lease)[1:]] = (self.now(), self.hand.clock.wall)
        assert spec["renewTime"] > self.last_stamp, "rule 7: strictly increasing"
        self.last_stamp = spec["renewTime"]
        acquires = spec["holderIdentity"] and spec["acquireTime"] not in self.acquires
        if not spec["holderIdentity"]:
            assert self.working is None, "a release while work runs"
        elif acquires:
            assert self.working is None, "an acquire while work of an old term runs"
            self.acquires.append(spec["acquireTime"])
        else:
            assert self.working is not None, "a renewal of a term that is over"
            assert spec["acquireTime"] not in self.lost_acquires, "a renewal after loss"
        if isinstance(put, m.CreateLease):
            assert "uid" not in metadata
            assert "resourceVersion" not in metadata
            self.check_creation()
            return
        assert metadata["uid"]
        base = self.shown[metadata["uid"], metadata["resourceVersion"]]
        if acquires:
            self.check_take_over(base)
        else:
            assert record_of(base)[1:] in self.sent, "a term that is not ours"

    def check_creation(self):
        """Rule 4: with no history at once, else after a full wait."""
        if self.saw_held and not self.restored:
            assert self.gone_at is not None
            assert self.waited(self.gone_at) >= self.hand.settings.lease_duration - TINY

    def check_take_over(self, base):
        """Rules 1, 3 and 5: free, our own, or seen standing for its own duration."""
        spec = base.get("spec") or {}
        if not spec.get("holderIdentity") or record_of(base)[1:] in self.sent:
            return
        duration = spec.get("leaseDurationSeconds") or 20
        assert self.waited(self.first_seen[record_of(base)]) >= duration - TINY

    def waited(self, since):
        """Give the smaller of the elapsed times."""
        return min(a - b for a, b in zip(self.now(), since, strict=True))

    def check_acquired(self, event):
        """G3 and G4: a new term, after the last one's work, by a write of ours."""
        assert not self.open_term
        assert self.working is None
        assert event.term == self.last_term + 1
        assert event.token_if_any in self.applied, "the token of no write of ours"
        self.open_term = self.last_term = self.working = event.term

    def check_lost(self, event):
        """G4: exactly one loss for each acquisition."""
        assert event.term == self.open_term
        self.open_term = 0
        if event.reason not in DRAINS:
            # Of a term that is over nothing may be renewed.
            self.lost_acquires = set(self.acquires)

    @invariant()
    def belief_is_justified(self):
        """G1 and G2: only in an open term, at most L after an applied write was sent."""
        hand = self.hand
        if hand.state in {State.FENCED, State.STOPPED, State.LOOKING}:
            assert not hand.leads
        if not hand.leads:
            return
        assert self.open_term
        newest = max(sent for sent, _ in self.applied.values())
        for now, then in zip(self.now(), newest, strict=True):
            assert now - then < hand.settings.renew_deadline
        wall = max(wall for _, wall in self.applied.values())
        assert hand.clock.wall - wall < hand.settings.renew_deadline * 1e6

    @invariant()
    def requests_are_few_and_live(self):
        """Rule 9: one read, one write, one watch at most; none of them for ever."""
        for kinds in ((m.GetLease,), WRITES, (m.WatchLease,)):
            found = self.hand.all_open(*kinds)
            assert len(found) <= 1
            for request in found:
                if not isinstance(request, m.WatchLease):
                    assert request.deadline - self.now()[0] <= 2.5 + TINY

    @invariant()
    def timer_comes_to_rest(self):
        """No hot loop: whoever handles the timer is done after a few turns."""
        for _ in range(8):
            due = self.hand.core.next_deadline()
            if due is None:
                assert self.hand.state in {State.STOPPED, State.STANDING_BY} or (
                    self.hand.all_open(m.WatchLease)
                )
                return
            if due > self.hand.clock.boottime:
                return
            self.hand.tick()
            self.read_out()
        raise AssertionError(f"the timer is due again and again: {self.hand.state}")

    # The application ----------------------------------------------------------

    @rule(
        what=st.sampled_from(
            ["start", "stop", "step down", "end", "stuck", "well", "loss", "failure"]
        ),
        term=st.integers(0, 3),
    )
    def application_says(self, what, term):
        """Let the application, or the engine, say one word, in place or not."""
        if what in {"start", "step down"}:
            # The two words that a driver may not say at any time.
            if (self.hand.state is State.STOPPED) is (what == "start"):
                stay_out = [None, 0.0, 3.0, 30.0][term]
                start, step_down = m.StartAsked(), m.StepDownAsked(stay_out=stay_out)
                self.say(start if what == "start" else step_down)
            return
        words = {
            "stop": m.StopAsked(),
            "end": m.EndAsked(term=max(1, self.last_term - term % 2)),
            "stuck": m.LivenessReported(alive=False),
            "well": m.LivenessReported(alive=True),
            "loss": m.LossSeen(term=max(1, self.last_term - term % 2)),
            "failure": m.DriverFailed(error=LeaderElectionError("a defect")),
        }
        self.say(words[what])

    @precondition(lambda self: self.working is not None and not self.open_term)
    @rule()
    def work_is_over(self):
        """Say that nothing of the lost term runs any more."""
        term, self.working = self.working, None
        self.say(m.WorkEnded(term=term))

    # Clocks -------------------------------------------------------------------

    @rule(seconds=moments, how=st.sampled_from(["freeze", "freeze", "suspend", "step"]))
    def clocks_go(self, seconds, how):
        """Freeze, suspend, or step the wall clock: nothing is handled meanwhile."""
        clock = self.hand.clock
        if how == "freeze":
            clock.advance(seconds)
        elif how == "suspend":
            clock.suspend(seconds)
        else:
            clock.step_wall(seconds if seconds < 10 else -60 * seconds)

    @rule()
    def timer_is_due(self):
        """Let time pass until the timer is due, and handle it."""
        due = self.hand.core.next_deadline()
        if due is not None:
            self.hand.clock.advance(max(0.0, due - self.hand.clock.boottime))
            self.hand.clock.boottime = max(self.hand.clock.boottime, due)
        self.hand.tick()
        self.read_out()

    @rule(seconds=st.sampled_from([1.0, 11.0, 25.0]))
    def all_is_well(self, seconds):
        """Let time pass while everything is answered, as it nearly always is."""
        self.live(seconds)

    def live(self, seconds):
        """Handle each timer, answer each request, bring each event."""
        hand = self.hand
        end = hand.clock.boottime + seconds
        for _ in range(200):
            if hand.all_open(m.GetLease):
                self.read_is_answered("now")
            elif hand.all_open(*WRITES):
                self.write_is_answered("done")
            elif hand.all_open(m.WatchLease) and hand.seen < len(hand.store.history):
                self.watch_brings(0, repeat=False)
            else:
                due = hand.core.next_deadline()
                if due is None or due > end:
                    break
                hand.clock.advance(max(0.0, due - hand.clock.boottime))
                hand.clock.boottime = max(hand.clock.boottime, due)
                hand.tick()
                self.read_out()
        hand.clock.advance(max(0.0, end - hand.clock.boottime))

    # The API server -----------------------------------------------------------

    def show(self, lease):
        """Take down what the core is shown, and when first."""
        metadata = lease["metadata"]
        self.shown[metadata.get("uid"), metadata["resourceVersion"]] = lease
        self.first_seen.setdefault(record_of(lease), self.now())
        self.saw_held = True
        self.gone_at = None

    def show_gone(self):
        """Take down that the core is shown that there is no Lease."""
        if self.gone_at is None:
            self.gone_at = self.now()

    def apply(self, put):
        """Let the server do a PUT; None is a conflict."""
        lease = self.hand.store.put(put.lease)
        if lease is not None:
            version = int(lease["metadata"]["resourceVersion"])
            self.applied[version] = self.sent[record_of(lease)[1:]]
        return lease

    @precondition(lambda self: self.hand.all_open(m.GetLease))
    @rule(how=st.sampled_from(["now", "now", "now", "stale", "unknown", "failed"]))
    def read_is_answered(self, how):
        """Answer the GET with what stands, with something older, or not."""
        hand = self.hand
        if how == "unknown":
            hand.unknown(hand.read)
        elif how == "failed":
            hand.failed(hand.read, status=429, retry_after=30.0)
        else:
            past = [lease for kind, lease in hand.store.history if kind != "DELETED"]
            old = past[-min(3, len(past))] if how == "stale" and past else None
            lease = old or hand.store.lease
            if lease is None:
                self.show_gone()
            else:
                self.show(lease)
            hand.fetched(lease)
        self.read_out()

    @precondition(lambda self: self.hand.all_open(*WRITES))
    @rule(
        how=st.sampled_from(["done", "done", "done", "late", "lost", "failed", "odd"])
    )
    def write_is_answered(self, how):
        """Answer the PUT: done, applied and lost, not applied, or not as it was."""
        hand, put = self.hand, self.hand.write
        if how == "failed" and put in self.flying:
            self.flying.remove(put)
            hand.failed(put)
        elif how == "late":
            hand.unknown(put)
        else:
            if put in self.flying:
                self.flying.remove(put)
                self.unanswered[put.request_id] = self.apply(put)
            self.answer(put, how)
        self.read_out()

    def answer(self, put, how):
        """Answer a PUT that the server has seen."""
        hand, lease = self.hand, self.unanswered[put.request_id]
        if how in {"lost", "failed"}:
            hand.unknown(put)
        elif lease is None:
            hand.say(m.WriteConflict(request_id=put.request_id))
        elif how == "odd":
            odd = {**lease, "spec": {**lease["spec"], "renewTime": format_time(7)}}
            hand.say(m.LeaseWritten(request_id=put.request_id, lease=odd))
        else:
            self.show(lease)
            hand.say(m.LeaseWritten(request_id=put.request_id, lease=lease))

    @precondition(lambda self: self.flying)
    @rule(index=which)
    def write_lands(self, index):
        """Let a PUT arrive: one under way, or one given up long ago."""
        put = self.flying.pop(index % len(self.flying))
        self.unanswered[put.request_id] = self.apply(put)

    # The watch ----------------------------------------------------------------

    @precondition(lambda self: self.hand.all_open(m.WatchLease))
    @rule(index=which, repeat=st.booleans())
    def watch_brings(self, index, repeat):
        """Let the watch bring what it has not yet brought, or skip, or repeat."""
        hand = self.hand
        history = hand.store.history
        if not history:
            return
        at = (
            max(0, len(history) - 1 - index)
            if repeat
            else min(hand.seen, len(history) - 1)
        )
        hand.seen = max(hand.seen, at + 1)
        kind, lease = history[at]
        if kind == "DELETED":
            self.saw_held = True
            self.show_gone()
        else:
            self.show(lease)
        hand.bring(kind, lease)
        self.read_out()

    @precondition(lambda self: self.hand.all_open(m.WatchLease))
    @rule(how=st.sampled_from(["bookmark", "error", "clean", "410", "403", "odd"]))
    def watch_is_odd(self, how):
        """End the watch in one of its ways, or bring what is no news."""
        hand = self.hand
        if how == "bookmark":
            version = str(hand.store.version)
            hand.bring("BOOKMARK", {"metadata": {"resourceVersion": version}})
        elif how == "error":
            hand.bring("ERROR", {"kind": "Status", "code": 500})
        elif how == "odd":
            hand.bring("MODIFIED", {"metadata": {"resourceVersion": "x"}, "spec": 7})
        else:
            hand.watch_ends(status=int(how) if how != "clean" else None)
        self.read_out()

    # Everybody else -----------------------------------------------------------

    @rule(
        how=st.sampled_from(
            ["b", "b", "a", "short", "release", "label", "delete", "wish", "restore"]
        ),
        number=st.integers(0, 10**6),
    )
    def lease_changes(self, how, number):
        """Let a rival, a namesake, a controller, a person or a backup change it."""
        store = self.hand.store
        if how in {"a", "b", "short"}:
            duration = 20 if how != "short" else [1, 5, 60, None][number % 4]
            holder = how if how != "short" else "b"
            self.hand.rival_holds(holder, duration, renewed=WALL + number)
        elif how == "restore":
            past = [lease for kind, lease in store.history if kind != "DELETED"]
            if past:
                store.restore(past[-min(number % 4 + 1, len(past))])
                self.restored = True
        elif store.lease is None:
            return
        elif how == "release":
            store.edit(holderIdentity="")
        elif how == "label":
            store.edit(metadata={"labels": {"n": str(number)}})
        elif how == "delete":
            store.delete()
        else:
            wish = (store.lease.get("spec") or {}).get("acquireTime") or ""
            note = {"kubernetes-leader-election/step-down": wish}
            store.edit(metadata={"annotations": note})


Election.TestCase.settings = hypothesis.settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    database=None,
    derandomize=EXAMPLES == 100,
    # Making a failing story short takes minutes: EXAMPLES=101 does it.
    phases=[hypothesis.Phase.generate] + [hypothesis.Phase.shrink] * (EXAMPLES != 100),
    suppress_health_check=list(hypothesis.HealthCheck),
)
# A busy machine must not cut a story short: a cut story looks like a flaky one.
TestElection = pytest.mark.slow(pytest.mark.timeout(1200)(Election.TestCase))

MISTAKES = (
    "deadline is the whole lease duration",
    "unknown outcome taken as done",
    "late renewal after loss",
    "token is the transitions",
    "term revives after its loss",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", MISTAKES)
def test_model_finds_a_mistake_in_the_core(name):
    """G1-G5: the model is no good if a planted mistake gets past it."""
    mistaken = type("Mistaken", (Election,), {"make_core": BUGS[name].election})
    settings = hypothesis.settings(
        Election.TestCase.settings,
        max_examples=300,
        derandomize=True,
        phases=[hypothesis.Phase.generate],
        report_multiple_bugs=False,
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(mistaken, settings=settings)
