"""Named times: what each is for, and the options it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

# Presets ----------------------------------------------------------------------


class Preset(NamedTuple):
    """Named times: what it is for, and the options it stands for."""

    purpose: str
    options: Mapping[str, int | float]


PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        "steady": Preset(
            "as quick to fail over as the defaults, but rides out an API outage of "
            "6.5 s; twice as many writes; takes over within 22.7 s of a crash, "
            "1.4 s where it is proved",
            MappingProxyType(
                {
                    "renew_interval_ms": 5_000,
                    "lease_duration_sec": 20,
                    # An admission webhook that takes 3 s may be on each write.
                    "request_timeout_sec": 3.5,
                }
            ),
        ),
        "client-go": Preset(
            "client-go's usual 15/10/2: lease duration 15 s, renew deadline 10 s, one "
            "renewal every 2 s; takes over within 17.1 s of a crash, 1.4 s where it is "
            "proved",
            MappingProxyType(
                {
                    "renew_interval_ms": 2_000,
                    "lease_duration_sec": 15,
                    "renew_deadline_sec": 10,
                }
            ),
        ),
        "fast": Preset(
            "takes over within 5.9 s of a crash, 1.4 s where it is proved; for a "
            "reliable API server nearby",
            MappingProxyType(
                {
                    "renew_interval_ms": 1_000,
                    "lease_duration_sec": 5,
                    "request_timeout_sec": 0.75,
                }
            ),
        ),
        "calm": Preset(
            "few writes and a long breath: rides out an API outage of 25 s, takes over "
            "within 67.1 s of a crash, 1.4 s where it is proved",
            MappingProxyType({"renew_interval_ms": 15_000, "lease_duration_sec": 60}),
        ),
    }
)
"""
Other times than the defaults, by name: what each is for, and its options (R <= D / 3).

A take-over is counted from the last renewal at worst; where the end of the holder is
proved (``crash_takeover``), from the kubelet's report. The network's time comes on top.
"""
