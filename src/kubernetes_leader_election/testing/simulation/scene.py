"""The machines of a world, on its network, and who of them leads."""

from __future__ import annotations

import random
from typing import Unpack

from kubernetes_leader_election.testing.simulation.network import NetworkedStage
from kubernetes_leader_election.testing.simulation.node import Node
from kubernetes_leader_election.testing.simulation.plan import Plan
from kubernetes_leader_election.testing.simulation.process import Process
from kubernetes_leader_election.testing.simulation.stage import Options


class Scene(NetworkedStage):
    """A stage with a network, and the machines on it."""

    def __init__(self, plan: Plan, **options: Unpack[Options]) -> None:
        super().__init__(plan, **options)
        # One generator a node, seeded by its name: leaving a node out of the plan
        # leaves the others as they are.
        self.nodes = {
            node.name: Node(
                self, node, random.Random(f"{plan.seed} {node.name}").getrandbits(64)
            )
            for node in plan.nodes
        }

    def node(self, target: str) -> Node | None:
        """Find a node by name, or the one that leads for "leader"."""
        if target != "leader":
            return self.nodes.get(target)
        leader = self.leader()
        return self.nodes[leader.node.name] if leader is not None else None

    def leader(self) -> Process | None:
        """Return the process of ours that believes; None where none does."""
        for witness in self.checks.believers:
            if witness.ours:
                for node in self.nodes.values():
                    for process in node.living:
                        if process.witness is witness:
                            return process
        return None

    def processes(self) -> list[Process]:
        """Return all living processes of ours."""
        return [process for node in self.nodes.values() for process in node.living]
