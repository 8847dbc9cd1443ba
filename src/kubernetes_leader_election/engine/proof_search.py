"""Look in a holder's pod for the proof that its container has ended. Blocks; a thread's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.kube_api.call import Call
from kubernetes_leader_election.kube_api.pods import PodClient
from kubernetes_leader_election.kube_api.results import Answered, NotFound
from kubernetes_leader_election.left_note import problem_of
from kubernetes_leader_election.pods.proof import Proven, judge_pod

LONGEST_SILENCE: Final = 150.0
"""Seconds until a watch that brought nothing, no bookmark either, is given up: a server
sends one a minute."""

Said = Callable[[m.ProofSeen], None]


class _FoundOut(Exception):  # noqa: N818 - ends the watch, and is no error
    """End a watch on a pod that has nothing more to tell."""

    def __init__(self, answer: m.Response) -> None:
        super().__init__()
        self.answer = answer


def search(
    client: PodClient,
    request: m.SeekProof,
    call: Call,
    *,
    proven: Said,
    within: float,
    silence: float = LONGEST_SILENCE,
) -> m.Response:
    """
    Follow a pod from its present state until its end is refuted, or it cannot be read.

    Args:
        client: reads pods.
        request: whose end is sought.
        call: ends the search from outside; it has no end of its own.
        proven: told of a proof, perhaps several times; the search goes on.
        within: seconds for the first read.
        silence: seconds without any event after which the watch is given up.

    """
    number, note = request.request_id, request.note
    if problem_of(note) is not None:
        return m.ProofRefuted(request_id=number, why="its note cannot be used")
    call.limit(within)
    found = client.get(note.namespace, note.pod, call=call)
    call.limit(None)
    if isinstance(found, NotFound):
        return m.ProofRefuted(request_id=number, why=f"the pod {note.pod} is gone")
    if not isinstance(found, Answered):
        return m.ProofUnreadable(request_id=number, error=found.error)

    def look(kind: str, pod: Mapping[str, Any]) -> None:
        if kind == "BOOKMARK":
            return
        judged = judge_pod(pod, note)
        if isinstance(judged, Proven):
            proven(m.ProofSeen(request_id=number, why=judged.why))
        elif kind == "DELETED" or judged.for_good:
            why = (
                judged.why if judged.for_good else f"{judged.why}, and the pod is gone"
            )
            raise _FoundOut(m.ProofRefuted(request_id=number, why=why))

    try:
        look("ADDED", found.body)
        error = client.watch(
            note.namespace,
            note.pod,
            _version(found.body),
            call=call,
            on_event=look,
            silence=silence,
        )
    except _FoundOut as end:
        return end.answer
    return m.ProofUnreadable(request_id=number, error=error)


def unreadable(number: int, error: Exception) -> m.Response:
    """Answer for a search that failed in a way nobody foresaw (fault 07)."""
    wrapped = LeaseApiError(f"an unexpected error in a watch of a pod: {error!r}")
    wrapped.__cause__ = error
    return m.ProofUnreadable(request_id=number, error=wrapped)


def _version(pod: Mapping[str, Any]) -> str:
    version = pod["metadata"]["resourceVersion"]
    assert isinstance(version, str)  # the client has seen to it
    return version
