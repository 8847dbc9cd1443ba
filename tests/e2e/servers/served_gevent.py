"""Health endpoints under gevent, patched at one of three moments, beside a busy loop."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

MOMENT = sys.argv[1]


def patch_at(moment: str) -> None:
    """Patch, if this is the moment."""
    if moment == MOMENT:
        from gevent import monkey

        monkey.patch_all()


patch_at("first")

from kubernetes_leader_election import EVENTS, observability, sync  # noqa: E402 - after the patch
from kubernetes_leader_election.credentials import kubeconfig  # noqa: E402 - after the patch

patch_at("imported")

elector = sync.Elector(lease_name="served", credentials=kubeconfig())
# So that there is a thread for handlers.
elector.on(EVENTS.LEASE_RENEWED, lambda event: None)
with observability.serve(elector, "127.0.0.1:0") as health, elector:
    patch_at("started")
    elector.wait_until_leading(60)
    print(health.url, flush=True)
    print("busy", flush=True)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        pass  # no greenlet has its turn; the test asks meanwhile
    print("done", flush=True)
    # Those that end with this life, as far as they began before a patch: of the others
    # Python knows nothing.
    ending = [
        Path(f"/proc/self/task/{thread.native_id}")
        for thread in threading.enumerate()
        if thread.name.removeprefix("leader-election-") in {"http", "handlers", "watch"}
    ]
print("closed", flush=True)
while any(task.exists() for task in ending):
    time.sleep(0.01)  # until the system has let go of them: nobody tells of that
print(len(ending), "ended", flush=True)
