"""Health endpoints under gevent, patched at one of three moments, beside a busy loop."""

from __future__ import annotations

import sys
import time

MOMENT = sys.argv[1]


def patch_at(moment: str) -> None:
    """Patch, if this is the moment."""
    if moment == MOMENT:
        from gevent import monkey

        monkey.patch_all()


patch_at("first")

from kubernetes_leader_election import observability, sync  # noqa: E402 - after the patch
from kubernetes_leader_election.credentials import kubeconfig  # noqa: E402 - after the patch

patch_at("imported")

elector = sync.Elector(lease_name="served", credentials=kubeconfig())
with observability.serve(elector, "127.0.0.1:0") as health, elector:
    patch_at("started")
    elector.wait_until_leading(60)
    print(health.url, flush=True)
    print("busy", flush=True)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        pass  # no greenlet has its turn; the test asks meanwhile
    print("done", flush=True)
print("closed", flush=True)
