"""
What is wrong with a write at the moment it is ordered.

Most mistakes of an elector end in a write that the store refuses: it compares versions
and uids, so nobody sees them. Here each write is judged by what its process had been
shown and told when it ordered the write, whether it will be applied or not. Nothing here
knows the core.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from kubernetes_leader_election.testing.simulation.store import (
    CHALLENGE,
    POD,
    STEP_DOWN,
    SUCCESSOR,
    TOKEN,
    Stored,
)
from kubernetes_leader_election.testing.simulation.witness import Witness

TOLERANCE: Final = 1e-5
"""Seconds; covers the rounding of floats and of whole microseconds, nothing else."""
SLACK: Final = 2e-3
"""Seconds; covers the wake-ups of a process that is not late, and their order."""
LONGEST_D: Final = 600.0
"""Seconds: of a record that is good for longer, the own D is the measure (rule 16)."""
SILENCE: Final = 0.72
"""Share of the holder's D after which a silent watch was replaced by all (rule 16)."""
AFTER_RELEASE: Final = 0.025
"""
Seconds at most that rule 13 delays a write on a released Lease; not the core's word.
Whoever has just ended its own work waits for as long at least.
"""
CONTENDING: Final = 0.5
"""Seconds; more than the delay after an expiry."""
YIELD_AT_MOST: Final = 5.0
"""Seconds at most that others let a named successor go first, or half of D."""
FIRST_PAUSE: Final = 0.1
"""Seconds, or T / 8 where that is less, between the first two tries of anything."""
LONGEST_PAUSE: Final = 5.5
"""Seconds at most that failures keep a candidate from its next try, and some more."""
LONGEST_ASKED: Final = 30.0
"""Seconds, or D where that is longer, that a server may ask a candidate to wait."""
NEVER: Final = float("inf")
MAX_INT32: Final = 2**31 - 1
SPEC: Final = frozenset(
    {
        "holderIdentity",
        "leaseDurationSeconds",
        "acquireTime",
        "renewTime",
        "leaseTransitions",
    }
)
OURS: Final = (STEP_DOWN, SUCCESSOR, TOKEN, POD, CHALLENGE)

Mistake = tuple[str, str]
"""The guarantee or rule that is broken, and how."""


def is_plain(
    time: float, who: Witness, lease: Mapping[str, Any], now: tuple[float, ...]
) -> bool:
    """
    Tell at a glance whether a write is a renewal in good order, as most writes are.

    Nothing is allowed here that :func:`mistakes` would not pass, which says all that can
    be wrong, but takes four times as long.
    """
    spec, metadata = lease["spec"], lease["metadata"]
    base = who.known.get(int(metadata.get("resourceVersion") or 0))
    if base is None or base.lease["metadata"] is not metadata or who.ambiguous:
        return False
    acquire, renewed = spec["acquireTime"], spec["renewTime"]
    notes, boottime, key = metadata.get("annotations"), now[0], base.key
    if (
        who.answered is None
        or who.cut_seen != NEVER
        or not 0.0
        <= boottime - who.last_ordered - who.renew_interval
        <= who.lateness + SLACK
        or boottime > who.last_applied_sent + who.renew_deadline
        or time >= who.lost_at
        or base.version != who.newest
        or base.uid != who.term_uid
        or key[3:5] not in who.written
        or base.holder != who.identity
        or acquire != who.term_acquire
        or spec["holderIdentity"] != who.identity
        or spec["leaseDurationSeconds"] != who.own_duration
        or spec.get("leaseTransitions") != key[5]
        or len(spec) > len(SPEC)
        or renewed <= who.last_stamp
        or (notes and notes != {TOKEN: f"{who.token} {acquire}"})
        or who.doubtful
        or not who.app_alive
    ):
        return False
    who.last_stamp = renewed
    who.written[acquire, renewed] = now
    who.memory.ordered((acquire, renewed), base)
    return True


def mistakes(
    time: float,
    who: Witness,
    lease: Mapping[str, Any],
    now: tuple[float, ...],
    *,
    restored: bool,
) -> Iterator[Mistake]:
    """
    Yield what is wrong with a write of ours that is ordered at ``time``.

    ``restored``: the store once went back to a backup, so a process may see records of
    its own that it has forgotten.
    """
    boottime = now[0]
    spec, metadata = lease["spec"], lease["metadata"]
    uid, version = metadata.get("uid"), metadata.get("resourceVersion")
    base = None
    if uid and version:
        base = who.known.get(int(version))
        if base is None or (base.uid != uid and base.version not in who.ambiguous):
            yield "G5", "orders a write on a uid and resourceVersion it never saw"
            return
        if not restored and not who.loss_excused:
            if base.mark < who.deletion:
                yield "G5", "orders a write on a Lease whose deletion it saw"
            elif base.version < who.newest:
                text = f"orders a write on {base.version}, though it saw {who.newest}"
                yield "G5", text
    elif uid or version or not (who.last_seen is None or who.absent_since is not None):
        text = "orders a write without the uid and resourceVersion of what it saw"
        yield "G5", text
        return
    if asks(who, lease):
        yield from _of_question(who, lease, base, now)
        return
    if not spec.get("holderIdentity"):
        yield from _of_release(time, who, base)
    elif spec.get("acquireTime") == who.term_acquire:
        yield from _of_renewal(time, who, base, boottime)
        if who.answered is not None and not restored:
            yield from _of_rhythm(who, base, who.answered, boottime)
        who.ends.notes_first = False
    else:
        yield from _of_acquire(who, base, now, restored=restored)
        who.tried[spec.get("acquireTime")] = None
        who.ends.notes_first = who.ends.challenge is not None
    if not who.ambiguous or base is None or base.version not in who.ambiguous:
        yield from _of_content(who, lease, base)
    renewed = str(spec.get("renewTime"))
    if renewed <= who.last_stamp:
        yield "G8", f"stamps {renewed} after {who.last_stamp} (rule 7)"
    who.last_stamp = renewed
    who.written[spec.get("acquireTime"), renewed] = now
    who.memory.ordered((spec.get("acquireTime"), spec.get("renewTime")), base)


def asks(who: Witness, lease: Mapping[str, Any]) -> bool:
    """Tell whether a write leaves the record of another as it is: it asks (rule 19)."""
    if who.ends.challenge is None:
        return False
    base = who.known.get(int(lease["metadata"].get("resourceVersion") or 0))
    if base is None or not base.held or lease["spec"] != base.lease["spec"]:
        return False
    return not who.wrote(base)  # else it is a renewal that changes nothing


def _of_question(
    who: Witness,
    lease: Mapping[str, Any],
    base: Stored | None,
    now: tuple[float, ...],
) -> Iterator[Mistake]:
    """Judge a challenge: rules 18 and 19."""
    assert base is not None
    _, holder, _, acquired, renewed, _ = base.key
    old, new = dict(base.lease["metadata"]), dict(lease["metadata"])
    was, notes = old.pop("annotations", None) or {}, new.pop("annotations", None) or {}
    asked = {**was, CHALLENGE: f"1 {acquired} {renewed} {holder}"}
    if old != new or notes != asked:
        yield "G5", "changes more than one annotation where it asks the holder"
    if base.challenged:
        yield "G9", "asks the holder what another has asked already (rule 19)"
    if who.ends.asks_too_often(base):
        yield "G9", f"asks {holder} again and again about one record (fault 24)"
    if not who.ends.may_ask(base, now):
        yield "G5", f"asks {holder}, whose end is not proved to it (rule 18)"
    if who.work_term:
        yield "G4", f"asks the holder while work of term {who.work_term} runs"
    if who.asked_to_stop or not who.app_alive:
        yield "G5", "asks the holder though it seeks no term"


def _of_release(time: float, who: Witness, base: Stored | None) -> Iterator[Mistake]:
    if who.work_term:
        yield "G5", f"orders a release while work of term {who.work_term} runs"
    if base is None or base.version in who.ambiguous:
        return
    if not who.wrote(base) and not who.wrote_itself(base):
        yield "G5", f"orders a release of what {base.holder or 'nobody'} holds"
    elif who.lost_at <= time and base.key[3] == who.lost_acquire:
        yield "G5", "orders a release of a term that is lost"


def _of_renewal(
    time: float, who: Witness, base: Stored | None, boottime: float
) -> Iterator[Mistake]:
    if who.lost_at <= time:
        yield "G5", "orders a renewal of a term that is lost"
    elif boottime > who.last_applied_sent + who.renew_deadline + TOLERANCE:
        # Also while draining: what ran out latches (rules 11 and 14).
        yield "G5", "orders a renewal of a term that ran out"
    if base is None:
        yield "G5", "orders a renewal without a Lease"
    elif not who.wrote(base) and base.version not in who.ambiguous:
        yield "G5", f"orders a renewal on a record of {base.holder or 'nobody'}"
    asked = who.ends.challenge is not None and base is not None and base.challenged
    if not who.app_alive and not asked:
        yield "G5", "orders a renewal though its application is not alive"
    if who.doubtful:
        yield "G5", "orders a renewal before it looked what became of the last one"


def _of_rhythm(
    who: Witness, base: Stored | None, answered: float, boottime: float
) -> Iterator[Mistake]:
    """Judge when a renewal is ordered after one that was answered well."""
    # A record that was cut short by hand is put right at once (rule 14), but whoever
    # edits it again and again does not make it write as fast as that (fault 24).
    due = regular = who.last_ordered + who.renew_interval
    if who.cut_seen != NEVER:
        pause = min(FIRST_PAUSE, who.request_timeout / 8) if who.edits > 1 else 0.0
        due = min(regular, who.cut_seen + pause)
    # The first of a term carries the note, and a challenge is answered, at once.
    at_once = who.ends.challenge is not None and (
        who.ends.notes_first or (base is not None and base.challenged)
    )
    back = who.ends.heard_back
    if who.ends.notes_first and who.ends.pod and back is not None:
        # Rule 17: as soon as the watch has brought the acquire.
        if back[0] == next(reversed(who.written), None) and back[1] < due:
            if _in_time(who, back):
                due = regular = back[1]
    if boottime < due - TOLERANCE and not at_once:
        yield "G9", f"orders a renewal {due - boottime:.6f} s before it is due"
    if not who.app_alive:
        return  # only the answer to a question was due, from when it was seen
    if who.edits > 1:
        due = regular  # the pause has grown until then, at most
    late = boottime - max(due, answered, who.ready_at)
    if late > 1.2 * who.lateness + SLACK:
        yield "G8", f"orders a renewal {late:.6f} s after it was due"


def _of_acquire(
    who: Witness,
    base: Stored | None,
    now: tuple[float, ...],
    *,
    restored: bool,
) -> Iterator[Mistake]:
    boottime, monotonic = now[:2]
    polite, who.polite = who.polite, False
    if who.work_term:
        yield "G4", f"seeks a new term while work of term {who.work_term} runs"
    if not who.app_alive:
        yield "G5", "seeks a term though its application is not alive"
    if who.asked_to_stop:
        yield "G5", "seeks a term though it was asked to stop"
    if boottime < who.stays_out_until - TOLERANCE:
        yield "G7", "seeks a term though it was asked to stay out"
    if boottime < who.rests_until - TOLERANCE:
        yield "G7", "seeks a term though its work failed, and others are to have a try"
    if boottime < who.cut_off_until - TOLERANCE:
        yield "G9", "seeks a term though each of its writes is cut short (rule 14)"
    recreates, who.recreates = who.recreates, False
    if base is None:
        if not restored and not recreates:
            yield from _of_creation(who, monotonic)
        return
    if base.version in who.ambiguous:
        return
    if base.held:
        yield from _of_take_over(who, base, now)
        return
    if who.suspended:
        return
    if polite and monotonic - who.free_since < AFTER_RELEASE - TOLERANCE:
        yield "G7", "goes before all others, though its work just ended (rule 13)"
    successor, first = who.free_for, 0.0
    if successor and successor != who.identity:
        first = min(YIELD_AT_MOST, who.own_duration / 2)
        waited = monotonic - who.free_since
        # Who acquires takes the name off, and another release may follow unseen.
        if base.successor == successor and waited < first - TOLERANCE:
            yield "G7", f"goes {waited:.3f} s after a release, before {successor}"
    yield from _of_delay(
        who, monotonic, first + AFTER_RELEASE * (1 + (polite is not False))
    )


def _of_delay(who: Witness, monotonic: float, longest: float) -> Iterator[Mistake]:
    """Judge when an acquire is ordered on what was released: not late, either."""
    since = max(who.free_since, who.since)
    if who.hindered_at + LONGEST_PAUSE > since or who.edits > 1:
        return  # it pauses, perhaps
    late = monotonic - since - longest
    if late > 1.2 * who.lateness + SLACK:
        yield "G7", f"goes {late:.3f} s later than it may after a release (rule 13)"


def _of_creation(who: Witness, monotonic: float) -> Iterator[Mistake]:
    """Judge an acquire that creates the Lease: rule 4."""
    seen, absent = who.last_seen, who.absent_since
    if absent is None:
        return
    waited = monotonic - absent
    if seen is None:
        waited = monotonic - max(absent, who.hindered_at)
        if waited >= max(who.own_duration - TOLERANCE, LONGEST_PAUSE):
            yield "G7", "waits for a missing Lease that it never saw"
        return
    held = min(who.duration_of(seen) if seen.held else 0 for seen in who.goes_by)
    needed = max(who.own_duration, held)
    if waited < needed - TOLERANCE:
        text = f"orders to create what it saw before {waited:.3f} s after it was gone"
        yield "G5", f"{text}; the wait is {needed} s"


def _of_take_over(
    who: Witness, base: Stored, now: tuple[float, ...]
) -> Iterator[Mistake]:
    """Judge an acquire on a record that somebody holds, perhaps a former self."""
    monotonic, needed = now[1], who.duration_of(base)
    since = who.seen.get(base.key)
    if since is None:
        return  # it came after a deletion that undid it, as far as we can know
    if who.memory.knows(base):
        if _waits_for_own(who, since, monotonic, needed):
            yield "G7", "waits for a record of its own as for another's"
        return
    if base.holder == who.identity and base.key[3] in who.tried:
        return  # it knows no uid of what it wrote without an answer
    if base.stamp in who.stamps:
        if base.version <= who.rival_version:
            waited = monotonic - who.rival_seen_at
            if waited < needed - TOLERANCE:
                text = f"takes an old record of its own {waited:.3f} s after a rival's"
                yield "G5", text
        return
    if who.wrote_itself(base):
        return  # a copy of what it created, whose uid it did not know
    waited = monotonic - since
    if waited < needed - TOLERANCE and who.ends.may_follow(base, now):
        return
    if waited < needed - TOLERANCE:
        text = (
            f"orders a take-over from {base.holder} after observing its record for "
            f"{max(0.0, waited):.3f} s; it was good for {needed} s"
        )
        yield "G5", text
    silent = monotonic - max(who.heard_at, who.hindered_at + LONGEST_PAUSE)
    # Where no watch is permitted it asks every tenth of its own duration.
    lasts = who.own_duration if needed > max(LONGEST_D, who.own_duration) else needed
    if waited > needed + CONTENDING:
        # What has run out, and could not be taken for a pause, need not be looked at.
        lasts = max(lasts, who.own_duration)
    asks = SILENCE * lasts + 0.11 * who.own_duration
    if silent > asks + 3.0 * who.lateness + 0.05:
        yield "G9", f"takes over and did not ask for {silent:.3f} s (rule 16)"


def _waits_for_own(who: Witness, since: float, monotonic: float, needed: float) -> bool:
    """
    Tell whether a record of its own was waited for, as only another's has to be.

    Whatever hindered it, as the conflict by which it learned of that record, was over
    for long.
    """
    rested = monotonic - max(since, who.hindered_at)
    waited = monotonic - since
    return waited >= needed - TOLERANCE and rested >= max(
        2.0 * LONGEST_PAUSE, needed / 2.0
    )


def _of_content(
    who: Witness, lease: Mapping[str, Any], base: Stored | None
) -> Iterator[Mistake]:
    """Judge what is written: rules 6 and 12."""
    spec = lease["spec"]
    get = spec.get
    holder, acquire = get("holderIdentity"), get("acquireTime")
    renews = bool(holder) and acquire == who.term_acquire
    duration = who.own_duration if holder else 1
    if get("leaseDurationSeconds") != duration or holder not in ("", who.identity):
        yield "G5", f"writes {holder!r} for {get('leaseDurationSeconds')} s"
    before = 0 if base is None else base.key[5]
    transitions = before
    if holder and not renews:
        transitions = min((before or 0) + 1, MAX_INT32)  # type: ignore[operator]  # as the store took it
    if get("leaseTransitions") != transitions:
        text = f"writes {get('leaseTransitions')} transitions on top of {before}"
        yield "G5", text
    if base is None:
        return
    old, new = base.lease["metadata"], lease["metadata"]
    fields = base.lease["spec"]
    if len(fields) > len(SPEC) and any(
        get(name) != value for name, value in fields.items() if name not in SPEC
    ):
        yield "G5", "drops what others wrote in the spec"
    notes = new.get("annotations") or {}
    if new is not old:  # else it is what was read, as it is with most renewals
        was = old.get("annotations") or {}
        for name in old.keys() | new.keys():
            if name != "annotations" and old.get(name) != new.get(name):
                yield "G5", f"changes the metadata of others: {name}"
        kept = {name: value for name, value in was.items() if name not in OURS}
        if kept != {name: value for name, value in notes.items() if name not in OURS}:
            yield "G5", "changes the annotations of others"
    if not notes:
        return
    if renews and who.ends.challenge is not None:
        yield from _of_note(who, spec, notes)
    if renews:
        if who.token is not None and TOKEN in notes:
            if notes[TOKEN] != f"{who.token} {acquire}":
                yield "G3", f"notes {notes[TOKEN]} as the token {who.token} {acquire}"
    elif not notes.keys().isdisjoint((STEP_DOWN, TOKEN, POD, CHALLENGE)) or (
        holder and SUCCESSOR in notes
    ):
        yield "G5", "leaves wishes and notes of an ended term on the Lease"


def _of_note(
    who: Witness, spec: Mapping[str, Any], notes: Mapping[str, Any]
) -> Iterator[Mistake]:
    """Judge the note that a renewal carries: rule 17."""
    if CHALLENGE in notes:
        yield "G5", "leaves a challenge on the Lease that its renewal answers"
    if POD not in notes:
        return
    record = f" {spec['acquireTime']} {spec['renewTime']} {spec['holderIdentity']}"
    if not str(notes[POD]).endswith(record):
        yield "G1", "leaves a note that is for another record (rule 17)"
    ends, fields = who.ends, str(notes[POD]).split(" ")
    assert ends.challenge is not None
    wanted = str(max(1, round(ends.challenge * 1000)))
    if fields[3] != ends.pod or fields[5:7] != [ends.nonce, wanted]:
        yield "G1", f"leaves a note that is not its own: {' '.join(fields[:7])}"
    newest, back = next(reversed(who.written), None), ends.heard_back
    if back is None or back[0] != newest:
        yield "G1", "leaves a note, though its open watch did not bring its last write"
    elif not _in_time(who, back):
        late = back[1] - who.written[newest][0]
        text = (
            f"leaves a note, though its watch brought its last write {late:.3f} s late"
        )
        yield "G1", text


def _in_time(who: Witness, back: tuple[tuple[object, object], float]) -> bool:
    """Return whether the watch brought a write so soon that a challenge is heard, too."""
    late = back[1] - who.written[back[0]][0]
    return late <= (who.ends.challenge or 0.0) / 3 + TOLERANCE
