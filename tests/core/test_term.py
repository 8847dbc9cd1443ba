"""Stamps that grow, and tries that a record proves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kubernetes_leader_election.core.record import LeaseRecord, Stamp
from kubernetes_leader_election.core.term import Stamper, Term, Try, find_try
from kubernetes_leader_election.core.timing import MICROSECONDS, Now, believe
from tests.core.harness import FUZZ, WALL, Clock, settings


def carrying(stamp):
    """Give a record that carries this stamp."""
    return LeaseRecord(
        holder_identity=stamp.holder_identity,
        lease_duration=20,
        acquire_time=stamp.acquire_time,
        renew_time=stamp.renew_time,
        lease_transitions=1,
    )


def tries(count, clock=None):
    """Give so many tries, a second apart."""
    clock, stamper = clock or Clock(), Stamper("a")
    found = []
    for _ in range(count):
        found.append(Try(stamper.stamp(clock.now(), acquire_time=WALL), clock.now()))
        clock.advance(1)
    return found


def term_of(confirmed, *pending):
    """Give a term with these writes."""
    belief = believe(term=1, token=7, sent=confirmed.sent, settings=settings())
    return Term(
        number=1,
        token=7,
        uid="u",
        confirmed=confirmed,
        belief=belief,
        pending=pending,
    )


def test_first_stamp_is_the_wall_clock():
    """Rule 7: renewTime is the wall clock, to begin with."""
    stamp = Stamper("a").stamp(Clock().now())
    assert stamp == Stamp(holder_identity="a", acquire_time=WALL, renew_time=WALL)


def test_stamps_go_on_with_own_time_after_the_wall_stepped_back():
    """Rule 7, fault 19: a stamp that only crept would look frozen to client-go."""
    clock, stamper = Clock(), Stamper("a")
    stamper.stamp(clock.now())
    clock.step_wall(-3600)
    clock.advance(10)
    assert stamper.stamp(clock.now()).renew_time == WALL + 10 * MICROSECONDS


def test_stamps_follow_the_wall_clock_forward():
    """Rule 7: renewTime is the larger of the wall clock and the own time."""
    clock, stamper = Clock(), Stamper("a")
    stamper.stamp(clock.now())
    clock.step_wall(3600)
    assert stamper.stamp(clock.now()).renew_time == WALL + 3600 * MICROSECONDS


def test_stamps_at_one_instant_differ():
    """Rule 7: strictly increasing: a byte-identical PUT is a no-op for the server."""
    clock, stamper = Clock(), Stamper("a")
    first, second = stamper.stamp(clock.now()), stamper.stamp(clock.now())
    assert second.renew_time == first.renew_time + 1


@FUZZ
@given(
    st.lists(
        st.tuples(
            st.floats(0.0, 100.0), st.floats(0.0, 100.0), st.integers(-(10**12), 10**12)
        ),
        max_size=20,
    )
)
def test_stamps_always_grow_by_the_elapsed_time(steps):
    """Rule 7: at least own previous stamp + elapsed own time, whatever the clocks do."""
    stamper = Stamper("a")
    now = Now(1000.0, 500.0, WALL)
    last = stamper.stamp(now).renew_time
    for boot, mono, wall in steps:
        now = Now(now.boottime + boot, now.monotonic + mono, now.wall + wall)
        new = stamper.stamp(now).renew_time
        assert new >= max(last + 1, now.wall)
        assert new - last >= (max(boot, mono) - 1e-5) * MICROSECONDS
        last = new


def test_stamp_may_name_another_holder_and_an_older_acquire():
    """Rule 12: a releasing stamp has no holder; rule 6: renewals keep acquireTime."""
    stamper, now = Stamper("a"), Clock().now()
    assert stamper.stamp(now, holder="").holder_identity == ""
    assert stamper.stamp(now, acquire_time=5).acquire_time == 5


def test_term_finds_its_confirmed_and_its_pending_writes():
    """Rule 9: all tries of the term are remembered."""
    first, second, third = tries(3)
    term = term_of(first, second)
    assert term.find(carrying(first.stamp)) is first
    assert term.find(carrying(second.stamp)) is second
    assert term.find(carrying(third.stamp)) is None
    assert term.tries() == [first, second]


def test_confirming_a_try_counts_from_when_it_was_sent():
    """Rule 10: applied, counted from that try's send time."""
    first, second, third = tries(3)
    term = term_of(first, second, third)
    term.confirm(second, settings())
    assert term.confirmed is second
    assert term.pending == [third]
    assert term.belief.boottime_deadline == second.sent.boottime + 15.0
    assert (term.belief.term, term.belief.token) == (1, 7)


def test_confirming_a_try_settles_those_before_it():
    """Rule 10: what was sent earlier cannot land on what was applied since."""
    first, second, third, fourth = tries(4)
    term = term_of(first, second, third, fourth)
    term.confirm(third, settings())
    assert term.pending == [fourth]
    assert term.find(carrying(second.stamp)) is None


def test_no_try_is_found_in_a_foreign_record():
    """Rule 5: own identity in the record proves nothing."""
    stamp = Stamp(holder_identity="a", acquire_time=WALL, renew_time=WALL - 5)
    assert find_try(tries(3), carrying(stamp)) is None
    assert find_try([], carrying(stamp)) is None
