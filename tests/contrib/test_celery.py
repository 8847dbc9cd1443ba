"""The scheduler for `celery beat`: it sends on the leader alone, and nothing twice."""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import timedelta

import pytest

pytest.importorskip("celery")


from celery import Celery

from kubernetes_leader_election.contrib.celery import LeaderScheduler
from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.lifecycle.call_context import leave_all_contexts
from kubernetes_leader_election.lifecycle.guard import Guard
from tests.lifecycle.instants import Instant
from tests.node_page import PATIENCE, eventually, write_lease
from tests.programs import holder

ENOUGH = 3000
"""Instants; there are far fewer."""


class Recording(LeaderScheduler):
    """Notes what it would send."""

    sent: list[str]

    def apply_async(self, entry, *_, **__):
        """Send nothing."""
        self.sent.append(entry.name)

    producer = None


@pytest.fixture
def beat(lease_server):
    """Give a function that makes the scheduler of a replica."""
    made = []

    def make(identity, every=3600.0, **options):
        app = Celery("shop", broker="memory://", set_as_current=False)
        app.conf.leader_election = {
            "lease_name": "beat",
            "credentials": explicit(server=lease_server.url),
            "identity": identity,
            **options,
        }
        app.conf.beat_schedule = {"bill": {"task": "bill", "schedule": every}}
        scheduler = Recording(app)
        scheduler.sent = []
        made.append(scheduler)
        return scheduler

    yield make
    for scheduler in made:
        scheduler.close()


def overdue(scheduler):
    """Let the entry have been sent long ago, as far as this replica knows."""
    entry = scheduler.schedule["bill"]
    entry.last_run_at = scheduler.app.now() - timedelta(days=1)


def tick_until(scheduler, true):
    """Tick as beat does, without its sleeps, until something is true."""

    def ticked():
        assert 0 <= scheduler.tick() <= 1.0
        return true()

    assert eventually(ticked)


def leads(server, identity):
    """Give whether somebody leads, as a question."""
    return lambda: holder(server, "beat") == identity


def test_first_leader_sends_what_is_due(beat, lease_server):
    """Nobody led before: what is overdue is sent, once."""
    one = beat("one")
    overdue(one)
    tick_until(one, lambda: one.sent)
    for _ in range(3):
        assert one.tick() <= 1.0  # it may lose the Lease meanwhile
    assert one.sent == ["bill"]


def test_replica_that_waits_sends_nothing(beat, lease_server):
    """It looks again within a second, however long its entries have time."""
    one, two = beat("one"), beat("two")
    tick_until(one, leads(lease_server, "one"))
    overdue(two)
    for _ in range(5):
        assert two.tick() == 1.0
    assert two.sent == []


def test_hand_over_sends_nothing_twice(beat, lease_server):
    """What came due under the one before was its to send, and the next one comes in time."""
    one, two = beat("one"), beat("two")
    overdue(one)
    tick_until(one, lambda: one.sent)
    overdue(two)
    two.tick()
    assert eventually(lambda: two._elector.leader_identity == "one")
    one.close()
    given_up = two.app.now()
    tick_until(two, leads(lease_server, "two"))
    tick_until(two, lambda: two._term)
    assert two.sent == []
    counted_from = two.schedule["bill"].last_run_at
    assert abs(counted_from - given_up) < timedelta(seconds=PATIENCE)
    two.schedule["bill"].last_run_at -= timedelta(hours=2)
    two._heap = None
    tick_until(two, lambda: two.sent)


def test_schedule_is_counted_anew_for_each_term_after_another(beat, lease_server):
    """One led, another did, and the first one leads again: its old times are of no use."""
    one, two = beat("one"), beat("two")
    tick_until(one, lambda: one._term)
    two.tick()
    assert eventually(lambda: two._elector.leader_identity == "one")
    one._elector.step_down(stay_out=2)
    tick_until(two, lambda: two._term)
    assert eventually(lambda: one._another)
    overdue(one)
    two.close()
    before = one._term
    tick_until(one, lambda: one._term != before)
    assert one.sent == []


def test_stop_in_the_middle_of_a_tick_ends_it_and_releases(beat, lease_server):
    """Beat's handler of signals closes the scheduler wherever it is."""
    one = beat("one", every=0.0)
    first = []

    def apply_entry(entry, producer=None):
        one.close()
        assert holder(lease_server, "beat") == "one"  # not while it is being sent
        first.append(entry.name)
        raise SystemExit(0)

    one.apply_entry = apply_entry
    with pytest.raises(SystemExit):
        tick_until(one, lambda: first)
    one.close()
    assert first == ["bill"]
    assert eventually(lambda: holder(lease_server, "beat") == "")


class Closing(Instant):
    """Do at that instant what beat's handler of signals does."""

    def __init__(self, scheduler, number):
        super().__init__(number)
        self.scheduler = scheduler

    def strike(self):
        """Close the scheduler, and end the program."""
        sys.setprofile(None)
        self.scheduler.close()
        raise SystemExit

    @property
    def came_before_leaving(self):
        """Tell whether the guard was never left: the exit ends that, as another test shows."""
        return self.met == ("call", Guard.__exit__.__code__)


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("begun", [False, True], ids=["first tick", "sends"])
# Where Python drops what a handler raises, as at the end of a generator.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_signal_anywhere_in_a_tick_leaves_nothing_held(beat, lease_server, begun):
    """Fault 13: it comes between any two calls of a tick, that of the start as well."""
    for number in range(ENOUGH):
        one = beat("one", every=0.0)
        if begun:
            tick_until(one, lambda: one.sent)
        signal = Closing(one, number)
        sys.setprofile(signal)
        try:
            one.tick()
        except SystemExit:
            pass
        finally:
            sys.setprofile(None)
        if signal.met is None:
            break
        if signal.came_before_leaving:
            one._elector._lifecycle.current.work.drop_if(lambda hold: True)
            leave_all_contexts()
        with suppress(SystemExit):
            one.tick()  # if what the handler raised was dropped
        one.close()  # at the end of beat
        assert holder(lease_server, "beat") == "", signal.met
    assert 20 < number < ENOUGH - 1


def test_closed_scheduler_ends_the_program_at_its_next_tick(beat, lease_server):
    """Python drops what a handler of signals raises where an object is destroyed."""
    one = beat("one", every=0.0)
    tick_until(one, lambda: one.sent)
    one.close()
    with pytest.raises(SystemExit):
        one.tick()
    assert holder(lease_server, "beat") == ""


def test_beat_goes_on_when_its_lease_is_lost_while_it_sends(beat, lease_server):
    """G2: as after a freeze in the middle of a tick: it waits for its turn."""
    one = beat("one", every=0.0)
    first = []

    def apply_entry(entry, producer=None):
        first.append(entry.name)
        if len(first) == 1:
            rival = {"holderIdentity": "rival", "leaseDurationSeconds": 1}
            write_lease(lease_server, "beat", rival)
            assert eventually(lambda: one._elector.remaining() == 0.0)

    one.apply_entry = apply_entry
    tick_until(one, lambda: first)
    tick_until(one, lambda: len(first) > 1)
    assert one._term == 2


def test_scheduler_that_only_shows_itself_takes_no_part(beat, lease_server):
    """Beat makes one for its banner, which never ticks."""
    beat("one").close()
    assert lease_server.lease("beat") is None


def test_scheduler_without_settings_has_a_lease_of_its_own(lease_server):
    """Its name is that of the page."""
    scheduler = Recording(Celery("shop", broker="memory://", set_as_current=False))
    assert scheduler._elector.lease_name == "celery-beat"


def test_term_that_begins_before_the_news_counts_from_now(beat):
    """The other one was seen to hold the Lease, and its end is told a moment later."""
    one = beat("one")
    overdue(one)
    one._another = True
    one._begin(1)
    assert one.app.now() - one.schedule["bill"].last_run_at < timedelta(minutes=1)
    overdue(one)
    one._begin(2)  # nobody led in between: its own times count
    assert one.app.now() - one.schedule["bill"].last_run_at > timedelta(hours=1)
