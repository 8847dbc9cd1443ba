"""
What a holder notes on its Lease for people: the fencing token of its term.

The token is the version that the acquiring write returned (G3), so that write cannot
hold it, and later ones hide it. A renewal writes the whole object anyway: the note goes
along and costs no request. For people alone: no elector decides anything by it, since
whoever may write annotations may write this one. It names its term by the acquire time,
as wishes do, so that a note which another library kept is not taken for its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.versions.core_d0d2bc7.core.record import (
    Snapshot,
    format_time,
    read_version,
)

TOKEN: Final = "kubernetes-leader-election/fencing-token"  # noqa: S105 - no secret
"""Value: the token, a blank, and the ``acquireTime`` of the term that it is for."""


def with_token(
    lease: Mapping[str, Any], *, token: int | None, acquire_time: int
) -> Mapping[str, Any]:
    """Note the token of a term; the same object where it is noted, or cannot be."""
    metadata = lease.get("metadata")
    if token is None or not isinstance(metadata, dict):
        return lease
    annotations = metadata.get("annotations")
    if annotations is None:
        annotations = {}
    note = f"{token} {format_time(acquire_time)}"
    if not isinstance(annotations, dict) or annotations.get(TOKEN) == note:
        return lease
    annotations = {**annotations, TOKEN: note}
    return {**lease, "metadata": {**metadata, "annotations": annotations}}


def noted_token(snapshot: Snapshot) -> int | None:
    """Give the token that the holder noted for its present term; None: it did not."""
    note, record = snapshot.annotations.get(TOKEN), snapshot.record
    if not isinstance(note, str) or record.is_free:
        return None
    token, _, term = note.partition(" ")
    if not isinstance(record.acquire_time, int):
        return None
    if term != format_time(record.acquire_time):
        return None
    noted, version = read_version(token), snapshot.version
    if noted is None or (version is not None and noted > version):
        return None  # later than the Lease itself: whoever wrote that made it up
    return noted
