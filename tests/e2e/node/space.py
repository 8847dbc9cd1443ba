"""A namespace of a node with its pods, and what their programs wrote down."""

from __future__ import annotations

import itertools
import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from controlplane.access import lease_path

from kubernetes_leader_election.testing.belief_log import (
    Interval,
    Line,
    ReadLog,
    count_overlaps,
)
from node.handle import PATIENCE, Node

__all__ = ["Life", "Space"]

_NUMBERS = itertools.count()

LOOK_EVERY = 0.1
"""Seconds between two looks for new logs. The kubelet keeps that of a container's last
life, and all of a pod until it is deleted: none comes and goes unseen."""

_LINE = re.compile(r"^\S+ (stdout|stderr) [FP] (.*)$", re.MULTILINE)
_BELIEF = re.compile(r"^(\d+\.\d{6}) (\S+) (.+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One life of a container, as its log tells it."""

    pod: str
    container: str
    number: int
    """0, and one more at each restart."""
    text: str
    """Both streams."""
    log: ReadLog

    @property
    def runs(self) -> list[Interval]:
        """Return when it worked."""
        return self.log.runs("work")

    def noted(self, what: str) -> list[Line]:
        """Return the lines that say something."""
        return [line for line in self.log.lines if line.what == what]


class Space:
    """
    A namespace of one test, deleted with the block.

    Args:
        node: where.
        level: the Pod Security level that is enforced.

    """

    def __init__(self, node: Node, *, level: str = "restricted") -> None:
        self.node = node
        self.name = f"t{os.getpid()}-{next(_NUMBERS)}"
        self._kept = node.folder / "kept" / self.name
        self._kept.mkdir(parents=True)
        self._ended = threading.Event()
        self._lock = threading.Lock()
        node.must("create", "namespace", self.name)
        label = f"pod-security.kubernetes.io/enforce={level}"
        node.must("label", "namespace", self.name, label)
        self._keeper = threading.Thread(target=self._keep_logs, daemon=True)
        self._keeper.start()

    def kubectl(self, *words: str, text: str | None = None) -> str:
        """Run kubectl in this namespace, and return its output."""
        return self.node.must(f"--namespace={self.name}", *words, text=text)

    def apply(self, manifests: str) -> None:
        """Apply manifests, with `kubectl apply`."""
        self.kubectl("apply", "-f", "-", text=manifests)

    def path(self, kind: str, name: str = "") -> str:
        """Return the path of an object of the groups that tests use."""
        group = {
            "pods": "/api/v1",
            "serviceaccounts": "/api/v1",
            "deployments": "/apis/apps/v1",
            "statefulsets": "/apis/apps/v1",
            "jobs": "/apis/batch/v1",
            "cronjobs": "/apis/batch/v1",
        }[kind]
        path = f"{group}/namespaces/{self.name}/{kind}"
        return f"{path}/{name}" if name else path

    def pods(self, *, ready: bool | None = None) -> dict[str, Any]:
        """Return the pods that are not being deleted, by name."""
        found = {}
        for pod in self.node.get(self.path("pods"))["items"]:
            if "deletionTimestamp" in pod["metadata"]:
                continue
            if ready is None or _is_ready(pod) is ready:
                found[pod["metadata"]["name"]] = pod
        return found

    def wait_pods(self, count: int, *, within: float = PATIENCE) -> dict[str, Any]:
        """Wait until so many pods are ready and there is no other; give them."""
        self.node.wait(
            lambda: len(self.pods()) == len(self.pods(ready=True)) == count,
            f"{count} pods of {self.name} are ready",
            within=within,
        )
        return self.pods()

    def lease(self, name: str = "billing") -> dict[str, Any]:
        """Return the spec of a Lease; nothing in it where there is none."""
        found = self.node.get(lease_path(self.name, name)) or {}
        return dict(found.get("spec", {}))

    def lives(self) -> list[Life]:
        """Return every life of every container, those that are over too."""
        self._keep()
        return [_read(path) for path in sorted(self._kept.iterdir())]

    def leader(self, *, after: float = 0.0) -> Life | None:
        """Return who works in a run that began after an instant, and goes on."""
        for life in self.lives():
            last = life.log.lines[-1:] and max(life.runs, default=(0.0, 0.0))
            lines = [x for x in life.log.lines if x.what in {"work", "stopped"}]
            goes_on = lines and (lines[-1].what, lines[-1].detail) == ("work", "yes")
            if last and goes_on and last[0] > after and self._runs(life):
                return life
        return None

    def wait_leader(self, *, after: float = 0.0, within: float = PATIENCE) -> Life:
        """Wait until somebody works in a run that began after an instant."""
        found: list[Life] = []

        def works() -> bool:
            found[:] = [x for x in [self.leader(after=after)] if x is not None]
            return bool(found)

        self.node.wait(works, f"somebody leads in {self.name}", within=within)
        return found[0]

    def wait_noted(
        self,
        what: str,
        *,
        where: Callable[[Life], bool] = lambda _: True,
        after: float = 0.0,
        within: float = PATIENCE,
    ) -> Line:
        """Wait until a container notes something after an instant; give the line."""
        found: list[Line] = []

        def noted() -> bool:
            lines = (
                x for life in self.lives() if where(life) for x in life.noted(what)
            )
            found[:] = [x for x in lines if x.instant > after]
            return bool(found)

        self.node.wait(noted, f"{what} is noted in {self.name}", within=within)
        return found[0]

    def runs(self) -> list[tuple[float, float, str]]:
        """Return all runs of work in order: first and last instant, and whose."""
        return sorted(
            (first, last, f"{life.pod}/{life.container}/{life.number}")
            for life in self.lives()
            for first, last in life.runs
        )

    def overlaps(self) -> int:
        """
        Count the instants of work that lie within the work of another container.

        Raises:
            AssertionError: nobody ever worked, so nothing could overlap.

        """
        logs = {
            f"{life.pod}/{life.container}/{life.number}": life.log
            for life in self.lives()
        }
        overlaps, instants = count_overlaps(logs, "work")
        assert instants, f"nobody worked in {self.name}"
        return overlaps

    def gap(self, after: float) -> float:
        """Return how long nobody worked before the first run after an instant."""
        runs = self.runs()
        first = min(run[0] for run in runs if run[0] > after)
        return first - max(run[1] for run in runs if run[0] < first)

    def signal(self, life: Life, number: str) -> None:
        """Send a signal to the first process of a container, as its kernel would."""
        inner = self.node.tasks()[self.container_id(life.pod, life.container)]
        self.node.inside.must("kill", f"-{number}", inner)

    def container_id(self, pod: str, container: str) -> str:
        """Return containerd's name of a container that runs."""
        found = self.node.get(self.path("pods", pod))
        assert found is not None, f"there is no pod {pod}"
        status = found["status"]
        known = [
            *status.get("containerStatuses", []),
            *status.get("initContainerStatuses", []),
        ]
        (one,) = (x for x in known if x["name"] == container)
        return str(one["containerID"]).removeprefix("containerd://")

    def close(self) -> None:
        """Delete all, without waiting for programs that do not want to end."""
        self._ended.set()
        self._keeper.join()
        self.kubectl("delete", "deployments,statefulsets,jobs,cronjobs", "--all")
        pods = ("delete", "pods", "--all", "--grace-period=0", "--force")
        self.node.kubectl(f"--namespace={self.name}", *pods)
        self.node.must("delete", "namespace", self.name, "--wait=false")

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _runs(self, life: Life) -> bool:
        pod = self.node.get(self.path("pods", life.pod)) or {}
        states: list[Mapping[str, Any]] = pod.get("status", {}).get(
            "containerStatuses", []
        )
        return any(
            x["name"] == life.container
            and x["restartCount"] == life.number
            and "running" in x["state"]
            for x in states
        )

    def _keep_logs(self) -> None:
        while not self._ended.wait(LOOK_EVERY):
            self._keep()

    def _keep(self) -> None:
        """Give each log a second name, under which it outlives its pod."""
        with self._lock:
            for log in (self.node.folder / "pods").glob(f"{self.name}_*/*/*.log"):
                pod = log.parts[-3].split("_")[1]
                kept = self._kept / f"{pod}_{log.parts[-2]}_{log.stem}"
                if not kept.exists():
                    try:
                        kept.hardlink_to(log)
                    except FileNotFoundError:
                        continue  # its pod was deleted at this very moment


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _read(path: Path) -> Life:
    pod, container, number = path.name.split("_")
    said = _LINE.findall(path.read_text(encoding="utf-8", errors="replace"))
    log = ReadLog()
    for _, text in said:
        if found := _BELIEF.match(text):
            log.lines.append(Line(float(found[1]), found[2], found[3]))
    return Life(
        pod=pod,
        container=container,
        number=int(number),
        text="\n".join(text for _, text in said),
        log=log,
    )
