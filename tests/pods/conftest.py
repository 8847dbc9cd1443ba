"""Pods as a kubelet reports them, and a note of one of their containers."""

from __future__ import annotations

import copy

import pytest

from kubernetes_leader_election.left_note import LeftNote

UID = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
NONCE = "00112233445566778899aabbccddeeff"
NOTE = LeftNote(
    namespace="shop", pod="billing-7d9f", uid=UID, container="billing", nonce=NONCE
)
TERMINATED = {
    "exitCode": 137,
    "reason": "Error",
    "message": f"{NONCE}\n",
    "startedAt": "2026-11-29T10:00:00Z",
    "finishedAt": "2026-11-29T11:00:00Z",
    "containerID": "containerd://aaaa",
}
POD = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {
        "name": "billing-7d9f",
        "namespace": "shop",
        "uid": UID,
        "resourceVersion": "17",
    },
    "spec": {"containers": [{"name": "billing"}, {"name": "proxy"}]},
    "status": {
        "phase": "Running",
        "containerStatuses": [
            {
                "name": "billing",
                "containerID": "containerd://bbbb",
                "state": {"running": {"startedAt": "2026-11-29T11:00:01Z"}},
                "lastState": {"terminated": TERMINATED},
                "restartCount": 1,
            },
            {
                "name": "proxy",
                "containerID": "containerd://cccc",
                "state": {"running": {"startedAt": "2026-11-29T10:00:00Z"}},
                "lastState": {},
                "restartCount": 0,
            },
        ],
    },
}


@pytest.fixture
def pod():
    """Return a pod whose container billing was killed and runs again."""
    return copy.deepcopy(POD)


@pytest.fixture
def ended(pod):
    """Return how that container ended, to be changed."""
    return pod["status"]["containerStatuses"][0]["lastState"]["terminated"]
