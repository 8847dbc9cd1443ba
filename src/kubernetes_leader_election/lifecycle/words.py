"""Words for people that the log and Events share: of a gap, and of a loss."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from kubernetes_leader_election.events import (
    PLANNED,
    REASONS,
    GapReason,
    LeadershipAcquired,
    LossReason,
)
from kubernetes_leader_election.text import LONGEST_LINE, printable

_SINCE: Final[Mapping[GapReason, str]] = MappingProxyType(
    {
        "release": "the release",
        "deletion": "the Lease was deleted",
        "expiry": "the last renewal",
        "proof": "the last renewal",
        "outage": "one was last seen to lead: requests failed",
    }
)
"""What a gap is counted from."""


def nobody_led(event: LeadershipAcquired) -> str:
    """Return for how long nobody led, and why so long, as far as that was seen."""
    if event.gap_sec is None or event.why is None:
        return ""
    gap = event.gap_sec
    seconds = f"{gap:.3f}" if gap < 1.0 else f"{gap:.1f}"
    return f"; nobody led for {seconds} s since {_SINCE[event.why]}"


def why_lost(reason: LossReason, detail: str) -> str:
    """Return that a term ended, and why; others may have written the detail."""
    verb = "gave up leadership" if reason in PLANNED else "lost leadership"
    more = f" ({printable(detail, longest=LONGEST_LINE)})" if detail else ""
    return f"{verb}: {REASONS.get(reason, reason)}{more}"
