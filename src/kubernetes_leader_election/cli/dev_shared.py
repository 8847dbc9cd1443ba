"""What ``dev`` and ``dev fault`` both know: faults, orders, and where the kubeconfig is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from kubernetes_leader_election.errors import ConfigurationError


def default_kubeconfig() -> Path:
    """
    Return the file that ``dev`` writes and ``dev fault`` reads.

    Raises:
        ConfigurationError: this user has no home, and no variable names a folder.

    """
    try:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        raise ConfigurationError(
            "There is no folder for the kubeconfig of `dev`: HOME is not set, and the "
            f"user (uid {os.getuid()}) has no home directory. Set HOME or "
            "XDG_CACHE_HOME, or name the file: --write-kubeconfig for `dev`, "
            "--kubeconfig for `dev fault`."
        ) from None
    return Path(cache) / "kubernetes-leader-election" / "dev-kubeconfig"


FAULTS: Final = {
    "delay seconds=N": "wait N seconds, then carry it out and answer",
    "answer status=N": "answer with this status; also reason=, message=,\n"
    f"{'':32}retry_after=, body=",
    "throttle": "answer 429; also retry_after=",
    "hang seconds=N": "wait N seconds, then drop the connection; nothing is done",
    "drop-before": "drop the connection before the request is carried out",
    "apply-then-drop": "carry it out and drop the connection",
    "apply-then-hang seconds=N": "carry it out, wait N seconds, then drop the connection",
    "apply-late seconds=N": "drop the connection, carry it out N seconds later",
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
