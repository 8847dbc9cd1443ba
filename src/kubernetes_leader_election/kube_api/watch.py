"""
Decode the stream of a watch: lines of JSON, one event each.

A stream is untrusted to its last byte: it may be cut in the middle of a line, carry an
error inside a 200 answer, or end cleanly in the middle of history. Whatever is odd
ends the watch, and the reader asks anew (rule 16).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kubernetes_leader_election.kube_api.decoding import (
    Undecodable,
    decode_object,
    object_problem,
)
from kubernetes_leader_election.kube_api.resources import Resource
from kubernetes_leader_election.values import Value

LONGEST_LINE = 1 << 20
"""As for any answer: an event is one object."""

_CHANGES = frozenset({"ADDED", "MODIFIED", "DELETED"})


class StreamEvent(Value):
    """One event: a change of the object, or a bookmark (an empty one with a version)."""

    type: str
    object: dict[str, Any]


class StreamError(Exception):
    """
    End a stream that cannot be read on.

    ``status`` is the Status that the server sent as its last event, if it did.
    """

    def __init__(self, message: str, *, status: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status


def events_of(
    pieces: Iterable[bytes], *, resource: Resource, namespace: str, name: str
) -> Iterator[StreamEvent]:
    """
    Yield the events of a whole stream, however it is cut into pieces.

    Raises:
        StreamError: what came is no event of this object, says that it is over, or ends
            in the middle.
    """
    line = bytearray()
    for piece in pieces:
        ends = piece.count(b"\n")
        for number, part in enumerate(piece.split(b"\n")):
            if len(line) + len(part) > LONGEST_LINE:
                raise StreamError("an event in the stream is too large")
            line += part
            if number < ends:
                whole, line = bytes(line), bytearray()
                if whole.strip():
                    yield _event(whole, resource, namespace, name)
    if line.strip():
        raise StreamError("the stream was cut in the middle of an event")


def _event(line: bytes, resource: Resource, namespace: str, name: str) -> StreamEvent:
    try:
        value = decode_object(line)
    except Undecodable as error:
        raise StreamError(f"an event in the stream is unreadable: {error}") from None
    kind, thing = value.get("type"), value.get("object")
    if not isinstance(kind, str) or not isinstance(thing, dict):
        raise StreamError("an event in the stream has no type or no object")
    if kind == "ERROR":
        raise StreamError("the server ended the watch", status=thing)
    if kind in _CHANGES:
        problem = object_problem(thing, resource.kind, namespace, name)
        if problem is not None:
            raise StreamError(
                f"an event in the stream is not of the {resource.kind}: {problem}"
            )
    elif not isinstance(thing.get("metadata", {}), dict):
        raise StreamError("an event in the stream is unreadable: odd metadata")
    return StreamEvent(type=kind, object=thing)
