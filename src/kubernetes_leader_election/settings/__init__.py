"""
Every option of an elector, its checks, and what a choice of times means.

.. code-block:: text

    option                 default                    precedent
    lease_name             python-leader-election     Node package, for this language
    namespace              default                    Node package; None: the pod's own
    identity               elector-{hostname}-{pid}   Node package
    renew_interval_ms      10000                      Node package
    lease_duration_sec     2 x renew interval, the    Node package
                           smallest whole second from
                           there that G2 accepts
    renew_deadline_sec     min(0.75 D, what G2 allows)  clocks may be wrong by 10 %
    stop_budget_sec        5 % of D, at least 0.5     raise it for work slow to stop
    request_timeout_sec    (L - R) / 2, 0.5 to 5      R + 2 T <= L
    grace_sec              20                         with the release it fits into the
                                                      30 s that a pod has to end
    clock_rate_error       0.10                       chrony slews by up to 8.4 %
    wait_for_leadership    False                      Node package
    auto_close             True                       Node package
    observe                False                      -
    require_cluster        False                      leads outside, as the Node package
    hard_fence             False                      -
    crash_takeover         False                      -
    crash_challenge_sec    1                          ten times what a renewal takes
    leader_endpoints       None                       -
    kubernetes_events      False                      client-go, given an EventRecorder
    liveness               None                       off: work that cannot be stopped
                                                      must not lose its Lease
    liveness_timeout_sec   the lease duration         kube-controller-manager: 20 s
    preset                 None                       see ``PRESETS``

The defaults give R = 10 s, D = 20 s, L = 15 s, S = 1 s, T = 2.5 s, which keep both
rules: 15 s / 0.9 + 1 s = 17.667 s <= 20 s / 1.1 = 18.181 s, and 10 s + 2 x 2.5 s =
15 s. They survive an API outage of L - R - T = 2.5 s, no more: ``preset="steady"``
survives 6.5 s.
"""

from __future__ import annotations

from kubernetes_leader_election.settings.options import (
    OPTION_NAMES,
    Options,
    Settings,
    resolve_settings,
    timings,
)
from kubernetes_leader_election.settings.presets import PRESETS
from kubernetes_leader_election.settings.promises import Timings

__all__ = [
    "OPTION_NAMES",
    "PRESETS",
    "Options",
    "Settings",
    "Timings",
    "resolve_settings",
    "timings",
]
