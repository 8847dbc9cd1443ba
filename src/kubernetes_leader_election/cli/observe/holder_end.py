"""Whether the pod of a holder proves its end: what ``status`` and ``watch`` tell of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from kubernetes_leader_election.cli.observe import cluster
from kubernetes_leader_election.text import printable, quoted
from kubernetes_leader_election.values import Value

if TYPE_CHECKING:
    from kubernetes_leader_election.core.record import Snapshot

READ_WITHIN: Final = 2.0
"""Seconds for the pod: a display waits no longer for what it can do without."""
LONGEST: Final = 400
"""Characters of a reason that are shown."""

Verdict = Literal["proven", "not yet", "never", "unknown"]
"""
What is known of the process that left the note.

``proven``: it has ended. ``not yet``: nothing says so, as of each leader that lives.
``never``: nothing will, whatever becomes of it. ``unknown``: the pod could not be read.
"""


class HolderEnd(Value):
    """What the pod of a holder that left a note (``crash_takeover``) says of its end."""

    pod: str
    """Namespace and name."""
    verdict: Verdict
    why: str
    """In a clause, for people; printable."""

    def as_clause(self) -> str:
        """Say it as an addition to the line of an expiry or of a take-over."""
        words = {"proven": "its end is proved", "unknown": "its pod cannot be read"}
        return f"{words.get(self.verdict, 'its end is not proven')}: {self.why}"


def look_at_holder(
    target: cluster.Target, snapshot: Snapshot | None
) -> HolderEnd | None:
    """
    Read the pod of a Lease's holder; None: it left no note. Blocks for two seconds at most.

    Nobody's rights are needed but the reader's own: a pod that must not be read is
    ``unknown``.
    """
    from kubernetes_leader_election.core.pod_notes import note_of  # noqa: PLC0415 - help is quick
    from kubernetes_leader_election.kube_api.pods import PodClient  # noqa: PLC0415 - as above
    from kubernetes_leader_election.kube_api.results import Answered, NotFound  # noqa: PLC0415 - as above
    from kubernetes_leader_election.pods.proof import Proven, judge_pod  # noqa: PLC0415 - as above

    note = None if snapshot is None else note_of(snapshot)
    if note is None:
        return None
    pod = f"{note.namespace}/{note.pod}"
    answer = PodClient(target.client).get(
        note.namespace, note.pod, call=cluster.call(READ_WITHIN)
    )
    verdict: Verdict
    if isinstance(answer, Answered):
        judged = judge_pod(answer.body, note)
        why = judged.why
        if isinstance(judged, Proven):
            verdict = "proven"
        else:
            verdict = "never" if judged.for_good else "not yet"
    elif isinstance(answer, NotFound):
        verdict, why = "never", f"the pod {quoted(pod)} is gone"
    else:
        verdict, why = "unknown", str(answer.error)
    return HolderEnd(pod=pod, verdict=verdict, why=printable(why, longest=LONGEST))
