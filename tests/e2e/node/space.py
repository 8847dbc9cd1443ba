"""A namespace of a node with its pods, and what their programs wrote down."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import itemgetter
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

__all__ = ["Life", "Space", "numbers_of"]

_NUMBERS = itertools.count()

LOOK_EVERY = 0.1
"""Seconds between two looks for new logs. The kubelet keeps that of a container's last
life, and all of a pod until it is deleted: none comes and goes unseen."""

FRESH = 1.0
"""Seconds: who worked so lately works."""

_LINE = re.compile(r"^\S+ (?:stdout|stderr) [FP] (.*)$", re.MULTILINE)
_BELIEF = re.compile(r"^(\d+\.\d{6}) (\S+) (.+)$")


def numbers_of(pid: int) -> list[int]:
    """Return the numbers that a process has: here, on the node, in its container."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    found = re.search(r"^NSpid:\s+(.+)$", status, re.MULTILINE)
    assert found is not None, status
    return [int(number) for number in found[1].split()]


@dataclass(slots=True, kw_only=True)
class Life:
    """One life of a container, as its log tells it."""

    path: Path
    said: list[str] = field(default_factory=list)
    """What it wrote that tells of no belief, line by line."""
    log: ReadLog = field(default_factory=ReadLog)
    _offset: int = 0

    @property
    def pod(self) -> str:
        """Return the name of its pod."""
        return self.path.name.split("_")[0]

    @property
    def container(self) -> str:
        """Return the name of the container."""
        return self.path.name.split("_")[1]

    @property
    def number(self) -> int:
        """Return which life it is: 0, and one more at each restart."""
        return int(self.path.name.split("_")[2])

    @property
    def name(self) -> str:
        """Return what tells it from all others, those of a pod made anew as well."""
        uid = self.path.name.split("_")[3]
        return f"{self.pod}/{self.container}/{self.number} of {uid}"

    @property
    def works(self) -> bool:
        """Say whether it worked a moment ago."""
        lines = [x for x in self.log.lines[-3:] if x.what in {"work", "stopped"}]
        return (
            bool(lines)
            and lines[-1].detail == "yes"
            and time.monotonic() - lines[-1].instant < FRESH
        )

    def read(self) -> None:
        """Take in what has been written since the last time."""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            # A line is written at once, but may be read before its end.
            whole = file.read().rpartition(b"\n")
        self._offset += len(whole[0]) + len(whole[1])
        for text in _LINE.findall(whole[0].decode("utf-8", errors="replace")):
            if found := _BELIEF.match(text):
                self.log.lines.append(Line(float(found[1]), found[2], found[3]))
            elif text.startswith('{"event":'):
                self.log.lines += _of_others(json.loads(text))
            else:
                self.said.append(text)

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
        name: of one that is there, and stays, instead of a new one.

    """

    def __init__(
        self, node: Node, *, level: str = "restricted", name: str | None = None
    ) -> None:
        self.node = node
        self.name = name or f"t{os.getpid()}-{next(_NUMBERS)}"
        self._is_own = name is None
        self._kept = node.folder / "kept" / self.name
        self._kept.mkdir(parents=True)
        self._lives: dict[Path, Life] = {}
        self._ended = threading.Event()
        self._lock = threading.Lock()
        label = f"pod-security.kubernetes.io/enforce={level}"
        if self._is_own:
            node.must("create", "namespace", self.name)
        node.must("label", "--overwrite", "namespace", self.name, label)
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
        with self._lock:
            for path in sorted(self._kept.iterdir()):
                self._lives.setdefault(path, Life(path=path)).read()
            return list(self._lives.values())

    def leader(self, *, after: float = 0.0) -> Life | None:
        """Return who works in a run that began after an instant, and goes on."""
        for life in self.lives():
            if life.works and life.runs[-1][0] > after:
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
        pod: str | None = None,
        after: float = 0.0,
        within: float = PATIENCE,
    ) -> Line:
        """
        Wait until a container notes something after an instant; give the line.

        Args:
            what: it notes.
            pod: whose container; any unless given.
            after: the instant, CLOCK_MONOTONIC.
            within: seconds.

        Raises:
            TimeoutError: nobody notes it.

        """
        found: list[Line] = []

        def noted() -> bool:
            found[:] = [
                line
                for life in self.lives()
                if pod in {None, life.pod}
                for line in life.noted(what)
                if line.instant > after
            ]
            return bool(found)

        self.node.wait(noted, f"{what} is noted in {self.name}", within=within)
        return found[0]

    def runs(self) -> list[tuple[float, float, str]]:
        """Return all runs of work in order: first and last instant, and whose."""
        return sorted(
            (first, last, life.name)
            for life in self.lives()
            for first, last in life.runs
        )

    def overlaps(self, *, container: str | None = None) -> int:
        """
        Count the instants of work that lie within the work of another container.

        Args:
            container: the name of those that count; all unless given.

        Raises:
            AssertionError: nobody ever worked, so nothing could overlap.

        """
        lives = self.lives()
        logs = {x.name: x.log for x in lives if container in {None, x.container}}
        overlaps, instants = count_overlaps(logs, "work")
        assert instants, f"nobody worked in {self.name}"
        return overlaps

    def gap(self, after: float) -> float:
        """Return how long nobody worked before the first run after an instant."""
        runs = self.runs()
        first = min(run[0] for run in runs if run[0] > after)
        return first - max(run[1] for run in runs if run[0] < first)

    def processes(self, life: Life) -> dict[int, str]:
        """
        Return the processes of a container, as numbered outside, with their names.

        The first one of the container comes first: outside, its number may be the
        largest of them, as numbers begin anew after the largest that there is.
        """
        container = self.container_id(life.pod, life.container)
        found: dict[int, tuple[int, str]] = {}
        groups = self.node.groups(container)
        assert groups, f"{life.name} runs"
        members = groups[min(groups)] / "cgroup.procs"
        for pid in map(int, members.read_text(encoding="ascii").split()):
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                inside = numbers_of(pid)[-1]
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended meanwhile
            found[pid] = inside, b" ".join(words).decode(errors="replace")
        return {
            pid: words for pid, (_, words) in sorted(found.items(), key=itemgetter(1))
        }

    def signal(
        self, life: Life, number: signal.Signals, *, named: str | None = None
    ) -> None:
        """
        Send a signal to a process of a container, from outside.

        Args:
            life: the container.
            number: the signal.
            named: in the command line of the process; its first one unless given.

        """
        known = self.processes(life)
        chosen = [p for p, words in known.items() if named is None or named in words]
        os.kill(chosen[0], number)

    def status(self, pod: str, container: str) -> dict[str, Any]:
        """Return what the kubelet says of a container."""
        found = self.node.get(self.path("pods", pod))
        assert found is not None, f"there is no pod {pod}"
        known = [
            *found["status"].get("containerStatuses", []),
            *found["status"].get("initContainerStatuses", []),
        ]
        (one,) = (x for x in known if x["name"] == container)
        return dict(one)

    def ended(self, life: Life) -> dict[str, Any]:
        """Wait until the kubelet has started a container anew; give how its life ended."""
        self.node.wait(
            lambda: self.status(life.pod, life.container)["restartCount"] > life.number,
            f"{life.name} is started anew",
        )
        last = self.status(life.pod, life.container)["lastState"]["terminated"]
        return dict(last)

    def container_id(self, pod: str, container: str) -> str:
        """Return containerd's name of a container that runs."""
        return str(self.status(pod, container)["containerID"]).removeprefix(
            "containerd://"
        )

    def close(self) -> None:
        """Delete all, without waiting for programs that do not want to end."""
        self._ended.set()
        self._keeper.join()
        self.kubectl("delete", "deployments,statefulsets,jobs,cronjobs", "--all")
        pods = ("delete", "pods", "--all", "--grace-period=0", "--force")
        self.node.kubectl(f"--namespace={self.name}", *pods)
        if self._is_own:
            self.node.must("delete", "namespace", self.name, "--wait=false")

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _keep_logs(self) -> None:
        while not self._ended.wait(LOOK_EVERY):
            self._keep()

    def _keep(self) -> None:
        """Give each log a second name, under which it outlives its pod."""
        with self._lock:
            for folder in (self.node.folder / "pods").iterdir():
                if folder.name.startswith(f"{self.name}_"):
                    try:
                        self._keep_pod(folder)
                    except FileNotFoundError:
                        continue  # it was deleted at this very moment

    def _keep_pod(self, folder: Path) -> None:
        _, pod, uid = folder.name.split("_")
        for container in folder.iterdir():
            for log in container.iterdir():
                kept = self._kept / f"{pod}_{container.name}_{log.stem}_{uid}"
                if log.suffix == ".log" and not kept.exists():
                    kept.hardlink_to(log)


def _of_others(told: Mapping[str, Any]) -> list[Line]:
    """Return what a line of a program with another library says."""
    said = {"work": "yes", "stopped-working": "no"}.get(told["event"])
    return [] if said is None else [Line(told["monotonic"] / 1e9, "work", said)]


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
