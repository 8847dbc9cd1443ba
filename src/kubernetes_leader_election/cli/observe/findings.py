"""What ``doctor`` found: one thing looked at, and what to do about it."""

from __future__ import annotations

from kubernetes_leader_election.values import Value


class Check(Value):
    """One thing looked at."""

    name: str
    verdict: str
    """PASS, INFO, WARN or FAIL."""
    text: str
    fix: str = ""
    """What to do, or the YAML to apply; may have several lines."""
