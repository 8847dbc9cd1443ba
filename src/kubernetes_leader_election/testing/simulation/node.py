"""One simulated machine: its clocks, its link, and the processes that live on it."""

from __future__ import annotations

from hashlib import md5

from kubernetes_leader_election.core.messages import PodNote
from kubernetes_leader_election.testing.simulation.drawn_nodes import NAMESPACE
from kubernetes_leader_election.testing.simulation.kubelets import CONTAINER, Kubelet
from kubernetes_leader_election.testing.simulation.machine import Machine
from kubernetes_leader_election.testing.simulation.network import NetworkedStage
from kubernetes_leader_election.testing.simulation.plan import NodePlan
from kubernetes_leader_election.testing.simulation.process import Process
from kubernetes_leader_election.testing.simulation.rivals import Rival
from kubernetes_leader_election.values import replace


class Node(Machine):
    """A machine. Faults change it; processes of ours or one rival live on it."""

    def __init__(self, world: NetworkedStage, plan: NodePlan, seed: int) -> None:
        super().__init__(world, plan, seed)
        self.processes: list[Process] = []
        self.rival: Rival | None = None
        if plan.settings.crash_takeover and plan.kind == "elector":
            self.kubelet = Kubelet(world, plan.name, f"{seed}")
            world.network.pods[self.kubelet.name] = self.kubelet
        self._born = 0

    @property
    def living(self) -> list[Process]:
        """Return the processes of ours that are alive."""
        return [process for process in self.processes if process.alive]

    def start_process(self, *, same_identity: bool = True) -> Process:
        """
        Start one more process; a restart has a new identity, or the old one.

        It runs the version of the program that is next in the plan.
        """
        self._born += 1
        settings = self.plan.settings
        name = self.name if self._born == 1 else f"{self.name}.{self._born}"
        if not same_identity:
            # The first identity of a node is its name; later ones are told apart.
            settings = replace(settings, identity=f"{settings.identity}-{self._born}")
        versions = self.plan.versions
        version = versions[(self._born - 1) % len(versions)]
        process = Process(self.world, self, settings, name, version)
        self.processes = [*self.living, process]
        if self.world.recorder is not None:
            self.world.recorder.born(self.world.time, name, self.plan)
        if self.kubelet is not None:
            process.do(process.leave_note, self._leave_nonce(self.kubelet, process))
        process.do(process.start, None)
        return process

    def _leave_nonce(self, kubelet: Kubelet, process: Process) -> PodNote:
        """Leave the nonce of a process where its kubelet will report it."""
        name = f"{self.world.plan.seed} {process.name}"
        nonce = md5(name.encode(), usedforsecurity=False).hexdigest()
        process.nonce = nonce
        kubelet.process_started(nonce)
        return PodNote(
            namespace=NAMESPACE,
            pod=kubelet.name,
            uid=kubelet.uid,
            container=CONTAINER,
            nonce=nonce,
        )

    # Freezing -----------------------------------------------------------------

    def freeze(self, how: str) -> None:
        """Stop all processes: "stop" (SIGSTOP), "suspend", or "pause" (of a guest)."""
        time = self.world.time
        if how == "suspend":
            self.clocks.suspend(time)
            for process in self.living:
                process.witness.suspended = True
        elif how == "pause":
            self.clocks.pause(time)
        self.frozen = True
        for process in self.living:
            process.froze()

    def thaw(self, *, wall_jump: float = 0.0) -> None:
        """Let everything run again; a paused guest's wall clock jumps now."""
        if not self.frozen:
            return
        time = self.world.time
        self.clocks.run_on(time)
        if wall_jump:
            self.clocks.step_wall(time, wall_jump)
        self.frozen = False
        for process in self.living:
            process.thawed()
        if self.rival is not None:
            self.rival.thawed()

    def clocks_changed(self) -> None:
        """Let all processes compute their timers anew."""
        for process in self.living:
            process.rearm()

    def heal(self) -> None:
        """Put the machine right."""
        self.link.heal()
        self.send_lag = 0.0
        self.refused = None
        self.stops_acquire = False
        self.ambush = None
        self.hangs_until = min(self.hangs_until, self.world.time)
        self.thaw()
