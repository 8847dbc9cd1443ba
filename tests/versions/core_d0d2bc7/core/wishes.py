"""
Wishes of people, written on the Lease as annotations.

Electors of this package honour them, others do not know them. A wish names the term it is for by the acquire time on the wire, so it never reaches a
later term. Whoever may write annotations on the Lease could depose the leader anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.versions.core_d0d2bc7.core.record import Snapshot, format_time

STEP_DOWN: Final = "kubernetes-leader-election/step-down"
"""Value: the ``acquireTime`` of the term that is asked to end."""
SUCCESSOR: Final = "kubernetes-leader-election/successor"
"""Value: the identity that goes first when the Lease becomes free."""
YIELD_AT_MOST: Final = 5.0
"""Seconds, and half of D, at most, that others let a named successor go first."""


def asks_to_step_down(snapshot: Snapshot, acquire_time: int) -> bool:
    """Tell whether the holder of the term begun at ``acquire_time`` is asked to go."""
    asked = snapshot.annotations.get(STEP_DOWN)
    return asked is not None and asked == format_time(acquire_time)


def yield_to_successor(snapshot: Snapshot, identity: str, duration: int) -> float:
    """Give the seconds to let somebody else go first on a free Lease."""
    successor = snapshot.annotations.get(SUCCESSOR)
    if not isinstance(successor, str) or successor in ("", identity):
        return 0.0
    return min(YIELD_AT_MOST, duration / 2)


def without(lease: Mapping[str, Any], *wishes: str) -> Mapping[str, Any]:
    """Give the Lease without these wishes; the same object where it has none."""
    metadata = lease.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    if not isinstance(annotations, dict) or not any(w in annotations for w in wishes):
        return lease
    kept = {k: v for k, v in annotations.items() if k not in wishes}
    return {**lease, "metadata": {**metadata, "annotations": kept}}  # type: ignore[dict-item]  # a dict, as checked above
