"""The checkers themselves: each of them fires, and what is excused does not."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.testing.simulation.checkers import Checks
from kubernetes_leader_election.testing.simulation.store import LeaseStore
from kubernetes_leader_election.testing.simulation.witness import Witness

SPAN = 30.0


class Scene:
    """Two processes, a store, and checkers that write down what they find."""

    def __init__(self):
        self.found = []
        self.checks = Checks(excuse_span=SPAN, report=self.found.append)
        self.store = LeaseStore(name="x", namespace="default")
        self.a, self.b = (
            Witness(
                name=name,
                identity=name,
                own_duration=20,
                renew_deadline=15.0,
                stop_budget=1.0,
                renew_interval=5.0,
                request_timeout=2.0,
            )
            for name in "ab"
        )

    def lease(self, holder, renewed, base=None, acquired=None):
        """Give a Lease to write, on top of ``base``."""
        stamp = f"2026-01-01T00:00:{renewed:02}.000000Z"
        began = stamp if acquired is None else f"2026-01-01T00:00:{acquired:02}.000000Z"
        metadata = {"name": "x"} if base is None else dict(base.lease["metadata"])
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": 20 if holder else 1,
            "acquireTime": began,
            "renewTime": stamp,
            "leaseTransitions": 1,
        }
        if base is not None:
            spec["leaseTransitions"] = base.lease["spec"]["leaseTransitions"]
            spec["leaseTransitions"] += bool(holder) and acquired is None
        return {"metadata": metadata, "spec": spec}

    def write(self, time, who, lease):
        """Order, send and apply a write."""
        order = self.checks.ordered(time, who, lease, (time, time))
        self.checks.sent(time, order, time)
        before = self.store.current
        answer = self.store.put(time, lease)
        assert answer.stored is not None, answer
        self.checks.applied(time, order, before, answer.stored)
        return answer.stored

    def take_over(self, time, who, lease):
        """Order, send and apply an acquire, just after a look at the Lease."""
        who.heard_at = time
        return self.write(time, who, lease)

    def lead(self, time, who):
        """Let a process create the Lease and begin a term."""
        stored = self.write(time, who, self.lease(who.identity, int(time)))
        self.checks.observed(who, time, stored)
        self.acquire(time, who, who.term + 1, stored.version)
        self.checks.belief_began(time, who, who.term)
        self.checks.work_began(time, who, who.term)
        return stored

    def acquire(self, time, who, term, token):
        """Let a process say that a term began, at a time that all clocks show."""
        self.checks.acquired(time, who, term, token, boottime=time)

    @property
    def broken(self):
        """Which guarantees were found broken."""
        return [violation.guarantee for violation in self.found]


@pytest.fixture
def scene():
    """Give a scene in which ``a`` leads since second 1."""
    made = Scene()
    made.first = made.lead(1.0, made.a)
    assert made.broken == []
    return made


def test_two_beliefs_at_once_break_g1(scene):
    """Belief intervals are disjoint."""
    scene.b.open_term = 1
    scene.checks.belief_began(5.0, scene.b, 1)
    assert scene.broken == ["G1"]


def test_beliefs_one_after_the_other_are_fine(scene):
    """The second begins at the instant at which the first ends."""
    scene.checks.belief_ended(5.0, scene.a)
    scene.b.open_term = 1
    scene.checks.belief_began(5.0, scene.b, 1)
    assert scene.broken == []


@pytest.mark.parametrize(("later", "broken"), [(1.0, []), (SPAN + 1.0, ["G1"])])
def test_hand_written_lease_excuses_an_overlap_for_a_while_only(scene, later, broken):
    """G1 does not hold while somebody edits the Lease, and holds again after it."""
    scene.checks.excuse(4.0)
    scene.b.open_term = 1
    scene.checks.belief_began(4.0 + later, scene.b, 1)
    assert scene.broken == broken


def test_belief_longer_than_l_after_the_write_breaks_g2(scene):
    """L counts from the order of the last write that was applied."""
    scene.checks.belief_deadline(1.1, scene.a, 16.0)
    assert scene.broken == []
    scene.checks.belief_deadline(1.1, scene.a, 16.1)
    assert scene.broken == ["G2"]


def test_work_that_starts_before_other_work_stopped_breaks_g2(scene):
    """Work intervals of different processes are disjoint."""
    scene.checks.work_began(5.0, scene.b, 1)
    assert scene.broken == ["G2"]


def test_work_that_ignores_its_cancellation_is_outside_g2(scene):
    """Nothing is promised for work that does not stop within S."""
    scene.checks.work_outlives_budget(scene.a)
    scene.checks.work_began(5.0, scene.b, 1)
    assert scene.broken == []


def test_work_of_a_frozen_process_has_s_after_its_thaw(scene):
    """Fault 02: within S it is excused, after it no more."""
    scene.checks.thawed(5.0, scene.a, 6.0)
    scene.checks.work_began(5.5, scene.b, 1)
    assert scene.broken == []
    scene.checks.budget_over(6.1, scene.a)
    assert scene.broken == ["G2"]


@pytest.mark.parametrize(
    "token",
    [None, 1, lambda version: version + 1],
    ids=["none", "of nobody", "made up"],
)
def test_token_that_it_was_not_shown_breaks_g3(scene, token):
    """A token is the resourceVersion that the acquiring write returned."""
    scene.checks.lost(2.0, scene.a, 1, drains=False)
    scene.checks.work_ended(2.0, scene.a)
    made_up = token(scene.first.version) if callable(token) else token
    scene.acquire(5.0, scene.a, 2, made_up)
    assert scene.broken == ["G3"]


def test_token_of_another_process_breaks_g3(scene):
    """Two terms with one token."""
    scene.checks.observed(scene.b, 2.0, scene.first)
    scene.b.last_applied_sent = 4.0
    scene.acquire(5.0, scene.b, 1, scene.first.version)
    assert scene.broken == ["G5", "G3"]


@pytest.mark.parametrize(
    ("creates", "shown", "broken"),
    [(False, False, ["G5"]), (True, False, []), (True, True, ["G5"])],
    ids=["replaces", "creates", "creates, and was shown that"],
)
def test_term_that_begins_on_a_copy_of_its_own_record_breaks_g5(creates, shown, broken):
    """Rule 5: it wrote that under another uid; but who created it knows no uid."""
    made = Scene()
    made.first = made.lead(1.0, made.a)
    made.checks.lost(2.0, made.a, 1, drains=False)
    made.checks.work_ended(2.0, made.a)
    made.checks.belief_ended(2.0, made.a)
    acquire = made.lease("a", 3, made.first)
    made.write(3.0, made.a, acquire)
    if creates:
        spec = acquire["spec"]
        made.a.created[spec["acquireTime"], spec["renewTime"]] = ""
    if shown:
        made.checks.observed(made.a, 3.0, made.store.current)
    made.store.recreate(3.1)
    made.checks.observed(made.a, 3.2, made.store.current)
    made.acquire(3.2, made.a, 2, made.store.current.version)
    assert made.broken == broken


def test_token_of_an_earlier_term_of_its_own_breaks_g3(scene):
    """Tokens grow from term to term, whoever leads."""
    scene.checks.lost(2.0, scene.a, 1, drains=False)
    scene.checks.work_ended(2.0, scene.a)
    scene.acquire(5.0, scene.a, 2, scene.first.version)
    assert scene.broken == ["G3"]


def test_term_that_begins_later_than_l_after_its_write_breaks_g2(scene):
    """Work is stopped L after the write, so it cannot begin then."""
    scene.checks.lost(2.0, scene.a, 1, drains=False)
    scene.checks.work_ended(2.0, scene.a)
    late = scene.write(3.0, scene.a, scene.lease("a", 3, scene.first))
    scene.checks.observed(scene.a, 18.1, late)
    scene.acquire(18.1, scene.a, 2, late.version)
    assert scene.broken == ["G2"]


def test_second_start_of_a_term_breaks_g4(scene):
    """One start and one stop per term."""
    again = scene.write(2.0, scene.a, scene.lease("a", 2, scene.first))
    scene.checks.observed(scene.a, 2.0, again)
    scene.acquire(5.0, scene.a, 1, again.version)
    assert set(scene.broken) == {"G4"}


def test_second_loss_of_a_term_breaks_g4(scene):
    """The first is in order."""
    scene.checks.lost(5.0, scene.a, 1, drains=False)
    assert scene.broken == []
    scene.checks.lost(5.0, scene.a, 1, drains=False)
    assert scene.broken == ["G4"]


def test_belief_after_a_loss_breaks_g4(scene):
    """A term does not revive."""
    scene.checks.lost(5.0, scene.a, 1, drains=False)
    scene.checks.after_loss(5.0, scene.a)
    assert scene.broken == ["G4"]


@pytest.mark.parametrize(("ran_out", "broken"), [(True, ["G4"]), (False, [])])
def test_belief_that_comes_back_after_it_ran_out_breaks_g4(scene, ran_out, broken):
    """Rule 14: it latches; a freeze that ends in time, and a wall clock, do not count."""
    scene.checks.belief_ended(16.0, scene.a, ran_out=ran_out)
    scene.checks.belief_began(16.1, scene.a, 1)
    assert scene.broken == broken


@pytest.mark.parametrize(
    ("excused", "taken", "broken"),
    [(False, False, ["G8"]), (True, False, []), (False, True, [])],
    ids=["its own", "a lagging read", "taken by another"],
)
def test_loss_of_what_is_still_its_own_breaks_g8(scene, excused, taken, broken):
    """What proves nothing ends no term."""
    if taken:
        scene.checks.observed(scene.b, 2.0, scene.first)
        scene.take_over(25.0, scene.b, scene.lease("b", 30, scene.first))
    scene.a.loss_excused = excused
    scene.checks.lost_to(26.0, scene.a, scene.store.current)
    assert scene.broken == broken


def test_work_started_twice_breaks_g4(scene):
    """The work of one process does not overlap with itself."""
    scene.checks.work_began(5.0, scene.a, 2)
    assert "G4" in scene.broken


def test_write_without_uid_breaks_g5(scene):
    """Every write but the creating one carries both preconditions."""
    lease = scene.lease("a", 5, scene.first, acquired=1)
    del lease["metadata"]["uid"]
    scene.checks.ordered(5.0, scene.a, lease, (5.0, 5.0))
    assert scene.broken == ["G5"]


def test_release_while_work_runs_breaks_g5(scene):
    """Release only follows the end of the work."""
    scene.checks.ordered(5.0, scene.a, scene.lease("", 5, scene.first), (5.0, 5.0))
    assert scene.broken == ["G5"]


def test_renewal_of_a_lost_term_breaks_g5_when_ordered_and_when_sent(scene):
    """From the instant a term ends nothing of it is sent."""
    lease = scene.lease("a", 5, scene.first, acquired=1)
    order = scene.checks.ordered(5.0, scene.a, lease, (5.0, 5.0))
    scene.checks.lost(5.0, scene.a, 1, drains=False)
    assert scene.broken == []
    scene.checks.sent(5.5, order, 5.5)
    assert scene.broken == ["G5"]
    lease = scene.lease("a", 6, scene.first, acquired=1)
    scene.checks.ordered(6.0, scene.a, lease, (6.0, 6.0))
    assert scene.broken == ["G5", "G5"]


@pytest.mark.parametrize(("at", "broken"), [(15.9, []), (16.1, ["G5"])])
def test_renewal_of_a_draining_term_that_ran_out_breaks_g5(scene, at, broken):
    """Of a term that drains there is no second loss to be told, and L ends it too."""
    scene.checks.lost(2.0, scene.a, 1, drains=True)
    lease = scene.lease("a", 5, scene.first, acquired=1)
    scene.checks.ordered(at, scene.a, lease, (at, at))
    assert scene.broken == broken


@pytest.mark.parametrize(("waited", "broken"), [(19.9, ["G5"] * 2), (20.1, [])])
def test_take_over_before_the_record_expired_breaks_g5(scene, waited, broken):
    """A candidate waits the record's own duration: when it orders, and when it lands."""
    scene.checks.observed(scene.b, 2.0, scene.first)
    scene.take_over(2.0 + waited, scene.b, scene.lease("b", 30, scene.first))
    assert scene.broken == broken


def test_release_of_what_another_holds_breaks_g5(scene):
    """A release names a term of one's own: when it is ordered, and when it lands."""
    scene.checks.observed(scene.b, 2.0, scene.first)
    scene.write(5.0, scene.b, scene.lease("", 5, scene.first))
    assert scene.broken == ["G5", "G5"]


def _copied(*, shown):
    """Show a process a copy of what it created; ``shown``: after that itself."""
    made = Scene()
    created = made.write(1.0, made.a, made.lease("a", 1))
    if shown:
        made.checks.observed(made.a, 1.5, created)
    made.store.recreate(2.0)
    copy = made.store.current
    made.checks.observed(made.a, 2.5, copy)
    return made, copy


@pytest.mark.parametrize(("shown", "broken"), [(False, []), (True, ["G5", "G5"])])
def test_release_of_a_copy_of_what_it_created_is_for_who_knows_no_uid(shown, broken):
    """Rule 5: its answer was lost; whose uid that is it cannot tell before it sees one."""
    made, copy = _copied(shown=shown)
    made.write(3.0, made.a, made.lease("", 3, copy))
    assert made.broken == broken


@pytest.mark.parametrize(("waited", "broken"), [(19.9, ["G5"] * 2), (20.1, [])])
def test_creation_before_a_deleted_lease_ran_out_breaks_g5(scene, waited, broken):
    """Who saw the Lease held waits in full after it is gone (rule 4)."""
    scene.checks.observed(scene.b, 2.0, scene.first)
    scene.store.delete(3.0)
    scene.checks.deleted(3.0, scene.first.uid)
    scene.checks.observed(scene.b, 3.0, None)
    scene.write(3.0 + waited, scene.b, scene.lease("b", 30))
    assert scene.broken == broken


@pytest.mark.parametrize(("last", "broken"), [(60, []), (20, ["G1"])])
def test_deletion_of_a_longer_term_than_was_seen_excuses_its_successor(
    scene, last, broken
):
    """Who was cut off knows no later holder's duration, and can wait for none (rule 4)."""
    scene.checks.observed(scene.b, 2.0, scene.first)
    scene.store.delete(3.0)
    scene.checks.deleted(3.0, scene.first.uid, last)
    scene.checks.observed(scene.b, 3.0, None)
    scene.write(24.0, scene.b, scene.lease("b", 30))
    scene.b.open_term = 1
    scene.checks.belief_began(24.0, scene.b, 1)
    assert scene.broken == broken


@pytest.mark.parametrize(
    ("right", "broken"), [(True, []), (False, ["G5"])], ids=["led it", "a follower"]
)
def test_right_to_create_at_once_outweighs_what_a_lagging_read_showed(
    scene, right, broken
):
    """Rule 4: the deletion shows whose Lease it was, whatever was seen before."""
    checks, a = scene.checks, scene.a
    checks.observed(scene.b, 2.0, scene.first)
    second = scene.take_over(25.0, scene.b, scene.lease("b", 30, scene.first))
    checks.observed(a, 25.0, second)
    checks.lost(25.0, a, 1, drains=False)
    checks.work_ended(25.0, a)
    a.recreates = right
    scene.store.delete(26.0)
    checks.observed(a, 26.0, None)
    scene.found.clear()
    order = checks.ordered(26.5, a, scene.lease("a", 40), (26.5, 26.5))
    scene.found.clear()  # judged when it was ordered, too
    checks.applied(26.5, order, None, scene.store.put(26.5, order.lease).stored)
    assert scene.broken == broken


@pytest.mark.parametrize("news", [False, True], ids=["from before it", "of another"])
def test_read_after_a_deletion_takes_the_right_to_create_where_it_is_news(scene, news):
    """Rule 4: what a lagging server answers from before the deletion shows nothing."""
    scene.store.delete(3.0)
    gone = scene.store.history[-1].stored
    scene.checks.observed(scene.a, 3.0, gone, deleted=True)
    assert scene.a.recreates
    shown = scene.store.put(3.5, scene.lease("b", 3)).stored if news else scene.first
    scene.checks.observed(scene.a, 4.0, shown, read=True)
    assert scene.a.recreates is not news


@pytest.mark.parametrize(("over", "edits"), [(True, 0), (False, 1)])
def test_edit_that_comes_when_a_term_is_over_by_the_clock_is_none(scene, over, edits):
    """Rule 15: the clock comes first, so the edit has nothing to do with that term."""
    scene.store.edit(6.0, {"leaseDurationSeconds": 5})
    cut, now = scene.store.current, (6.0, 6.0)
    scene.checks.observed(scene.a, 6.0, cut)
    scene.checks.cut_short(6.0, scene.a, cut, now, again=True, old=False, over=over)
    assert scene.a.edits == edits
    assert (scene.a.cut_seen == 6.0) is not over


@pytest.mark.parametrize("answered", [False, True], ids=["at once", "after an answer"])
def test_what_follows_a_read_that_went_back_is_news(scene, answered):
    """Rule 11: it goes by the version that it knows, which is lower since the read."""
    a = scene.a
    scene.store.move(3.0)
    moved = scene.store.current
    known = a.newest = a.shown = 100 + scene.first.version
    if answered:  # to a write, which showed the same before the read
        scene.checks.observed(a, 3.4, moved)
    scene.checks.went_back(a, moved, known, 3.5)
    scene.checks.observed(a, 3.5, moved)
    a.disproved = ""
    scene.store.edit(4.0, {"holderIdentity": "c"})
    scene.checks.observed(a, 4.5, scene.store.current)
    assert a.disproved == "c holds the Lease"


def test_answer_from_before_a_deletion_that_was_shown_is_no_lease(scene):
    """It came late (rule 11): the Lease is gone all the same, and may be created."""
    scene.checks.observed(scene.b, 2.0, scene.first)
    scene.store.delete(3.0)
    scene.checks.deleted(3.0, scene.first.uid)
    gone = scene.store.history[-1].stored
    scene.checks.observed(scene.b, 3.0, gone, deleted=True)
    scene.checks.observed(scene.b, 3.1, scene.first)
    scene.write(23.1, scene.b, scene.lease("b", 30))
    assert scene.broken == []


def test_foreign_elector_that_creates_a_deleted_lease_breaks_the_assumption_of_g1(
    scene,
):
    """G1 is promised while nobody deletes the Lease: client-go does not wait then."""
    rival = Witness(
        name="c", identity="c", own_duration=20, renew_deadline=15.0, ours=False
    )
    scene.store.delete(3.0)
    scene.checks.deleted(3.0, scene.first.uid)
    scene.write(3.5, rival, scene.lease("c", 4))
    scene.checks.belief_began(3.5, rival, 1)
    assert scene.broken == []


@pytest.mark.parametrize(("unseen", "broken"), [(True, []), (False, ["G1"])])
def test_lease_that_came_and_went_unseen_excuses_its_successor(scene, unseen, broken):
    """Two deletions by hand: who saw the first Lease cannot wait for the second."""
    scene.checks.observed(scene.b, 2.0, scene.first)
    scene.store.delete(3.0)
    scene.checks.deleted(3.0, "another" if unseen else scene.first.uid)
    scene.checks.observed(scene.b, 3.0, None)
    scene.write(24.0, scene.b, scene.lease("b", 30))
    scene.b.open_term = 1
    scene.checks.belief_began(24.0, scene.b, 1)
    assert scene.broken == broken


@pytest.mark.parametrize(("undone", "broken"), [(True, []), (False, ["G5"])])
def test_write_on_a_version_that_a_restore_undid_is_not_judged(scene, undone, broken):
    """Fault 41: numbers of versions are given twice, and the server cannot tell."""
    old = scene.write(2.0, scene.a, scene.lease("a", 2, scene.first, acquired=1))
    scene.checks.observed(scene.b, 2.0, old if undone else scene.first)
    assert scene.store.restore(1.5)
    scene.checks.restored(3.0, scene.first.version)
    later = 3.0 + SPAN + 1.0
    new = scene.store.put(later, scene.lease("a", 3, scene.first)).stored
    assert new.version == old.version
    base = old if undone else scene.first
    scene.b.heard_at = later
    order = scene.checks.ordered(
        later, scene.b, scene.lease("b", 30, base), (later, later)
    )
    after = scene.store.put(later, scene.lease("b", 30, new)).stored
    scene.checks.applied(later, order, new, after)
    assert scene.broken == broken


def _rolled_back(scene, *, shown):
    """Let b take over from a, and a backup bring a's record back, touched."""
    scene.checks.observed(scene.b, 2.0, scene.first)
    rivals = scene.take_over(25.0, scene.b, scene.lease("b", 30, scene.first))
    if shown:
        scene.checks.observed(scene.a, 25.0, rivals)
    scene.checks.lost(25.0, scene.a, 1, drains=False)
    scene.checks.work_ended(25.0, scene.a)
    scene.a.hindered_at = 25.0  # its work kept it from contending until now
    assert scene.store.roll_back()
    back = scene.store.current
    assert back.holder == "a"
    scene.checks.restored(26.0, back.version)
    scene.store.label(26.0, "touched")
    scene.checks.observed(scene.a, 26.0, scene.store.current)
    assert scene.store.current.version > rivals.version


@pytest.mark.parametrize(
    ("shown", "waits", "broken"),
    [(True, 1.0, ["G5"]), (True, 20.0, []), (False, 1.0, [])],
    ids=["at once", "after a full wait", "it never saw the other one"],
)
def test_own_record_taken_back_after_another_led_breaks_g5(scene, shown, waits, broken):
    """Rule 5: not excused by the restore that brought it back."""
    _rolled_back(scene, shown=shown)
    again = scene.lease("a", 50, scene.store.current)
    scene.take_over(26.0 + waits, scene.a, again)
    assert scene.broken == broken


@pytest.mark.parametrize(
    ("read", "lasts", "broken"),
    [
        pytest.param(False, 20, [], id="answer"),
        pytest.param(True, 20, ["G5"], id="read"),
        pytest.param(True, 1, [], id="the other one is over soon"),
    ],
)
def test_own_record_with_the_number_of_what_was_shown_goes_on_with_its_wait(
    scene, read, lasts, broken
):
    """Fault 41: to who was shown the other one its own is no newer, unless it asks."""
    checks, b = scene.checks, scene.b
    checks.observed(b, 2.0, scene.first)
    order = checks.ordered(23.0, b, scene.lease("b", 23, scene.first), (23.0, 23.0))
    edit = {"holderIdentity": "somebody", "leaseDurationSeconds": lasts}
    scene.store.edit(23.5, edit)
    another = scene.store.current
    assert scene.store.restore(23.4)
    checks.restored(23.6, scene.first.version)
    own = scene.store.put(23.7, order.lease).stored
    checks.applied(23.7, order, scene.first, own)
    assert own.version == another.version
    checks.observed(b, 24.0, another)
    checks.observed(b, 30.0, own, read=read)
    scene.found.clear()
    scene.take_over(44.5, b, scene.lease("b", 44, own))
    assert scene.broken == broken


@pytest.mark.parametrize("late", [True, False])
def test_event_that_a_restore_undid_shows_no_rival_after_it(scene, late):
    """Rule 11: a touched label is news, too, and what came before it proves nothing."""
    scene.store.edit(3.0, {"holderIdentity": "b"})
    undone = scene.store.current
    assert scene.store.roll_back()
    scene.store.label(4.0, "touched")
    shown = [undone, scene.store.current]
    for stored in reversed(shown) if late else shown:
        scene.checks.observed(scene.a, 5.0, stored)
    assert scene.a.rivals == (not late)


@pytest.mark.parametrize("shown", [False, True], ids=["unknowing", "knowing better"])
def test_late_creating_write_is_excused_to_who_saw_no_other_leader(scene, shown):
    """Rule 5: whoever was shown another's record meanwhile is no newcomer."""
    checks, c = scene.checks, scene.b
    late = scene.lease("b", 2)
    order = checks.ordered(0.5, c, late, (0.5, 0.5))
    if shown:
        checks.observed(c, 2.0, scene.first)
    scene.store.delete(5.0)
    checks.deleted(5.0, scene.first.uid, 20)
    answer = scene.store.put(5.1, late)
    checks.applied(5.1, order, None, answer.stored)
    assert checks.may_overlap(5.2) is not shown
    assert scene.broken == []


def _shown_cut(scene, time, lasts, *, again=True, clocks=None):
    """Edit the duration, and show it to the leader; or let its own write be so."""
    scene.store.edit(time, {"leaseDurationSeconds": lasts})
    cut = scene.store.current
    scene.checks.observed(scene.a, time, cut)
    now = (time, time) if clocks is None else clocks
    scene.checks.cut_short(time, scene.a, cut, now, again=again, old=False)
    return cut


@pytest.mark.parametrize(
    ("until", "broken"), [(22.0, ["G2"]), (9.0, [])], ids=["its own D", "the record's"]
)
def test_belief_that_outlasts_a_record_that_was_cut_short_breaks_g2(
    scene, until, broken
):
    """Rule 14: others take over when the record is over."""
    cut = _shown_cut(scene, 6.0, 5)
    scene.checks.goes_by_its_record(6.0, scene.a, until)
    assert scene.broken == broken
    # The same again puts nothing off.
    scene.checks.cut_short(8.0, scene.a, cut, (8.0, 8.0), again=True, old=False)
    scene.checks.goes_by_its_record(8.0, scene.a, 10.0)
    assert scene.broken == [*broken, "G2"]


def test_record_that_was_put_right_is_trusted_as_before(scene):
    """Rule 14: a renewal ends what an edit had cut."""
    _shown_cut(scene, 6.0, 5)
    right = scene.write(6.1, scene.a, scene.lease("a", 7, scene.store.current, 1))
    scene.checks.observed(scene.a, 6.2, right)
    scene.checks.goes_by_its_record(6.2, scene.a, 21.0)
    assert scene.broken == []


@pytest.mark.parametrize(
    ("lasts", "again", "seen_at", "ends"),
    [
        (1, True, 6.0, True),
        (5, True, 6.0, False),
        (5, False, 1.1, True),
        (15, False, 1.1, False),
        (15, False, 12.3, False),
        (15, False, 12.4, True),
    ],
    ids=[
        "an edit that leaves nothing",
        "an edit that leaves a while",
        "a policy under which nobody can lead",
        "a policy under which one can lead",
        "just in time after it was sent",
        "too late after it was sent",
    ],
)
def test_term_ends_by_a_cut_if_nothing_is_left_of_it_and_only_then(
    scene, lasts, again, seen_at, ends
):
    """Rule 14: who loses for less breaks G8, who goes on with nothing breaks G1."""
    _shown_cut(scene, seen_at, lasts, again=again)
    scene.checks.lost_because(seen_at, scene.a, "renew_deadline")
    assert scene.broken == ([] if ends else ["G8"])
    assert bool(scene.a.disproved) is ends
    if ends:
        scene.checks.after_disproof(seen_at, scene.a)
        assert scene.broken == ["G1"]


@pytest.mark.parametrize(("jump", "may"), [(3.7, True), (3.5, False)])
def test_jump_of_the_wall_clock_may_end_a_term_on_a_cut_record(scene, jump, may):
    """Rule 14: by more than what the record leaves after L, which is less, too."""
    scene.a.written.update(dict.fromkeys(scene.a.written, (1.0, 1.0, 0)))
    clocks = (1.1, 1.1, round((jump + 0.1) * 1e6))
    _shown_cut(scene, 1.1, 15, again=False, clocks=clocks)
    assert ("renew_deadline" in scene.a.causes) is may


@pytest.mark.parametrize(
    ("lasts", "again", "until"),
    [(5, False, 36.0), (15, False, -1.0), (5, True, -1.0)],
    ids=["nobody can lead", "one can lead", "an edit"],
)
def test_who_cannot_lead_stays_out_for_30_seconds(scene, lasts, again, until):
    """Rule 14: unless another shows that one can lead here."""
    _shown_cut(scene, 6.0, lasts, again=again)
    assert max(scene.a.cut_off_until, -1.0) == until
    scene.store.edit(7.0, {"holderIdentity": "b", "renewTime": "2026-01-01T00:00:09Z"})
    scene.checks.observed(scene.a, 7.0, scene.store.current)
    assert max(scene.a.cut_off_until, -1.0) == until, "theirs is cut, too"
    scene.store.edit(8.0, {"leaseDurationSeconds": 20})
    scene.checks.observed(scene.a, 8.0, scene.store.current)
    assert scene.a.cut_off_until < 0.0


def test_term_that_ran_out_by_a_clock_keeps_nobody_out(scene):
    """Rules 14 and 15: the clock is looked at before an answer, which then is news."""
    scene.store.edit(16.0, {"leaseDurationSeconds": 5})
    cut = scene.store.current
    scene.checks.observed(scene.a, 16.5, cut)
    now = (16.5, 16.5)
    scene.checks.cut_short(16.5, scene.a, cut, now, again=False, old=False, over=True)
    assert scene.a.cut_off_until < 0.0


def test_each_edit_after_a_write_of_its_own_counts_once(scene):
    """Fault 24: what comes again and again is answered more and more slowly."""
    _shown_cut(scene, 6.0, 15)
    assert (scene.a.edits, scene.a.marred) == (1, True)
    _shown_cut(scene, 6.1, 14)
    assert scene.a.edits == 1, "no write of its own landed since"
    scene.a.marred = False
    _shown_cut(scene, 6.2, 13)
    assert scene.a.edits == 2


@pytest.mark.parametrize("returned", [True, False], ids=["returned", "over"])
def test_edits_count_until_it_is_said_that_nothing_of_the_work_runs(scene, returned):
    """Rule 14: work that returned may have left something, and the Lease is renewed."""
    scene.checks.lost(5.0, scene.a, 1, drains=True)
    scene.checks.work_ended(5.0, scene.a)
    scene.a.returned = returned
    _shown_cut(scene, 6.0, 15)
    assert scene.a.edits == returned


def test_who_does_not_lead_yet_goes_by_what_is_there_now(scene):
    """Rule 14: on the version that was cut for shorter nobody can write any more."""
    scene.a.open_term = 0
    _shown_cut(scene, 6.0, 2, again=False)
    _shown_cut(scene, 7.0, 15, again=False)
    scene.a.open_term = 1
    scene.checks.goes_by_its_record(7.0, scene.a, 12.0)
    assert scene.broken == []
    scene.checks.goes_by_its_record(7.0, scene.a, 13.0)
    assert scene.broken == ["G2"]


@pytest.mark.parametrize("same", [True, False], ids=["the same", "another"])
def test_cut_of_an_acquire_counts_for_a_term_that_begins_by_that_one(scene, same):
    """Rule 14: an acquire that was cut and given up says nothing of a later one."""
    scene.a.open_term = 0
    cut = _shown_cut(scene, 6.0, 2, again=False)
    scene.store.edit(7.0, {"leaseDurationSeconds": 40})
    scene.checks.observed(scene.a, 8.0, scene.store.current)
    scene.a.begins_with(cut.key[3] if same else "2026-01-01T00:00:08.000000Z")
    scene.checks.goes_by_its_record(8.1, scene.a, 20.0)
    assert scene.broken == (["G2"] if same else [])


@pytest.mark.parametrize("shown", [False, True])
def test_cut_of_a_copy_counts_for_who_took_it_for_what_it_created(shown):
    """Rules 5 and 14: it knows its Lease by no uid before it is shown one."""
    made, copy = _copied(shown=shown)
    if not shown:
        made.acquire(2.5, made.a, 1, copy.version)
    _shown_cut(made, 6.0, 2)
    made.checks.goes_by_its_record(6.0, made.a, 15.0)
    assert made.broken == ([] if shown else ["G2"])


@pytest.mark.parametrize(
    ("changes", "stays"),
    [
        ({}, True),
        ({"asked_to_stop": True}, False),
        ({"app_alive": False}, False),
        ({"hindered_at": 9.0}, False),
        ({"lost_acquire": "2026-01-01T00:00:01.000000Z"}, False),
        ({"last_stamp": "another"}, False),
        ({"wanted_since": 1.0}, True),
        ({"wanted_since": 1.1}, False),
    ],
)
def test_acquire_that_comes_out_too_short_keeps_out_who_waits_for_it(
    scene, changes, stays
):
    """Rule 14: not who withdraws it, or holds a record of an ended term or life."""
    scene.a.open_term = 0
    for name, value in changes.items():
        setattr(scene.a, name, value)
    _shown_cut(scene, 6.0, 5, again=False)
    assert (scene.a.cut_off_until > 0.0) is stays


@pytest.mark.parametrize("lags", [False, True])
def test_acquire_that_it_forgot_by_a_read_keeps_nobody_out(scene, lags):
    """Rules 5 and 14: a read that lags cannot be told from a restore."""
    checks, store, who = scene.checks, scene.store, scene.b
    checks.observed(who, 2.0, scene.first)
    store.label(3.0, "touched")
    checks.observed(who, 3.0, store.current)
    acquire = scene.lease("b", 25, store.current)
    order, before = checks.ordered(25.0, who, acquire, (25.0, 25.0)), store.current
    if lags:
        checks.observed(who, 25.1, scene.first, read=True)
    store.cap = 5
    cut = store.put(25.2, acquire).stored
    checks.applied(25.2, order, before, cut)
    checks.observed(who, 25.3, cut)
    checks.cut_short(25.3, who, cut, (25.3, 25.3), again=False, old=False)
    assert (who.cut_off_until > 0.0) is not lags


@pytest.mark.parametrize("lost", [False, True])
def test_cut_renewal_of_a_term_that_ends_keeps_out_who_still_holds_it(scene, lost):
    """Rule 14: whose driver failed while its work ends knows nothing of its writes."""
    scene.a.open_term, scene.a.draining, scene.a.returned = 0, True, True
    if lost:
        scene.checks.lost_in_the_end(5.5, scene.a)
    _shown_cut(scene, 6.0, 5, again=False)
    assert (scene.a.cut_off_until > 0.0) is not lost


@pytest.mark.parametrize(("lasts", "ends"), [(20, True), (5, False)])
def test_read_from_before_a_deletion_ends_the_pause_of_who_cannot_lead(
    scene, lasts, ends
):
    """Rule 14: what a lagging server answers is whole, so the process finds one can lead."""
    scene.store.edit(2.0, {"leaseDurationSeconds": lasts})
    before = scene.store.current
    scene.checks.observed(scene.a, 2.0, before)
    scene.store.delete(3.0)
    scene.checks.observed(scene.a, 3.0, scene.store.history[-1].stored, deleted=True)
    scene.a.cut_off_until = 40.0
    scene.checks.observed(scene.a, 4.0, before, read=True)
    assert (scene.a.cut_off_until < 0.0) is ends


def test_earlier_try_that_lands_while_a_later_one_leads_begins_no_term(scene):
    """The term that is led goes on being the one that its renewals belong to."""
    led = scene.a.term_acquire
    late = scene.checks.ordered(0.5, scene.a, scene.lease("a", 0), (0.5, 0.5))
    scene.found.clear()
    scene.store.delete(5.0)
    landed = scene.store.put(5.1, late.lease).stored
    scene.checks.applied(5.1, late, None, landed)
    assert scene.a.term_acquire == led != landed.key[3]


@pytest.mark.parametrize(
    ("shown", "broken"),
    [
        pytest.param(True, [], id="the later try is shown"),
        pytest.param(False, ["G4", "G5"], id="nothing shows it"),
    ],
)
def test_later_try_that_lands_in_the_term_of_an_earlier_one_goes_on_with_it(
    shown, broken
):
    """Both were ordered before the term; the renewals carry the times of the later one."""
    scene = Scene()
    a = scene.a
    first = scene.write(1.0, a, scene.lease("a", 1))
    scene.checks.observed(a, 1.5, first)
    second = scene.write(2.0, a, scene.lease("a", 2, first))
    scene.acquire(2.1, a, 1, first.version)
    scene.checks.work_began(2.1, a, 1)
    if shown:
        scene.checks.observed(a, 2.2, second)
        assert a.disproved == ""
    else:
        a.known[second.version], a.newest = second, second.version
    scene.write(7.0, a, scene.lease("a", 7, second, acquired=2))
    assert sorted(set(scene.broken)) == broken


def test_try_from_before_the_one_that_led_ends_the_term_when_it_lands():
    """Rule 10: "an older record of ours"; a restore gave the number of its base again."""
    scene = Scene()
    a = scene.a
    old = scene.lease("a", 0)
    scene.checks.ordered(0.5, a, old, (0.5, 0.5))
    scene.lead(1.0, a)
    scene.found.clear()
    began = a.term_acquire
    times = ("acquireTime", "renewTime")
    scene.store.edit(5.0, {name: old["spec"][name] for name in times})
    landed = scene.store.current
    a.stamps.add(landed.stamp)
    scene.checks.observed(a, 5.1, landed)
    assert a.disproved == "an older record of its own holds the Lease"
    scene.checks.lost_to(5.1, a, landed)
    assert a.term_acquire == began
    assert scene.broken == []


def test_loss_to_a_late_copy_of_the_write_that_created_its_lease_is_right(scene):
    """Rule 10: "another uid": what it led is deleted, whatever times the new one has."""
    scene.store.delete(3.0)
    late = scene.store.put(4.0, scene.lease("a", 1)).stored
    assert late.key[3] == scene.a.term_acquire
    scene.a.stamps.add(late.stamp)
    scene.checks.lost_to(4.5, scene.a, late)
    assert scene.broken == []


@pytest.mark.parametrize("drains", [False, True])
def test_creating_write_of_its_own_that_lands_in_a_term_ends_it(scene, drains):
    """It has another uid: the Lease that was led is gone (rule 10)."""
    late = scene.lease("a", 0)
    scene.checks.ordered(1.5, scene.a, late, (1.5, 1.5))
    scene.found.clear()  # that it was ordered in the term: it was before it
    if drains:
        scene.checks.lost(2.0, scene.a, 1, drains=True)
    scene.store.delete(3.0)
    created = scene.store.put(4.0, late).stored
    scene.a.stamps.add(created.stamp)
    began = scene.a.term_acquire
    scene.checks.observed(scene.a, 4.5, created)
    assert scene.a.disproved == "another Lease has its name now"
    assert scene.a.term_acquire == began
    scene.checks.after_disproof(4.5, scene.a)
    assert scene.broken == ([] if drains else ["G1"])
    assert (scene.a.lost_at == 4.5) is drains


@pytest.mark.parametrize(("lags", "since"), [(True, 3.0), (False, float("inf"))])
def test_held_record_that_a_lagging_read_shows_frees_nothing_again(scene, lags, since):
    """Rule 13: the delay after a release counts from when it was first seen."""
    b = scene.b
    scene.checks.observed(b, 2.0, scene.first)
    scene.store.edit(3.0, {"holderIdentity": "", "leaseDurationSeconds": 1})
    scene.checks.observed(b, 3.0, scene.store.current)
    assert b.free_since == 3.0
    scene.store.edit(4.0, {"holderIdentity": "c"})
    scene.checks.observed(b, 4.0, scene.first if lags else scene.store.current)
    assert b.free_since == since


def test_store_caps_what_is_written():
    """A policy changes the duration of each write that is longer."""
    scene = Scene()
    scene.store.cap = 7
    assert scene.store.put(1.0, scene.lease("a", 1)).stored.duration == 7
    assert not scene.store.roll_back(), "nobody else held it"
    assert not LeaseStore(name="x", namespace="default").roll_back()


def test_roll_back_goes_to_what_was_there_when_an_instant_was_over(scene):
    """A backup of an instant in which the Lease was written and deleted has none."""
    scene.store.edit(3.0, {"leaseTransitions": 7})
    scene.store.delete(3.0)
    scene.store.put(4.0, scene.lease("b", 4))
    assert scene.store.roll_back()
    assert scene.store.current.key == scene.first.key


@pytest.mark.parametrize("again", [True, False], ids=["given again", "of its own"])
def test_cut_renewal_with_the_number_of_what_it_knows_is_no_news(scene, again):
    """Fault 41, rule 11: it cannot be asked to end its term by that."""
    checks, store, who = scene.checks, scene.store, scene.a
    renewal = scene.lease("a", 6, scene.first, acquired=1)
    checks.ordered(6.0, who, renewal, (6.0, 6.0))
    if again:
        store.label(6.1, "touched")
        checks.observed(who, 6.1, store.current)
        assert store.restore(6.05)
    store.cap = 2
    cut = store.put(6.2, renewal).stored
    assert (cut.version in who.known) is again
    checks.observed(who, 6.2, cut)
    checks.cut_short(6.2, who, cut, (6.2, 6.2), again=False, old=False)
    assert bool(who.disproved) is not again
    assert (scene.a.cut_off_until > 0.0) is not again, "nor to pause for it (rule 14)"
