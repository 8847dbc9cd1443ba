"""Deployments whose leader may crash, and be followed with a proof of its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controlplane.access import lease_path

from node.space import Life, Space
from node.workloads import deploy

__all__ = [
    "IN_FULL",
    "NOTE",
    "TOKEN",
    "annotation",
    "proof",
    "proved",
    "ready",
    "start",
]

NOTE = "kubernetes-leader-election/pod"
TOKEN = "kubernetes-leader-election/fencing-token"

IN_FULL = 10.0
"""Seconds: less is no expiry; the last renewal may be two old, and more on a busy machine."""


def start(
    space: Space,
    words: tuple[str, ...] = ("--crash-takeover",),
    *,
    replicas: int = 2,
    preset: str | None = "client-go",
    change: Callable[[dict[str, Any]], object] = lambda _: None,
) -> Life:
    """Deploy a program with crash take-over, and wait until it may be proved."""

    def changed(pod: dict[str, Any]) -> None:
        # `kle manifests` says it to `kle run`; a program says it itself.
        if "--" not in words:
            pod["containers"][0]["args"] = ["--crash-takeover"]
        change(pod)

    deploy(space, *words, preset=preset, replicas=replicas, change=changed)
    return ready(space, replicas)


def ready(space: Space, replicas: int = 2) -> Life:
    """Wait until all replicas are there, and the leader has left its note; give it."""
    space.wait_pods(replicas)
    leader = space.wait_leader()
    if leader.noted("acquired"):  # else it runs under `kle run`, and notes nothing else
        others = space.pods().keys() - {leader.pod}
        space.node.wait(
            lambda: all(_knows_a_leader(space, pod) for pod in others),
            f"all others know of {leader.name}",
        )
    seen: set[str] = set()

    def noted() -> bool:
        written = annotation(space, NOTE)
        if f" {leader.pod} " in written:
            seen.add(written)  # it names the renewal that it came with
        # Whoever waits has then seen it renewed, whenever it began to look.
        return len(seen) > 2

    space.node.wait(noted, f"{leader.name} has left its note, and renewed")
    return leader


def _knows_a_leader(space: Space, pod: str) -> bool:
    """Say whether the program of a pod has seen the Lease: it is slow to start."""
    lives = [life for life in space.lives() if life.pod == pod]
    newest = max(lives, key=lambda life: life.number, default=None)
    return newest is not None and bool(newest.noted("leader"))


def annotation(space: Space, name: str) -> str:
    """Return an annotation of the Lease; empty where it has none."""
    lease = space.node.get(lease_path(space.name, "billing")) or {}
    return str(lease.get("metadata", {}).get("annotations", {}).get(name, ""))


def proof(space: Space, successor: Life, since: float) -> str:
    """Return how a leader says that the end of the one before was proved."""
    told = [line.detail for line in successor.noted("proof") if line.instant > since]
    # `kle run` says it in its log, which has no such instant: its last word counts.
    terms = [text for text in successor.said if "fencing token" in text]
    told += [text for text in terms[-1:] if "; took over: " in text]
    return told[-1] if told else ""


def proved(space: Space, successor: Life, since: float) -> str:
    """Wait until a leader says so, which may be after its work has begun."""

    def told() -> str:
        space.lives()  # reads what they wrote since
        return proof(space, successor, since)

    space.node.wait(told, f"{successor.name} tells of a proof")
    return proof(space, successor, since)
