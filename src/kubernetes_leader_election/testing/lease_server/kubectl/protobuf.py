"""
Just enough protobuf for two things kubectl sends in no other form.

``kubectl create namespace`` and ``kubectl auth can-i`` write protobuf, whatever the
server prefers, and read JSON. Leases are never sent so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from kubernetes_leader_election.testing.lease_server.http import statuses

__all__ = ["read_message"]

_MAGIC: Final = b"k8s\x00"

Shape = Mapping[int, "tuple[str, Shape | None]"]
"""Field numbers, the names they have in JSON, and the shape of what is below."""

_LABELS: Shape = {1: ("key", None), 2: ("value", None)}
_META: Shape = {1: ("name", None), 2: ("generateName", None), 11: ("labels", _LABELS)}
_ATTRIBUTES: Shape = {
    1: ("namespace", None),
    2: ("verb", None),
    3: ("group", None),
    4: ("version", None),
    5: ("resource", None),
    6: ("subresource", None),
    7: ("name", None),
}
_SHAPES: Final[Mapping[str, Shape]] = {
    "Namespace": {1: ("metadata", _META)},
    "SelfSubjectAccessReview": {
        2: ("spec", {1: ("resourceAttributes", _ATTRIBUTES)}),
    },
}
_ENVELOPE: Final[Shape] = {
    1: ("type", {1: ("apiVersion", None), 2: ("kind", None)}),
}


def read_message(body: bytes) -> dict[str, Any]:
    """
    Read a namespace or an access review.

    Raises:
        ApiError: 400, it is neither or broken.
    """
    try:
        if not body.startswith(_MAGIC):
            raise ValueError("the body does not begin as protobuf of Kubernetes does")
        envelope = list(_fields(body[len(_MAGIC) :]))
        kind = _message(envelope, _ENVELOPE).get("type", {}).get("kind", "")
        raw = next(value for number, value in envelope if number == 2)
        if kind not in _SHAPES or not isinstance(raw, bytes):
            raise ValueError(f"protobuf is not read here for the kind {kind!r}")
        document = _message(list(_fields(raw)), _SHAPES[kind])
    except (ValueError, IndexError, StopIteration) as error:
        raise statuses.bad_request(f"unable to read protobuf: {error}") from error
    labels = document.get("metadata", {}).pop("labels", None)
    if labels:
        entries = labels if isinstance(labels, list) else [labels]
        document["metadata"]["labels"] = {
            one.get("key", ""): one.get("value", "") for one in entries
        }
    return document


def _message(fields: list[tuple[int, bytes | int]], shape: Shape) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in fields:
        if number not in shape or not isinstance(value, bytes):
            continue
        name, below = shape[number]
        one: Any = value.decode()
        if below is not None:
            one = _message(list(_fields(value)), below)
        if name in found and isinstance(found[name], dict):
            found[name] = [found[name], one]
        elif isinstance(found.get(name), list):
            found[name].append(one)
        elif one != "":
            found[name] = one
    return found


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Split a message into its fields."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
        elif kind == 2:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise ValueError("a field is longer than the message")
            yield number, data[at : at + length]
            at += length
        elif kind in {1, 5}:
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"unknown wire type {kind}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number is too long")
