"""
What can go wrong with the pods of processes, and with what is reported of them.

They need worlds with pods in them; elsewhere they find nothing to break.
"""

from __future__ import annotations

from dataclasses import replace

from kubernetes_leader_election.testing.simulation.kubelets import KILLED, LOST_SHIM
from kubernetes_leader_election.testing.simulation.network import DISCONNECTED
from kubernetes_leader_election.testing.simulation.network_faults import cut
from kubernetes_leader_election.testing.simulation.node import Node
from kubernetes_leader_election.testing.simulation.plan import Fault
from kubernetes_leader_election.testing.simulation.process_faults import crash
from kubernetes_leader_election.testing.simulation.scene import Scene


def container_killed(world: Scene, fault: Fault, node: Node) -> bool:
    """Kill the container of a node; the kubelet reports it, and starts it again soon."""
    return node.kubelet is not None and crash(world, fault, node)


def node_lost(world: Scene, fault: Fault, node: Node) -> bool:
    """Lose a machine with all that runs on it: nothing is reported."""
    if node.kubelet is None or not node.living:
        return False
    node.kubelet.lost = True
    return crash(world, fault, node)


def node_unreachable(world: Scene, fault: Fault, node: Node) -> bool:
    """
    Cut a machine off for ``length`` seconds; its processes live on.

    ``amount`` seconds later its pod counts as failed, and not ready.
    """
    kubelet = node.kubelet
    if kubelet is None or not node.living:
        return False
    cut(world, replace(fault, amount=0.0, detail="both"), node)
    world.after(fault.amount, lambda _: kubelet.unheard(), None)
    world.after(fault.length, lambda _: kubelet.heard_again(), None)
    return True


def force_deleted(world: Scene, fault: Fault, node: Node) -> bool:
    """Delete a pod by force; its processes live on for ``amount`` seconds."""
    kubelet, living = node.kubelet, node.living
    if kubelet is None or not living:
        return False
    kubelet.force_delete()

    def end(_: None) -> None:
        for process in living:
            process.die()
        world.after(fault.length, restart, None)

    def restart(_: None) -> None:
        if not node.living:
            node.start_process(same_identity=False)

    world.after(fault.amount, end, None)
    return True


def message_lost(world: Scene, fault: Fault, node: Node) -> bool:
    """Empty the termination file; "seen": who left the note finds that out."""
    if node.kubelet is None or not node.living:
        return False
    node.kubelet.lose_message()
    if fault.detail == "seen":
        for process in node.living:
            process.do(process.leave_note, None)
    return True


def shim_killed(world: Scene, fault: Fault, node: Node) -> bool:
    """Report the end of a container that runs on, as no process can have ended."""
    return _lie(world, fault, node, LOST_SHIM)


def false_report(world: Scene, fault: Fault, node: Node) -> bool:
    """Report the end of a container that runs on, as if it had been killed."""
    return _lie(world, fault, node, KILLED)


def pod_watch_end(world: Scene, fault: Fault, node: Node) -> bool:
    """End what a node watches of a holder's pod: "clean", or "broken"."""
    answer = DISCONNECTED if fault.detail == "broken" else None
    ended = [process.end_pod_watch(answer) for process in node.living]
    return any(ended)


def _lie(world: Scene, fault: Fault, node: Node, code: int) -> bool:
    if node.kubelet is None or len(node.living) != 1:
        return False
    node.kubelet.lie(code)
    if fault.detail == "again":
        # The kubelet starts what it takes for ended: both run, and see one pod.
        world.after(fault.length, _start_again, node)
    return True


def _start_again(node: Node) -> None:
    if len(node.living) == 1:
        node.start_process(same_identity=False)
