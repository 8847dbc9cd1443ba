"""
What makes a proof worth less than it seems: a Lease that was touched, and a holder that dies.

What stands in a Lease after a restore, a deletion or an edit may be of the past, and
others may lead; whoever leads there next is killed while that is still so. Each fault
needs electors in pods; elsewhere it finds nothing to break.
"""

from __future__ import annotations

from kubernetes_leader_election.testing.simulation.lease_faults import (
    changed,
    delete,
    go_back,
    label,
    lease_went_back,
)
from kubernetes_leader_election.testing.simulation.network import DISCONNECTED
from kubernetes_leader_election.testing.simulation.node import Node
from kubernetes_leader_election.testing.simulation.plan import Fault
from kubernetes_leader_election.testing.simulation.pod_faults import container_killed
from kubernetes_leader_election.testing.simulation.scene import Scene
from kubernetes_leader_election.testing.simulation.store import CHALLENGE, POD, Stored


def free_again(world: Scene, fault: Fault) -> bool:
    """
    Make the Lease free by a way of the past, and kill who leads ``amount`` seconds later.

    "restored": from a backup; "recreated": while nobody watches; "put back": by an old
    manifest; "unseen": a label is undone of which the holder alone never heard;
    "newcomer": it is deleted, and a process without a history creates it at once.
    """
    store = world.network.store
    if store.current is None or not world.network.pods:
        return False
    free = _last_free(world)
    match fault.detail:
        case "restored" if free is not None:
            go_back(world, free[0])
        case "restored":
            store.lose()
            lease_went_back(world)
        case "recreated":
            _recreate(world, store.current)
        case "put back" if free is not None:
            store.put_back(world.time, free[1])
            world.checks.excuse(world.time)
            changed(world)
        case "unseen":
            _undo_unseen(world)
        case "newcomer":
            delete(world, fault)
            _bring_newcomer(world)
        case _:
            return False
    world.after(fault.amount, _kill_leader, (world, fault))
    return True


def _last_free(world: Scene) -> tuple[float, Stored] | None:
    """Return when the Lease was free last, and what stood in it; None: it never was."""
    changes = world.network.store.history
    for change, after in zip(reversed(changes[:-1]), reversed(changes), strict=False):
        # A backup has what is there when an instant is over.
        if change.type != "DELETED" and not change.stored.held:
            if change.time != after.time:
                return change.time, change.stored
    return None


def _recreate(world: Scene, gone: Stored) -> None:
    """Delete the Lease and create it anew as a free one, while nobody watches."""
    store = world.network.store
    world.network.end_watches(None, DISCONNECTED)
    blank = {"holderIdentity": "", "acquireTime": None, "renewTime": None}
    store.edit(world.time, blank)
    store.recreate(world.time)
    store.compact()
    if gone.held:
        world.checks.deleted(world.time, gone.uid, gone.duration)
    world.checks.excuse(world.time)
    changed(world, changes=2)


def _undo_unseen(world: Scene) -> None:
    """Touch a label, of which who leads does not hear, and restore what was before."""
    store, leader = world.network.store, world.leader()
    for watch in world.network.watches:
        if leader is not None and watch.sink.link is leader.link:
            watch.drop += 1
    label(world, Fault(at=world.time, kind="label"))
    before, version = world.time - 1e-6, store.version

    def undo(_: None) -> None:
        if store.version == version:
            go_back(world, before)

    world.after(0.2, undo, None)


def _bring_newcomer(world: Scene) -> None:
    """Start the process of a node that does not lead anew: it has seen nothing."""
    leader = world.leader()
    for node in world.nodes.values():
        if node.kubelet is not None and node.living and leader not in node.living:
            for process in node.living:
                process.die()
            node.start_process(same_identity=False)
            return


def _kill_leader(world_and_fault: tuple[Scene, Fault]) -> None:
    world, fault = world_and_fault
    leader = world.leader()
    if leader is not None and not leader.node.frozen:
        container_killed(world, fault, world.nodes[leader.node.name])


def own_past(world: Scene, fault: Fault, node: Node) -> bool:
    """
    Kill a leader for ``length`` seconds, and restore its record just before it is back.

    Its kubelet proves its end truly, and it is over for long: others have led since.
    """
    if node.kubelet is None or not any(process.work_runs for process in node.living):
        return False
    killed_at = world.time - 1e-6
    for process in node.living:
        process.die()

    def come_back(_: None) -> None:
        if not node.living:
            go_back(world, killed_at)
            node.start_process(same_identity=False)

    world.after(fault.length, come_back, None)
    return True


def old_question(world: Scene, fault: Fault) -> bool:
    """Ask whoever holds the Lease about a record that is over: that is no question."""
    store = world.network.store
    current = store.current
    if current is None or not current.held or not world.network.pods:
        return False
    older = (c.stored.key for c in reversed(store.history) if c.stored.held)
    key = next((key for key in older if key != current.key), None)
    if key is None:
        return False
    store.annotate(world.time, CHALLENGE, f"1 {key[3]} {key[4]} {key[1]}")
    changed(world)
    return True


def question_dropped(world: Scene, fault: Fault) -> bool:
    """Let a policy take each challenge off the Lease for a while (fault 24)."""
    store = world.network.store
    if not world.network.pods or store.takes_away is not None:
        return False
    store.takes_away = CHALLENGE

    def stop(_: None) -> None:
        store.takes_away = None

    world.after(fault.length, stop, None)
    return True


def _noted_by_who_has_ended(world: Scene) -> Stored | None:
    """Return the newest record with a note whose process, and holder, live no more."""
    living = world.processes()
    nonces = {process.nonce for process in living}
    # A note may have been swapped: what a living one wrote it may know again.
    holders = {process.identity for process in living}
    for change in reversed(world.network.store.history):
        past = change.stored
        if past.noted is not None and past.noted[1] not in nonces:
            if past.holder not in holders:
                return past
    return None


def handed_back(world: Scene, fault: Fault) -> bool:
    """
    Give the Lease back by hand to a holder that has ended, with its note.

    The count of transitions stays as it is: nothing in the record says that it is of the
    past.
    """
    store, past = world.network.store, _noted_by_who_has_ended(world)
    current = store.current
    if past is None or current is None or past.key[3] == current.key[3]:
        return False
    store.put_back(world.time, past, leaseTransitions=current.key[5])
    world.checks.excuse(world.time)
    changed(world)
    return True


def note_swapped(world: Scene, fault: Fault) -> bool:
    """
    Let a note on a record be that of a process that has ended, for ``length`` seconds.

    Which is less than anybody waits for an answer.
    """
    store, past = world.network.store, _noted_by_who_has_ended(world)
    current = store.current
    if past is None or current is None or current.noted is None:
        return False
    own, (_, holder, _, acquired, renewed, _) = current.pod, current.key
    fields = " ".join(str(past.pod).split(" ")[:7])
    swapped = f"{fields} {acquired} {renewed} {holder}"
    store.annotate(world.time, POD, swapped)
    changed(world)

    def undo(_: None) -> None:
        if store.current is not None and store.current.pod == swapped:
            store.annotate(world.time, POD, str(own))
            changed(world)

    world.after(fault.length, undo, None)
    return True


def unwatchable(world: Scene, fault: Fault) -> bool:
    """
    Kill who leads, ``amount`` seconds into ``length`` in which watches on pods break.

    Each does so as soon as it has shown the pod. "asked in vain": what is asked is taken
    off the Lease as well, so that the proof is of no use, and there all the time.
    """
    if not world.network.pods:
        return False
    if fault.detail == "asked in vain":
        question_dropped(world, fault)
    for node in world.nodes.values():
        node.link.pods_fail = True
    world.after(fault.amount, _kill_leader, (world, fault))
    world.after(fault.length, _watchable, world)
    return True


def _watchable(world: Scene) -> None:
    for node in world.nodes.values():
        node.link.pods_fail = False
