"""The Deployments of the tests: what `kle manifests` prints, with a change or two."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import yaml

from node.images import BILLING
from node.space import Life, Space

__all__ = [
    "FORMS",
    "WORKER",
    "apply",
    "deploy",
    "manifests",
    "pair",
    "pod_of",
    "printed",
]

WORKER = ("python", "-m", "billing", "--command")
"""The program in the form that `kle run` starts."""

FORMS = pytest.mark.parametrize(
    "words", [(), ("--", *WORKER)], ids=["library", "under run"]
)
"""Words for the command line of `kle manifests`, for both ways to use this package."""


def printed(*words: str) -> str:
    """Return what `kle manifests` prints."""
    kle = [sys.executable, "-m", "kubernetes_leader_election", "manifests", *words]
    return subprocess.run(kle, check=True, capture_output=True, text=True).stdout


def manifests(space: Space, *words: str) -> list[dict[str, Any]]:
    """Return what the command prints for the program of the tests, as objects."""
    # Also in the form that uses the library it answers the probes.
    where = ("-n", space.name, f"--image={BILLING}", "--port=8080")
    text = printed("billing", *where, *words)
    return [dict(one) for one in yaml.safe_load_all(text)]


def apply(space: Space, documents: Sequence[Mapping[str, Any]]) -> None:
    """Apply some objects at once."""
    items = {"apiVersion": "v1", "kind": "List", "items": documents}
    space.apply(json.dumps(items))


def pod_of(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the pod's spec of a Deployment among some documents."""
    (found,) = (one for one in documents if one["kind"] == "Deployment")
    return dict(found["spec"]["template"])["spec"]


def deploy(
    space: Space,
    *words: str,
    preset: str | None = None,
    replicas: int = 2,
    change: Callable[[dict[str, Any]], object] = lambda _: None,
) -> None:
    """
    Apply what `kle manifests` prints, changed by a function that gets the pod's spec.

    Args:
        space: where.
        words: more for the command line, as ``--`` and a command.
        preset: of the elector, in the form that uses the library.
        replicas: how many pods.
        change: what else is different.

    """
    documents = manifests(space, *words)
    pod = pod_of(documents)
    container = pod["containers"][0]
    if preset is not None and "--" in words:
        command = container["command"]
        command.insert(command.index("--"), f"--preset={preset}")
    elif preset is not None:
        container["env"].append({"name": "PRESET", "value": preset})
    change(pod)
    for one in documents:
        if one["kind"] == "Deployment":
            one["spec"]["replicas"] = replicas
    apply(space, documents)


def pair(space: Space, *words: str, **options: Any) -> tuple[Life, str]:
    """Deploy two replicas; give who leads, and the name of the other pod."""
    deploy(space, *words, **options)
    pods = space.wait_pods(2)
    leader = space.wait_leader()
    (other,) = pods.keys() - {leader.pod}
    return leader, other
