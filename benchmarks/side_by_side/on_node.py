"""
Compare the three libraries in pods: what a kubelet does to them, in one run.

Run on a quiet machine, as root, from the folder of the project; twenty rounds take some
half an hour, and it needs what ``make node`` needs::

    make side-by-side NODE=1
    python -m benchmarks.side_by_side.on_node --times 5

It prints a table, and writes JSON, a picture and the page of the documentation.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from benchmarks.side_by_side.contenders import CONTENDERS, RHYTHM
from benchmarks.side_by_side.report import Report, write_all
from controlplane import binaries
from node import images
from node.space import Life, Space
from node.up import RunningNode, lacking

IMAGE = "registry.example/contenders:1.0"
DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = "side-by-side-in-pods"

EATER = """\
import os, sys
group, leader = sys.argv[1:]
with open(group + "/cgroup.procs", "w") as members:
    members.write(str(os.getpid()))
taken = []
while os.path.exists("/proc/" + leader):
    taken.append(b"x" * (1 << 20))
"""
"""Join a container, and take memory until its first process is gone."""

FEW = 5
"""Rounds of what waits for the Lease to run out: it takes the same time in each."""

UNITS = {
    "rollout": "s",
    "pod deleted": "s",
    "container killed": "s",
    "out of memory": "s",
    "instants with two leaders": "",
}
"""Every line of the table, in order."""

IN_PODS = tuple(one for one in CONTENDERS if one.key != "asyncio")
"""One of each library: it is the same election for threads and for asyncio."""

Result = dict[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A Deployment of two replicas of one contender."""

    space: Space
    times: int
    """How often pods are replaced."""

    def leader(self, *, after: float = 0.0) -> Life:
        """Wait until somebody works, and both replicas are there."""
        self.space.wait_pods(2)
        return self.space.wait_leader(after=after, within=120)

    def fresh(self) -> Life:
        """
        Replace both pods, and wait until one leads.

        A container that was killed before is started later each time by the kubelet.
        """
        began = time.monotonic()
        self.space.kubectl("rollout", "restart", "deployment/billing")
        self.space.kubectl("rollout", "status", "deployment/billing")
        return self.leader(after=began)

    def rollout(self) -> list[float]:
        """Replace both pods: how long nobody works on the way, in all."""
        times = []
        for _ in range(self.times):
            self.leader()
            began = time.monotonic()
            self.fresh()
            times.append(self.idle(began))
        return times

    def deleted(self) -> list[float]:
        """Delete the leader's pod."""
        times = []
        for _ in range(self.times):
            leader, began = self.leader(), time.monotonic()
            self.space.kubectl("delete", "pod", leader.pod, "--wait=false")
            self.space.wait_leader(after=began, within=120)
            times.append(self.idle(began))
        return times

    def killed(self) -> list[float]:
        """Kill the first process of the leader's container."""
        times = []
        for _ in range(min(self.times, FEW)):
            leader, began = self.fresh(), time.monotonic()
            self.space.signal(leader, signal.SIGKILL)
            self.space.wait_leader(after=began, within=120)
            times.append(self.idle(began))
        return times

    def out_of_memory(self) -> list[float]:
        """Have the kernel choose the leader, when its container is over its limit."""
        times = []
        for _ in range(min(self.times, FEW)):
            leader = self.fresh()
            group = self.space.node.groups(self.space.container_id(leader.pod, "main"))
            first, *_ = self.space.processes(leader)
            # So it is the one that the kernel chooses, not who takes the memory.
            Path(f"/proc/{first}/oom_score_adj").write_text("1000", encoding="ascii")
            began = time.monotonic()
            place = str(group.get("memory", group[min(group)]))
            eater = [sys.executable, "-c", EATER, place, str(first)]
            while Path(f"/proc/{first}").exists():
                # The kernel may choose it, too: what it freed was not enough yet.
                subprocess.run(eater, check=False, timeout=60)
            self.space.wait_leader(after=began, within=120)
            times.append(self.idle(began))
        return times

    def idle(self, began: float) -> float:
        """Return how long nobody worked between an instant and the present work."""
        runs = [run for run in self.space.runs() if run[1] > began]
        gaps, end = 0.0, runs[0][1] if runs[0][0] < began else began
        for first, last, _ in runs:
            gaps += max(0.0, first - end)
            end = max(end, last)
        return gaps


def commands(namespace: str) -> dict[str, list[str]]:
    """Return the program of each contender, with the same times for all."""
    config = "/etc/contender/config"
    shared = ["--namespace", namespace, "--lease", "billing"]
    go = [x.replace("--", "-") for x in shared]
    return {
        "ours": ["python", "-m", "billing", "--preset", "client-go"],
        "clientgo": [
            *("clientgo-elector", "-kubeconfig", config, *go, "-id", "$(POD_NAME)"),
            *("-work-period", "5ms", "-lease-duration", f"{RHYTHM.duration:g}s"),
            *("-renew-deadline", f"{RHYTHM.deadline:g}s"),
            *("-retry-period", f"{RHYTHM.interval:g}s"),
        ],
        "official": [
            *("python", "/srv/official_worker.py", "--kubeconfig", config, *shared),
            *("--identity", "$(POD_NAME)", "--duration", f"{RHYTHM.duration:g}"),
            *("--deadline", f"{RHYTHM.deadline:g}", "--retry", f"{RHYTHM.interval:g}"),
        ],
    }


def manifests(space: Space, command: list[str]) -> str:
    """Return what a contender needs: rights, a kubeconfig, a Deployment."""
    meta = {"name": "billing", "namespace": space.name}
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    cluster = {
        "server": space.node.server_url,
        "certificate-authority": f"{account}/ca.crt",
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"tokenFile": f"{account}/token"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    rbac = "rbac.authorization.k8s.io"
    rule = {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "verbs": ["get", "list", "watch", "create", "update"],
    }
    subject = {"kind": "ServiceAccount", **meta}
    field = {"fieldRef": {"fieldPath": "metadata.name"}}
    container = {
        "name": "main",
        "image": IMAGE,
        "command": command,
        "env": [{"name": "POD_NAME", "valueFrom": field}],
        "resources": {"limits": {"memory": "160Mi"}},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/contender"}],
        "securityContext": {
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    pod = {
        "serviceAccountName": "billing",
        "terminationGracePeriodSeconds": 30,
        "volumes": [{"name": "config", "configMap": {"name": "billing"}}],
        "containers": [container],
    }
    labels = {"app": "billing"}
    documents: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "ServiceAccount"},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "data": {"config": json.dumps(config)},
        },
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "rules": [rule]},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "subjects": [subject],
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "billing"},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
    ]
    return yaml.safe_dump_all([{**one, "metadata": meta} for one in documents])


def measure(up: RunningNode, key: str, times: int) -> Result:
    """Do everything to one contender, and give the medians."""
    with Space(up.node) as space:
        space.apply(manifests(space, commands(space.name)[key]))
        # Who cannot release is waited for in each round, for as long in each.
        often = min(times, FEW) if key == "official" else times
        stage = Stage(space=space, times=often)
        parts: dict[str, Callable[[], list[float]]] = {
            "rollout": stage.rollout,
            "pod deleted": stage.deleted,
            "container killed": stage.killed,
            "out of memory": stage.out_of_memory,
        }
        result: Result = {}
        for title, part in parts.items():
            found = part()
            result[title] = statistics.median(found)
            shown = ", ".join(f"{one:.3f}" for one in found)
            print(f"{key}: {title}: {shown}", file=sys.stderr, flush=True)
        result["instants with two leaders"] = float(space.overlaps())
        print(f"{key}: {space.overlaps()} overlaps", file=sys.stderr, flush=True)
        return result


def page(report: Report, times: int) -> str:
    """Write the page of the documentation."""
    where = report.where
    return f"""\
# Side by side, in pods

This page is written by `make side-by-side NODE=1`: a real kubelet does the same to Deployments of two replicas, in one run, for this package, for client-go and for the official `kubernetes` package.
All three use client-go's timing: lease duration {RHYTHM.duration:g} s, renew deadline {RHYTHM.deadline:g} s, a renewal every {RHYTHM.interval:g} s.

{report.drawn()}

![The same figures as bars]({PAGE}.svg)

Measured on {where["when"][:10]} on {where["cores"]} cores at a load of {where["load"]}, the three beside each other, with Kubernetes {binaries.kubernetes_version()}, Python {where["python"]}, `kubernetes` {version("kubernetes")}.
How long nobody worked, by the workers' own logs: medians of {times}, and of {min(times, FEW)} where the Lease has to run out (which is always so for the official package, as it cannot release). They were measured on this one machine: compare the columns, not the digits.

- **Rollout**: `kubectl rollout restart`, until a new pod leads; the whole time without a leader on the way.
- **Pod deleted**: the leader's, by `kubectl delete pod`.
- **Container killed**: `kill -9` of its first process.
  The kubelet restarts it within a second under the name of its pod, and client-go and the official package go on with a Lease that bears their own name.
  This package waits for the Lease to run out, as a name proves nothing (rule 5 of the [guarantees](guarantees.md)): the former container may still be at work if it was reported dead too early, and so may another program of the same name.
  With `crash_takeover=True`, which was off here, it takes over in about two seconds [where the crash is proved](after-a-crash.md).
- **Out of memory**: the kernel kills the leader's process when the container is over its limit; the same holds.
- **Instants with two leaders**: of all instants that the logs cover, one every 5 ms.
"""


def main() -> int:
    """Measure, and write everything down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--times", type=int, default=20, help="rounds of each part")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the page goes")
    options = parser.parse_args()
    if missing := lacking():
        print(f"No node: {missing}.", file=sys.stderr)
        return 3
    with RunningNode() as up, tempfile.TemporaryDirectory() as folder:
        elector = binaries.find(["clientgo-elector"])["clientgo-elector"]
        archive = images.build_contenders(Path(folder), elector=elector, name=IMAGE)
        up.node.ctr("images", "import", archive)
        with ThreadPoolExecutor(len(IN_PODS)) as pool:
            keys = [one.key for one in IN_PODS]
            found = pool.map(lambda key: measure(up, key, options.times), keys)
            results = dict(zip(keys, found, strict=True))
    report = Report(results=results, seconds=0, units=UNITS, contenders=IN_PODS)
    print(report.table())
    write_all(report, page(report, options.times), docs=options.docs, name=PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
