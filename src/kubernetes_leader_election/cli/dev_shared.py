"""What ``dev`` and ``dev fault`` both know: faults, orders, and where the kubeconfig is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final


def default_kubeconfig() -> Path:
    """Return the file that ``dev`` writes and ``dev fault`` reads."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "kubernetes-leader-election" / "dev-kubeconfig"


FAULTS: Final = {
    "delay seconds=N": "answer later",
    "answer status=N": "answer with this status; also reason=, message=",
    "throttle": "answer 429; also retry_after=",
    "hang seconds=N": "do not answer for so long",
    "drop-before": "drop the connection before the request is carried out",
    "apply-then-drop": "carry it out and drop the connection",
    "apply-then-hang seconds=N": "carry it out and do not answer for so long",
    "apply-late seconds=N": "answer 504 and carry it out later",
    "stale-read versions=N": "show an older state",
    "cut-watch after_events=N": "end a watch in the middle",
    "silence-watch after_events=N": "let a watch go silent",
    "lag-watch seconds=N": "tell of changes later",
}
"""What :func:`..testing.faults.parse_fault` knows, for help that loads nothing."""
ORDERS: Final = {
    "freeze seconds=N": "stand still",
    "freeze-storage": "let the storage hang, as etcd can",
    "thaw-storage": "bring the storage back",
    "compact": "forget the history of watches",
    "drop-connections": "reset every connection",
    "end-watches": "end every watch cleanly",
    "restart down=N": "be gone for N seconds, then listen again",
}
