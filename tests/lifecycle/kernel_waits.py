"""How often a thread of this process has waited, as the kernel of Linux counts it."""

from __future__ import annotations

import time
from pathlib import Path

from tests.lifecycle.driven import until


def waits(thread):
    """Return how often a thread has begun to wait: each time that it was woken."""
    status = Path(f"/proc/self/task/{thread}/status").read_text(encoding="ascii")
    lines = [x for x in status.splitlines() if x.startswith("voluntary_ctxt_switches")]
    return int(lines[0].split()[1])


def settled(thread):
    """Wait until a thread waits for good; return how often it has begun to."""
    counted = [-1]

    def is_still():
        counted.append(waits(thread))
        time.sleep(0.2)  # nothing tells of a thread that is not woken
        return counted[-1] == waits(thread) == counted[-2]

    until(is_still)
    return counted[-1]
