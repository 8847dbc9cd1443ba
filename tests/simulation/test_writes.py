"""What is wrong with a write is seen when it is ordered, and nothing else is."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.core.own_writes import FORMER_KEPT
from kubernetes_leader_election.testing.simulation.checkers import Checks
from kubernetes_leader_election.testing.simulation.own_memory import WRITES_KEPT
from kubernetes_leader_election.testing.simulation.store import (
    STEP_DOWN,
    SUCCESSOR,
    TOKEN,
    LeaseStore,
)
from kubernetes_leader_election.testing.simulation.witness import Witness
from kubernetes_leader_election.testing.simulation.writes import mistakes
from tests.simulation.test_checkers import Scene

NOW = 100.0


def time(second):
    """Write a time as it stands on the wire."""
    return f"2026-01-01T00:{second // 60:02}:{second % 60:02}.000000Z"


class Desk:
    """A leader with a Lease of its own, about to order a write."""

    def __init__(self):
        self.store = LeaseStore(name="x", namespace="default")
        self.who = Witness(
            name="a",
            identity="a",
            own_duration=20,
            renew_deadline=15.0,
            renew_interval=5.0,
        )
        self.who.term_acquire = time(90)
        self.who.last_applied_sent = 95.0
        self.who.last_ordered, self.who.answered = 95.0, 95.1
        self.who.token = 102
        self.see({**self.spec(90), "strategy": "other"}, labels={"x": "y"})
        stored = self.who.last_seen
        self.who.stamps.add((stored.uid, "a", time(90), time(90)))

    def spec(self, renewed, **changes):
        """Give the spec of the leader."""
        spec = {
            "holderIdentity": "a",
            "leaseDurationSeconds": 20,
            "acquireTime": time(90),
            "renewTime": time(renewed),
            "leaseTransitions": 1,
        }
        return {**spec, **changes}

    def see(self, spec, **metadata):
        """Put a Lease into the store and show it."""
        current = self.store.current
        old = {"name": "x"} if current is None else current.lease["metadata"]
        lease = {"metadata": {**old, **metadata}, "spec": spec}
        stored = self.store.put(NOW, lease).stored
        who = self.who
        who.known[stored.version] = who.last_seen = stored
        who.seen.setdefault(stored.key, NOW - 30.0)
        who.newest, who.last_key = stored.version, stored.key
        return stored

    def remember(self):
        """Let it have written what it saw, and been told of nothing else since."""
        self.who.memory.ordered((time(90), time(90)), None)
        self.who.memory.shown(self.who.last_seen)

    def order(self, metadata=None, **changes):
        """Order a write on what was seen, and give what is wrong with it."""
        lease = self.who.last_seen.lease
        written = {
            "metadata": {**lease["metadata"], **(metadata or {})},
            "spec": {**lease["spec"], **self.spec(100), **changes},
        }
        found = mistakes(NOW, self.who, written, (NOW, NOW), restored=False)
        return [f"{guarantee} {text}" for guarantee, text in found]


@pytest.fixture
def desk():
    """Give a leader whose renewal is due."""
    return Desk()


ACQUIRE = {"acquireTime": time(100), "leaseTransitions": 2}
FREE = {"holderIdentity": "", "leaseDurationSeconds": 1, "acquireTime": time(100)}


def test_renewal_in_time_is_fine(desk):
    """Nothing is found where nothing is wrong."""
    assert desk.order() == []


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("app_alive", False, "G5 orders a renewal though its application is not alive"),
        ("doubtful", True, "G5 orders a renewal before it looked what became of"),
        ("last_stamp", time(100), "G8 stamps 2026-01-01T00:01:40.000000Z after"),
        ("stamps", set(), "G5 orders a renewal on a record of a"),
        ("newest", 999, "G5 orders a write on 102, though it saw 999"),
        ("deletion", (0, 999), "G5 orders a write on a Lease whose deletion it saw"),
        ("last_ordered", 96.0, "G9 orders a renewal 1.000000 s before it is due"),
        ("last_ordered", 94.0, "G8 orders a renewal 1.000000 s after it was due"),
        ("cut_seen", 98.0, "G8 orders a renewal 2.000000 s after it was due"),
        ("lost_at", 99.0, "G5 orders a renewal of a term that is lost"),
        ("last_applied_sent", 84.0, "G5 orders a renewal of a term that ran out"),
    ],
)
def test_renewal_that_may_not_be_ordered_is_found(desk, field, value, text):
    """G5, G8, G9: a renewal is of a live term, on its own record, and in time."""
    setattr(desk.who, field, value)
    found = desk.order()
    assert len(found) == 1
    assert found[0].startswith(text)


@pytest.mark.parametrize(
    ("metadata", "spec", "text"),
    [
        ({"labels": {}}, {}, "G5 changes the metadata of others: labels"),
        ({"annotations": {"z": "1"}}, {}, "G5 changes the annotations of others"),
        ({}, {"strategy": None}, "G5 drops what others wrote in the spec"),
        ({}, {"leaseTransitions": 2}, "G5 writes 2 transitions on top of 1"),
        ({}, {"leaseDurationSeconds": 9}, "G5 writes 'a' for 9 s"),
        ({"uid": "other"}, {}, "G5 orders a write on a uid and resourceVersion it"),
        (
            {"annotations": {TOKEN: "7 x"}},
            {},
            f"G3 notes 7 x as the token 102 {time(90)}",
        ),
    ],
)
def test_renewal_that_writes_something_else_is_found(desk, metadata, spec, text):
    """Rule 6, G3: what is not its own is kept as read, and its own is right."""
    found = desk.order(metadata, **spec)
    assert len(found) == 1
    assert found[0].startswith(text)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"work_term": 1}, "G4 seeks a new term while work of term 1 runs"),
        ({"app_alive": False}, "G5 seeks a term though its application is not alive"),
        ({"asked_to_stop": True}, "G5 seeks a term though it was asked to stop"),
        ({"stays_out_until": 101.0}, "G7 seeks a term though it was asked to stay out"),
        ({"rival_version": 999, "rival_seen_at": 99.0}, "G5 takes an old record of"),
        ({"cut_off_until": 101.0}, "G9 seeks a term though each of its writes is cut"),
        ({}, "G7 waits for a record of its own as for another's"),
    ],
)
def test_acquire_that_may_not_be_ordered_is_found(desk, changes, text):
    """G4, G5, G7: a term is sought when that is free to it, and not later."""
    if "rival_version" not in changes:
        desk.remember()
    for name, value in {"hindered_at": 99.0 if changes else 0.0, **changes}.items():
        setattr(desk.who, name, value)
    found = desk.order(**ACQUIRE)
    assert len(found) == 1
    assert found[0].startswith(text)


@pytest.mark.parametrize(("seen_at", "count"), [(NOW, 0), (float("inf"), 1)])
def test_renewal_before_its_time_puts_right_an_edit_and_nothing_else(
    desk, seen_at, count
):
    """Rule 14: a record that was cut short by hand is renewed at once."""
    desk.who.last_ordered, desk.who.cut_seen = 99.5, seen_at
    desk.who.answered = 99.6
    assert len(desk.order()) == count


@pytest.mark.parametrize("forgets", [False, True])
def test_record_that_it_may_have_forgotten_is_waited_for_as_anothers(desk, forgets):
    """Rule 5: so is one that was undone, or overtaken when it had not landed yet."""
    desk.remember()
    desk.who.hindered_at = 0.0
    if forgets:
        desk.who.memory.forget()
    assert len(desk.order(**ACQUIRE)) == (not forgets)


@pytest.mark.parametrize(
    ("waited", "silent", "texts"),
    [
        (19.0, 1.0, ["G5 orders a take-over from b after observing its record"]),
        (21.0, 18.0, ["G9 takes over and did not ask for 18.000 s (rule 16)"]),
        (21.0, 14.0, []),
    ],
)
def test_take_over_too_early_or_without_a_question_is_found(
    desk, waited, silent, texts
):
    """Rules 1 and 16: the record stood still, and a silent watch was replaced."""
    desk.see(desk.spec(91, holderIdentity="b"), labels={})
    desk.who.seen[desk.who.last_key] = NOW - waited
    desk.who.heard_at = NOW - silent
    found = desk.order(**ACQUIRE)
    assert all(text.startswith(start) for text, start in zip(found, texts, strict=True))


@pytest.mark.parametrize(
    ("waited", "silent", "count"),
    [(5.2, 7.0, 1), (30.0, 14.0, 0), (30.0, 18.0, 1)],
    ids=["at its expiry", "after a pause", "silent for too long after a pause"],
)
def test_who_pauses_after_an_expiry_asks_by_its_own_duration(
    desk, waited, silent, count
):
    """Rules 14 and 16: what has run out and cannot be taken yet need not be looked at."""
    desk.see(desk.spec(91, holderIdentity="b", leaseDurationSeconds=5), labels={})
    desk.who.seen[desk.who.last_key] = NOW - waited
    desk.who.heard_at = NOW - silent
    assert len(desk.order(**ACQUIRE)) == count


@pytest.mark.parametrize(("waited", "broken"), [(4.9, True), (5.02, False)])
def test_who_goes_before_a_named_successor_is_found(desk, waited, broken):
    """Rule 13: all others wait up to 5 s when a person has named a successor."""
    desk.see({**desk.spec(91), **FREE}, annotations={SUCCESSOR: "b"}, labels={})
    desk.who.free_for, desk.who.free_since = "b", NOW - waited
    found = desk.order({"annotations": {}}, **ACQUIRE)
    assert any("before b" in text for text in found) is broken
    assert len(found) == broken


@pytest.mark.parametrize(("waited", "broken"), [(0.02, True), (0.03, False)])
def test_who_just_ended_its_work_and_goes_first_is_found(desk, waited, broken):
    """Rule 13: 25 ms longer, so that another one leads."""
    desk.see({**desk.spec(91), **FREE}, labels={})
    desk.who.polite, desk.who.free_since = True, NOW - waited
    assert len(desk.order(**ACQUIRE)) == broken


@pytest.mark.parametrize(
    ("waited", "changes", "late"),
    [
        (0.024, {}, False),
        (0.03, {}, True),
        (0.03, {"polite": True}, False),
        (0.06, {"polite": True}, True),
        (0.03, {"polite": None}, False),
        (0.03, {"lateness": 0.1}, False),
        (0.03, {"hindered_at": NOW - 5.0}, False),
        (0.03, {"hindered_at": NOW - 6.0}, True),
        (0.03, {"edits": 2}, False),
        (0.03, {"since": NOW - 0.02}, False),
    ],
)
def test_who_goes_late_after_a_release_is_found(desk, waited, changes, late):
    """Rule 13: 25 ms at most, and 25 ms more where its own work just ended."""
    desk.see({**desk.spec(91), **FREE}, annotations={SUCCESSOR: "a"}, labels={})
    desk.who.free_for, desk.who.free_since = "a", NOW - waited
    for name, value in changes.items():
        setattr(desk.who, name, value)
    found = desk.order({"annotations": {}}, **ACQUIRE)
    assert any("later than it may after a release" in text for text in found) is late
    assert len(found) == late


@pytest.mark.parametrize(
    ("waited", "edits", "text"),
    [
        (0.0, 1, None),
        (0.0, 2, "G9 orders a renewal 0.100000 s before it is due"),
        (0.1, 2, None),
        (1.0, 2, None),
        (1.0, 1, "G8 orders a renewal 1.000000 s after it was due"),
    ],
)
def test_edit_that_comes_again_is_not_answered_at_once(desk, waited, edits, text):
    """Fault 24: whoever edits after each write would have it write as fast as that."""
    who = desk.who
    who.last_ordered, who.answered = NOW - 2.0, NOW - 1.9
    who.request_timeout, who.edits, who.cut_seen = 2.0, edits, NOW - waited
    assert desk.order() == ([] if text is None else [text])


@pytest.mark.parametrize("name", [STEP_DOWN, SUCCESSOR, TOKEN])
def test_acquire_that_leaves_wishes_on_the_lease_is_found(desk, name):
    """Rule 6: wishes are taken off when they were heard, and notes with their term."""
    desk.see({**desk.spec(91), **FREE}, annotations={name: "a"}, labels={})
    [found] = desk.order(**ACQUIRE)
    assert "leaves wishes and notes of an ended term" in found


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"work_term": 1}, "G5 orders a release while work of term 1 runs"),
        ({"stamps": set()}, "G5 orders a release of what a holds"),
        (
            {"lost_at": 99.0, "lost_acquire": time(90)},
            "G5 orders a release of a term that is lost",
        ),
    ],
)
def test_release_that_may_not_be_ordered_is_found(desk, changes, text):
    """G5: a release only follows the end of the work, of a term that is its own."""
    for name, value in changes.items():
        setattr(desk.who, name, value)
    assert desk.order(**FREE) == [text]


@pytest.mark.parametrize(
    ("seen", "waited", "text"),
    [
        (True, 19.0, "G5 orders to create what it saw before 19.000 s after"),
        (True, 20.5, None),
        (False, 0.0, None),
        (False, 20.5, "G7 waits for a missing Lease that it never saw"),
    ],
)
def test_creation_too_early_or_too_late_is_found(desk, seen, waited, text):
    """Rule 4: who saw the Lease waits in full, who has no history does not."""
    who = desk.who
    who.absent_since = NOW - waited
    if not seen:
        who.last_seen = None
    lease = {"metadata": {"name": "x"}, "spec": {**desk.spec(100), **ACQUIRE}}
    lease["spec"]["leaseTransitions"] = 1
    found = list(mistakes(NOW, who, lease, (NOW, NOW), restored=False))
    assert len(found) == (text is not None)
    assert all(f"{guarantee} {said}".startswith(text) for guarantee, said in found)


@pytest.mark.parametrize("read_lags", [True, False])
def test_what_a_read_showed_that_was_overtaken_is_nothing_to_go_by(desk, read_lags):
    """Who saw a newer record goes by that one: who leads, and for how long (rule 4)."""
    who, found = desk.who, []
    checks = Checks(excuse_span=30.0, report=found.append)
    older = desk.see(desk.spec(60, holderIdentity="b", leaseDurationSeconds=60))
    checks.observed(who, NOW - 30.0, older)
    if read_lags:
        newer = desk.see(desk.spec(70, holderIdentity="c"))
        checks.observed(who, NOW - 29.0, newer)
        checks.observed(who, NOW - 28.0, older, read=True)
    assert {seen.holder for seen in who.goes_by} == ({"b", "c"} if read_lags else {"b"})
    who.absent_since = NOW - 20.5
    lease = {"metadata": {"name": "x"}, "spec": {**desk.spec(100), **ACQUIRE}}
    lease["spec"]["leaseTransitions"] = 1
    found += mistakes(NOW, who, lease, (NOW, NOW), restored=False)
    assert len(found) == (not read_lags)


@pytest.fixture
def scene():
    """Give a scene in which ``a`` leads since second 1."""
    made = Scene()
    made.first = made.lead(1.0, made.a)
    return made


@pytest.mark.parametrize("drains", [False, True])
def test_term_that_goes_on_after_its_loss_was_shown_breaks_g1(scene, drains):
    """Rule 11: the first proof of loss ends the term, also where it drains."""
    checks, who = scene.checks, scene.a
    if drains:
        checks.lost(2.0, who, 1, drains=True)
    stolen = scene.store.edit(3.0, {"holderIdentity": "b"})
    assert stolen
    checks.observed(who, 3.0, scene.store.current)
    assert who.disproved == "b holds the Lease"
    checks.after_disproof(3.0, who)
    assert scene.broken == ([] if drains else ["G1"])
    assert (who.lost_at == 3.0) is drains


def test_leader_that_is_shown_a_restore_must_stop():
    """Fault 41: an older version than was known when the read was ordered."""
    made = Scene()
    first = made.lead(1.0, made.a)
    newer = made.write(2.0, made.a, made.lease("a", 2, first, acquired=1))
    made.checks.observed(made.a, 2.0, newer)
    made.checks.went_back(made.a, first, first.version, 2.5)
    assert made.a.disproved == ""
    made.checks.went_back(made.a, first, newer.version, 2.5)
    made.checks.after_disproof(3.0, made.a)
    assert made.broken == ["G1"]


def test_belief_that_outlasts_every_clock_breaks_g2(scene):
    """Rule 14: no clock that keeps within rho lets a term last longer."""
    scene.checks.belief_ended(1.0 + 15.0 / 0.9 + 0.1, scene.a)
    assert scene.broken == ["G2"]


def test_loss_for_a_reason_that_nobody_gave_breaks_g8(scene):
    """A term ends because of what happened to it, not to an earlier one."""
    scene.a.causes.add("stopped")
    scene.checks.lost_because(2.0, scene.a, "stopped")
    assert scene.broken == []
    scene.checks.lost_because(2.0, scene.a, "work_ended")
    assert scene.broken == ["G8"]


def test_checkers_expect_as_many_tries_to_be_remembered_as_the_core_keeps():
    """Rule 5: a record of an older one is waited for as another's."""
    assert WRITES_KEPT == FORMER_KEPT
