"""
Every option of an elector, its checks, and what a choice of times means.

======================  ==========================  ==============================================
option                  default                     why
======================  ==========================  ==============================================
lease_name              python-leader-election      as in the Node package, for this language
namespace               default                     as in the Node package; None: the pod's own
identity                elector-{hostname}-{pid}    as in the Node package
renew_interval_ms       10000                       as in the Node package
lease_duration_sec      2 R, or the smallest        as in the Node package
                        whole second above it
                        that works
renew_deadline_sec      0.75 D, or less where       clocks may be wrong by 10 %
                        G2 asks for it
stop_budget_sec         5 % of D, at least 0.5      raise it for work that is slow to stop
request_timeout_sec     (L - R) / 2, 0.5 to 5       R + 2 T <= L: time for a second try
grace_sec               20                          with the release, it fits into the 30 s that
                                                    a pod has to end
clock_rate_error        0.10                        chrony slews by up to 8.4 %
wait_for_leadership     False                       as in the Node package
auto_close              True                        as in the Node package
observe                 False                       electors are there to lead
require_cluster         False                       it leads outside a cluster, as the Node package
hard_fence              False                       it ends the whole process
crash_takeover          False                       all work of a term must be in the container,
                                                    and it needs a right on pods
crash_challenge_sec     1                           ten times what a renewal takes
leader_endpoints        None                        it needs a Service, and a right on its slice
kubernetes_events       False                       it needs a right on Events
liveness                None                        work that cannot be stopped must not lose
                                                    its Lease
liveness_timeout_sec    the lease duration          kube-controller-manager gives its own 20 s
preset                  None                        see :data:`~.presets.PRESETS`
======================  ==========================  ==============================================

R is the renew interval, D the lease duration, L the renew deadline, S the stop budget and
T the request timeout. The defaults give R = 10 s, D = 20 s, L = 15 s, S = 1 s and
T = 2.5 s, which keep both rules: 15 s / 0.9 + 1 s = 17.667 s <= 20 s / 1.1 = 18.181 s,
and 10 s + 2 x 2.5 s = 15 s. They survive an API outage of L - R - T = 2.5 s, no more;
``preset="steady"`` survives 6.5 s.
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
