"""
Does a pod's status prove that the container which left a note has ended?

Only the note proves it: a kubelet shows it after that very container has ended, with the
status that its first process ended with. That the pod was deleted, has failed or is on
a node that is lost proves nothing: its processes may still run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from kubernetes_leader_election.left_note import LeftNote, problem_of
from kubernetes_leader_election.values import Value

__all__ = ["NotProven", "Proven", "judge_pod"]

_REASONS: Final = frozenset({"Completed", "Error", "OOMKilled"})
"""With what a kubelet explains an end that its container runtime has seen."""
_NO_WAIT_STATUS: Final = frozenset({128, 255})
"""Exit codes that stand for "not known": of a lost shim, and of one never started."""
_RUNTIME: Final = "containerd://"
"""The container runtime whose reports were tried."""
_TIME: Final = re.compile(
    r"(?!0001|1970)[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z", re.ASCII
)
"""A moment as the API has it; not the zero of Go, nor that of Unix."""
_SIGNALS: Final = {130: "SIGINT", 134: "SIGABRT", 139: "SIGSEGV", 143: "SIGTERM"}


class Proven(Value):
    """The container that left the note has ended; ``why`` says it in a clause."""

    why: str


class NotProven(Value):
    """Nothing is known of the container that left the note; ``why`` says it in a clause."""

    why: str
    for_good: bool = False
    """Whether no later status of this pod is to be believed, either."""


class _Odd(Exception):  # noqa: N818 - an inner signal, not one of the errors
    """The pod has not the form that a pod has."""


def judge_pod(pod: object, note: LeftNote) -> Proven | NotProven:
    """
    Judge a pod, as the API server gave it.

    Args:
        pod: the decoded JSON; may be anything, and never makes this raise.
        note: what the holder of the Lease left.

    """
    try:
        return _judge(pod, note)
    except (_Odd, RecursionError) as odd:
        return NotProven(why=f"the pod has an odd form ({odd})")


def _judge(pod: object, note: LeftNote) -> Proven | NotProven:
    problem = problem_of(note)
    if problem is not None:
        return NotProven(why=f"the note cannot be used: {problem}", for_good=True)
    whole = _object(pod, "pod")
    metadata = _object(whole.get("metadata"), "metadata")
    if (metadata.get("namespace"), metadata.get("name")) != (note.namespace, note.pod):
        return NotProven(why="the answer is of another pod")
    if metadata.get("uid") != note.uid:
        return NotProven(why=f"another pod has the name {note.pod} now", for_good=True)
    unsuited = _unsuited(_object(whole.get("spec"), "spec"), note)
    if unsuited is not None:
        return NotProven(why=unsuited, for_good=True)
    place = f"the container {note.container} of {note.pod}"
    status = _status_of(_object(whole.get("status") or {}, "status"), note.container)
    if status is None:
        return NotProven(why=f"{place} has no status")
    for state in _terminated(status):
        if _has_nonce(state, note.nonce):
            return _judge_end(state, status, place)
    return NotProven(why=f"no end of {place} that has its note is reported")


def _unsuited(spec: Mapping[str, Any], note: LeftNote) -> str | None:
    """Say why the end of a container of such a pod proves nothing, if so."""
    for field in ("hostPID", "shareProcessNamespace"):
        if spec.get(field) is not None and spec.get(field) is not False:
            return f"{note.pod} has {field}"
    if spec.get("runtimeClassName") is not None:
        return f"{note.pod} has a runtime class, whose reports were not tried"
    containers = _named(spec.get("containers"), note.container)
    helpers = _named(spec.get("initContainers"), note.container)
    if len(containers) + len(helpers) != 1:
        return f"{note.pod} has not exactly one container {note.container}"
    if helpers and helpers[0].get("restartPolicy") != "Always":
        return f"{note.container} is an init container of {note.pod} that is run once"
    return None


def _status_of(status: Mapping[str, Any], container: str) -> Mapping[str, Any] | None:
    found = [
        *_named(status.get("containerStatuses"), container),
        *_named(status.get("initContainerStatuses"), container),
    ]
    return found[0] if len(found) == 1 else None


def _terminated(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the ends that a container's status tells of: the last one, the one before."""
    for field in ("state", "lastState"):
        state = _object(status.get(field) or {}, field)
        if state.get("terminated") is not None:
            yield _object(state["terminated"], "terminated")


def _has_nonce(state: Mapping[str, Any], nonce: str) -> bool:
    message = state.get("message")
    # Not splitlines(), which ends a line at a dozen other characters as well.
    return isinstance(message, str) and nonce in message.split("\n")


def _judge_end(
    state: Mapping[str, Any], status: Mapping[str, Any], place: str
) -> Proven | NotProven:
    """
    Judge a reported end that shows the note: has the runtime seen it happen?

    If not, the report is a false one, and what follows it is not to be believed either.
    """
    false = _why_false(state, status, place)
    if false is not None:
        return NotProven(why=false, for_good=True)
    return Proven(why=f"{place} {_ending(state['reason'], state['exitCode'])}")


def _why_false(
    state: Mapping[str, Any], status: Mapping[str, Any], place: str
) -> str | None:
    container_id, code = state.get("containerID"), state.get("exitCode")
    if not isinstance(container_id, str) or not container_id.startswith(_RUNTIME):
        return f"{place} is not run by containerd, and others were not tried"
    running = _object(status.get("state") or {}, "state").get("running")
    if running is not None and status.get("containerID") == container_id:
        return f"{place} is reported as ended and as running"
    reason = state.get("reason")
    if not isinstance(reason, str) or reason not in _REASONS:
        return f"how {place} ended was not seen by its runtime"
    if type(code) is not int or not 0 <= code <= 255 or code in _NO_WAIT_STATUS:
        return f"no process of {place} can have ended with its exit code"
    started = state.get("startedAt")
    if not isinstance(started, str) or not _TIME.fullmatch(started):
        return f"{place} is reported as ended and as never started"
    return None


def _ending(reason: str, code: int) -> str:
    if reason == "OOMKilled":
        return "was killed (out of memory)"
    if code == 137:
        return "was killed (SIGKILL)"
    if code in _SIGNALS:
        return f"ended with exit code {code} ({_SIGNALS[code]})"
    return f"ended with exit code {code}"


def _named(value: object, name: str) -> list[Mapping[str, Any]]:
    """Return the entries of a list that have that name."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise _Odd("no list of containers")
    entries = [_object(entry, "container") for entry in value]
    return [entry for entry in entries if entry.get("name") == name]


def _object(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _Odd(f"its {what} is no object")
    return value
