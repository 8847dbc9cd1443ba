"""
What hands, backups and policies can do to the Lease.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from kubernetes_leader_election.testing.simulation.network import DISCONNECTED
from kubernetes_leader_election.testing.simulation.node import Node
from kubernetes_leader_election.testing.simulation.plan import Fault
from kubernetes_leader_election.testing.simulation.process_faults import newest
from kubernetes_leader_election.testing.simulation.scene import Scene
from kubernetes_leader_election.testing.simulation.store import (
    STEP_DOWN,
    SUCCESSOR,
    TOKEN,
    Stored,
)


def _held(world: Scene) -> Stored | None:
    """Return what stands in the Lease where somebody holds it."""
    current = world.network.store.current
    return current if current is not None and current.held else None


def changed(world: Scene, *, changes: int = 1) -> None:
    """Tell all watches of the newest changes, and write down what they came to."""
    network = world.network
    for change in network.store.history[-changes:]:
        network.tell_watches(change)
    if world.recorder is not None:
        world.recorder.stored(world.time, network.store.current)


def lease_went_back(world: Scene) -> None:
    """End all watches of a store that counts versions anew, and write down what it has."""
    network = world.network
    world.checks.restored(world.time, network.store.version)
    network.end_watches(None, DISCONNECTED)
    if world.recorder is not None:
        world.recorder.stored(world.time, network.store.current)


def restore(world: Scene, fault: Fault) -> bool:
    """Restore the store from a backup that is ``amount`` seconds old."""
    return go_back(world, world.time - fault.amount)


def go_back(world: Scene, to: float) -> bool:
    """Restore what stood in the store at an instant; tell whether anything did."""
    if not world.network.store.restore(to):
        return False
    lease_went_back(world)
    return True


def move(world: Scene, fault: Fault) -> bool:
    """Move the Lease to another server, where it has another uid and a lower version."""
    store = world.network.store
    if store.current is None:
        return False
    store.move(world.time)
    lease_went_back(world)
    return True


def delete(world: Scene, fault: Fault) -> bool:
    """Delete the Lease."""
    gone = world.network.store.current
    if gone is None:
        return False
    world.network.store.delete(world.time)
    if gone.held:
        world.checks.deleted(world.time, gone.uid, gone.duration)
    changed(world)
    return True


def deleted_and_asked(world: Scene, fault: Fault, node: Node) -> bool:
    """
    Delete the Lease of who leads, and ask it to step down ``length`` seconds later.

    Its work may run still; it stays out for ``amount`` seconds, in which it cannot know
    any more that nobody else has led.
    """
    process = newest(node)
    if process is None or not process.work_runs or not delete(world, fault):
        return False
    world.after(
        fault.length, lambda _: process.do(process.step_down, fault.amount), None
    )
    return True


def recreate(world: Scene, fault: Fault) -> bool:
    """Delete the Lease and create it again as it was; "unseen": while nobody watches."""
    network = world.network
    store = network.store
    gone = store.current
    if gone is None:
        return False
    if fault.detail == "unseen":
        network.end_watches(None, DISCONNECTED)
    store.recreate(world.time)
    if fault.detail == "unseen":
        store.compact()
    if gone.held:
        world.checks.deleted(world.time, gone.uid, gone.duration)
    world.checks.excuse(world.time)
    changed(world, changes=2)
    return True


# Labels and annotations ------------------------------------------------------


def label(world: Scene, fault: Fault) -> bool:
    """Change a label of the Lease, as controllers do: no fault at all."""
    store = world.network.store
    if store.current is None:
        return False
    store.label(world.time, f"{world.time:.6f}")
    world.network.tell_watches()
    return True


def undone_label(world: Scene, fault: Fault) -> bool:
    """Touch a label, and restore what was before if nothing came after it."""
    store = world.network.store
    if store.current is None:
        return False
    label(world, fault)
    before, version = world.time - 1e-6, store.version

    def undo(_: None) -> None:
        if store.version == version:
            go_back(world, before)

    world.after(fault.length, undo, None)
    return True


def _annotate(world: Scene, name: str, value: object) -> bool:
    """Write an annotation on the Lease, as kubectl does."""
    world.network.store.annotate(world.time, name, str(value))
    world.network.tell_watches()
    return True


def wish(world: Scene, fault: Fault) -> bool:
    """Ask whoever holds the Lease to step down, by an annotation: no fault at all."""
    held = _held(world)
    return held is not None and _annotate(world, STEP_DOWN, held.key[3])


def old_wish(world: Scene, fault: Fault) -> bool:
    """Ask a term to step down that is over, as a person does who is too late."""
    held = _held(world)
    if held is None:
        return False
    history = world.network.store.history
    older = [c.stored.key[3] for c in history if c.stored.held]
    term = next(
        (t for t in reversed(older) if t != held.key[3]), "2025-01-01T00:00:00Z"
    )
    return _annotate(world, STEP_DOWN, term)


def transfer(world: Scene, fault: Fault, node: Node) -> bool:
    """Ask whoever holds the Lease to step down, so that this node goes first."""
    process = newest(node)
    return process is not None and ask_to_hand_over(world, process.identity)


def ask_to_hand_over(world: Scene, successor: str) -> bool:
    """Ask whoever holds the Lease to step down, so that another goes first."""
    held = _held(world)
    return (
        held is not None
        and _annotate(world, SUCCESSOR, successor)
        and _annotate(world, STEP_DOWN, held.key[3])
    )


def forged_note(world: Scene, fault: Fault) -> bool:
    """Write another token on the Lease, where the holder notes its own for people."""
    return _held(world) is not None and _annotate(
        world, TOKEN, "7 2025-01-01T00:00:00.000000Z"
    )


def undone_delete(world: Scene, fault: Fault) -> bool:
    """Delete the Lease, and restore it if nobody made another one ``length`` later."""
    before = world.time - 1e-6
    if not delete(world, fault):
        return False
    version = world.network.store.version

    def undo(_: None) -> None:
        if world.network.store.version == version:
            go_back(world, before)

    world.after(fault.length, undo, None)
    return True


def undone_watch(world: Scene, fault: Fault, node: Node) -> bool:
    """
    Restore a backup while a watch is opened from a version that it undoes.

    The watch of a node ends in good order after it brought a label, which is undone with
    a hundred versions of other objects: on the next one the server sends nothing until
    it has counted so far again. "missing": the backup is from before the Lease was made.
    """
    network, link = world.network, node.link
    store = network.store
    watches = any(watch.sink.link is link for watch in network.watches)
    if store.current is None or not watches:
        return False
    before = world.time - 1e-6
    store.version += 100
    label(world, fault)
    version = store.version

    def undo(_: None) -> None:
        if store.version != version:
            return  # something came after it, of which nobody has heard yet
        network.end_watches(link, None)
        if fault.detail == "missing":
            store.lose()
            lease_went_back(world)
        else:
            go_back(world, before)

    world.after(2.0 * (link.delay + link.jitter) + link.watch_lag, undo, None)
    return True


# Edits -----------------------------------------------------------------------


def undone_edit(world: Scene, fault: Fault) -> bool:
    """Return the Lease to somebody by hand, and restore what was before ``length`` later."""
    if _held(world) is None:
        return False
    change_spec(world, {"holderIdentity": "somebody", "leaseTransitions": 7})
    before = world.time - 1e-6
    world.after(fault.length, lambda _: go_back(world, before), None)
    return True


EDITS: Final[dict[str, dict[str, object]]] = {
    "garbage holder": {"holderIdentity": "\x1b[31m\n{}'; drop"},
    "cleared": {"holderIdentity": ""},
    "nothing": {
        "holderIdentity": None,
        "acquireTime": None,
        "renewTime": None,
        "leaseDurationSeconds": None,
        "leaseTransitions": None,
    },
    "short": {"leaseDurationSeconds": 1},
    "long": {"leaseDurationSeconds": 2**31 - 1},
    "no times": {"acquireTime": None, "renewTime": None},
    "many transitions": {"leaseTransitions": 2**31 - 1},
}
MORE_EDITS: Final[dict[str, dict[str, object]]] = {
    **EDITS,
    "other holder": {"holderIdentity": "somebody"},
    "acquire time": {"acquireTime": "2025-01-01T00:00:00.000000Z"},
    "renew time": {"renewTime": "2025-01-01T00:00:00.000000Z"},
    "no duration": {"leaseDurationSeconds": None},
    "field of others": {"strategy": "OldestEmulationVersion"},
}
"""Those of worlds with many hands in them."""


def edit(world: Scene, fault: Fault) -> bool:
    """Edit the Lease by hand, in one of the ways of ``EDITS``."""
    return change_spec(world, MORE_EDITS[fault.detail])


def change_spec(world: Scene, changes: dict[str, object]) -> bool:
    """Write into the spec by hand; tell whether there is a Lease."""
    if not world.network.store.edit(world.time, changes):
        return False
    world.checks.excuse(world.time)
    changed(world)
    return True


# Attacks ---------------------------------------------------------------------


def unheard_edit(world: Scene, fault: Fault) -> bool:
    """
    Give the Lease to somebody by hand, unheard by who leads, and delete it soon after.

    It hears of the deletion of what it did not write, and does not know who has led.
    """
    leader = world.leader()
    if leader is None:
        return False
    for watch in world.network.watches:
        if watch.sink.link is leader.link:
            watch.drop += 1
    change_spec(world, {"holderIdentity": "somebody", **MORE_EDITS["acquire time"]})
    world.after(fault.length, lambda _: delete(world, fault), None)
    return True


def late_create(world: Scene, fault: Fault) -> bool:
    """
    Hold the next write that creates the Lease; let it land after another one led.

    After ``length`` the Lease is deleted, which its holder does not hear of for a
    while, and the write lands.
    """
    network = world.network
    if network.store.current is not None or network.holds_create:
        return False
    network.holds_create = True
    world.after(fault.length, _land_late, world)
    return True


def overtaken_read(world: Scene, fault: Fault) -> bool:
    """
    Delete the Lease; who creates it anew reads that there is none when it is there.

    A gateway answers the creating write before it passes it on. The read that looks for
    it finds nothing, and its answer comes after the watch showed the write.
    """
    network = world.network
    if network.overtakes:
        return False
    network.overtakes = True
    delete(world, fault)
    return True


def _land_late(world: Scene) -> None:
    network, leader = world.network, world.leader()
    if network.held is None or leader is None or network.store.current is None:
        network.let_held_land()
        return
    for watch in network.watches:
        if watch.sink.link is leader.link:
            watch.drop += 3
    delete(world, Fault(at=world.time, kind="delete"))
    # It may be the leader's own, which is right to lose what was deleted.
    network.held.sender.witness.loss_excused = True
    network.let_held_land()


def roll_back(world: Scene, fault: Fault) -> bool:
    """
    Restore a former holder's record, at higher versions, and touch a label.

    "after an edit": a hand makes somebody else the holder first, for ``length``.
    """
    network = world.network
    if fault.detail == "after an edit":
        plain = replace(fault, detail="")
        world.after(fault.length, lambda _: roll_back(world, plain), None)
        return change_spec(world, EDITS["garbage holder"])
    store = network.store
    if not store.roll_back():
        return False
    assert store.current is not None
    world.checks.restored(world.time, store.current.version)
    network.end_watches(None, DISCONNECTED)
    return label(world, fault)


def cap(world: Scene, fault: Fault) -> bool:
    """Let a policy cut each duration that is written to ``amount`` seconds."""
    world.network.store.cap = int(fault.amount)
    # What was cut, and not answered, its writer cannot know.
    world.checks.excuse(world.time + fault.length)
    world.after(fault.length, _uncap, world)
    return True


def _uncap(world: Scene) -> None:
    world.network.store.cap = None


def tug(world: Scene, fault: Fault) -> bool:
    """Let a controller edit the duration to ``amount`` seconds after each write."""
    network, seconds = world.network, int(fault.amount)

    def meddle(_: None = None) -> bool:
        current = network.store.current
        if current is None or (current.duration or 0) <= seconds:
            return False
        return shorten(world, fault)

    if network.meddler is not None:
        return False
    network.meddler = meddle
    world.after(fault.length, _leave_alone, world)
    return meddle()


def _leave_alone(world: Scene) -> None:
    world.network.meddler = None


def shorten(world: Scene, fault: Fault) -> bool:
    """Edit the duration to ``amount`` seconds by hand."""
    return _held(world) is not None and change_spec(
        world, {"leaseDurationSeconds": int(fault.amount)}
    )
