"""How often a thread of this process has waited, as the kernel of Linux counts it."""

from __future__ import annotations

import time
from pathlib import Path

from tests.lifecycle.driven import until


def waits(thread):
    """Return how often a thread has begun to wait: each time that it was woken."""
    return int(_status(thread)["voluntary_ctxt_switches"])


def _status(thread):
    """Return what the kernel says of a thread of this process."""
    status = Path(f"/proc/self/task/{thread}/status").read_text(encoding="ascii")
    return dict(line.split(":\t") for line in status.splitlines())


def settled(thread):
    """Wait until a thread waits for good; return how often it has begun to."""
    counted = [None]

    def is_still():
        counted.append(_sleep_of(thread))
        time.sleep(0.2)  # nothing tells of a thread that is not woken
        return counted[-1] is not None and (
            counted[-1] == _sleep_of(thread) == counted[-2]
        )

    until(is_still)
    return counted[-1]


def _sleep_of(thread):
    """Return which of its sleeps a thread is in; None: it has not come to one, or runs."""
    fields = _status(thread)
    sleeps = fields["State"].startswith("S")
    return int(fields["voluntary_ctxt_switches"]) if sleeps else None
