"""
Pods in a world: what the kubelet of each machine reports of the container on it.

A report comes late, or never, and may be false; it says nothing of which process a
candidate should believe to have ended. A candidate judges it as it does in a cluster, by
:func:`~kubernetes_leader_election.pods.proof.judge_pod`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Final
from zlib import crc32

from kubernetes_leader_election.testing.simulation.stage import Stage

SOONEST: Final = 0.07
"""Seconds until a kubelet has reported the end of a container, at least."""
LATEST: Final = 0.92
"""The same at most, where nothing is wrong: it looks at its containers each second."""
CONTAINER: Final = "app"
KILLED: Final = 137
LOST_SHIM: Final = 255
"""What a kubelet says of a container whose shim was killed: it may run on."""

Follower = Callable[[str, Mapping[str, Any]], None]
Status = dict[str, Any]


class Kubelet:
    """The one pod on a machine, and what is reported of it."""

    def __init__(self, world: Stage, name: str, seed: str) -> None:
        self.world = world
        self.name = f"pod-{name.lower()}"
        # Drawn apart: a world without pods stays what it is.
        self._draw = random.Random(f"kubelet {seed}")
        self._pods = 0
        """How many pods had this name."""
        self._instances = 0
        """How many instances of the container there were."""
        self._running: dict[str, None] = {}
        """Nonces of the processes that run in the present instance."""
        self._message: list[str] = []
        """What stands in the termination file of the present instance."""
        self._state: Status | None = None
        """Of the present instance, as the kubelet knows it; None: there is none."""
        self._last: Status | None = None
        """Of the one before."""
        self._reported_at = 0.0
        """When the newest report will have reached the API: they come in order."""
        self.lost = False
        """The machine is gone, and nobody reports."""
        self.pod: Mapping[str, Any] | None = None
        """The pod as the API shows it; None: there is none."""
        self.followers: dict[int, Follower] = {}
        """Who watches it, by a number of its own."""

    @property
    def uid(self) -> str:
        """Return the uid of the present pod."""
        return f"{crc32(self.name.encode()):08x}-0000-4000-8000-{self._pods:012x}"

    def proves_end_of(self, nonce: str) -> bool:
        """Return whether the end of a process would be reported truly, if it ended now."""
        alone = list(self._running) == [nonce] and nonce in self._message
        return alone and not self.lost and self.pod is not None

    # What happens -------------------------------------------------------------

    def process_started(self, nonce: str) -> None:
        """Take it that a process began, and left its nonce."""
        if self.pod is None:
            self._pods += 1
            self._last = None
        self.lost = False
        if not self._running:
            self._instances += 1
            self._message = []
            self._state = {"running": {"startedAt": "2025-01-01T00:00:00Z"}}
            if self.pod is None:
                self.pod = self._made()
            self._report(self._made())
        self._running[nonce] = None
        self._message.append(nonce)

    def process_ended(self, nonce: str) -> None:
        """Take it that a process has died; with the last one its container ends."""
        if nonce not in self._running:
            return  # of an instance that the kubelet takes for over
        del self._running[nonce]
        if not self._running:
            self._ends(KILLED)

    def lose_message(self) -> None:
        """Take it that somebody emptied the termination file."""
        self._message = []

    def force_delete(self) -> None:
        """Take the pod out of the API, whatever runs: it was running, says the event."""
        gone, self.pod = self.pod, None
        self._running, self._state, self._last = {}, None, None
        if gone is not None:
            metadata = {**gone["metadata"], "deletionTimestamp": "2025-01-01T00:00:00Z"}
            self._tell("DELETED", {**gone, "metadata": metadata})

    def unheard(self) -> None:
        """Take it that nobody hears of the machine: the control plane says what it must."""
        self.lost = True
        if self.pod is not None:
            told = {
                "phase": "Failed",
                "reason": "NodeLost",
                "conditions": [{"type": "Ready", "status": "False"}],
            }
            self.pod = {**self.pod, "status": {**self.pod["status"], **told}}
            self._tell("MODIFIED", self.pod)

    def heard_again(self) -> None:
        """Take it that the machine is there again, and its kubelet reports what is so."""
        self.lost = False
        if self.pod is not None:
            self._report(self._made())

    def lie(self, code: int) -> None:
        """Report the end of a container that runs on; another instance may follow."""
        if self._running:
            self._running = {}
            self._ends(code)

    def _ends(self, code: int) -> None:
        ended = {
            "exitCode": code,
            "reason": "Error",
            "startedAt": "2025-01-01T00:00:00Z",
            "message": "".join(f"{nonce}\n" for nonce in self._message),
            "containerID": self._container(),
        }
        self._state = self._last = {"terminated": ended}
        self._report(self._made())

    # What is reported ---------------------------------------------------------

    def _container(self) -> str:
        return f"containerd://{self._pods}-{self._instances}"

    def _made(self) -> Mapping[str, Any]:
        status = {
            "name": CONTAINER,
            "containerID": self._container(),
            "state": self._state or {},
            "lastState": (self._last or {}) if self._last is not self._state else {},
        }
        return {
            "metadata": {
                "namespace": "default",
                "name": self.name,
                "uid": self.uid,
            },
            "spec": {"containers": [{"name": CONTAINER}]},
            "status": {"containerStatuses": [status]},
        }

    def _report(self, pod: Mapping[str, Any]) -> None:
        delay = self._draw.uniform(SOONEST, LATEST)
        self._reported_at = max(self._reported_at, self.world.time + delay)
        self.world.at(self._reported_at, self._reported, pod)

    def _reported(self, pod: Mapping[str, Any]) -> None:
        shown = self.pod
        if self.lost or shown is None:
            return
        if shown["metadata"]["uid"] == pod["metadata"]["uid"]:
            self.pod = pod
            self._tell("MODIFIED", pod)

    def _tell(self, kind: str, pod: Mapping[str, Any]) -> None:
        for follow in list(self.followers.values()):
            follow(kind, pod)
