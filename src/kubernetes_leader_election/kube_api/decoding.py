"""Read what a server sends without trusting it (fault 49)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

_DEEPEST = 64
"""A Lease with managed fields is six levels deep; anything deeper would overflow the
stack of whoever compares, copies or writes it."""

_LONGEST_INTEGER = 20
"""int64, the widest of the API, has 19 digits and a sign."""


class Undecodable(ValueError):  # noqa: N818 - an inner signal, not one of the errors
    """Say that bytes are not the JSON object they should be."""


def decode_object(data: bytes) -> dict[str, Any]:
    """
    Decode one JSON object.

    Raises:
        Undecodable: not JSON, not an object, nested too deeply, or with numbers that
            Python reads and JSON does not have.
    """
    try:
        text = data.decode(json.detect_encoding(data), "surrogatepass")
        value = _DECODER.decode(text)
    except RecursionError:
        raise Undecodable("it is nested too deeply") from None
    except ValueError as error:
        # The text of the error may quote the body: keep only the kind of trouble.
        detail = f" ({error.msg})" if isinstance(error, json.JSONDecodeError) else ""
        raise Undecodable(f"it is not JSON{detail}") from None
    if not isinstance(value, dict):
        raise Undecodable("it is JSON, but not an object")
    if data.count(b"{") + data.count(b"[") > _DEEPEST and _too_deep(value):
        raise Undecodable("it is nested too deeply")
    return value


def encode(value: Mapping[str, Any]) -> bytes:
    """
    Encode one JSON object, as ASCII without blanks.

    Raises:
        Undecodable: it holds what JSON does not have.
    """
    try:
        return _ENCODER.encode(value).encode("ascii")
    except (RecursionError, TypeError, ValueError) as error:
        raise Undecodable(f"the Lease to be written is no JSON: {error}") from error


def object_problem(
    value: Mapping[str, Any], kind: str, namespace: str, name: str
) -> str | None:
    """
    Say why ``value`` cannot be the object asked for; None when it can.

    With an empty ``name`` any object of that kind in the namespace is asked for; with an
    empty ``namespace`` those of all.

    Only what identifies an object is looked at. The spec is data: whoever reads it
    takes every field of it as optional and untrusted (rule 3).
    """
    if value.get("kind", kind) != kind:
        return "it is of another kind"
    metadata = value.get("metadata")
    if not isinstance(metadata, dict):
        return "it has no metadata"
    found = metadata.get("name")
    if not isinstance(found, str) or not found:
        return "it has no name"
    where = metadata.get("namespace", namespace)
    if (name and found != name) or (namespace and where != namespace):
        return "it is another object"
    version = metadata.get("resourceVersion")
    if not isinstance(version, str) or not version:
        return "it has no resourceVersion"
    if not isinstance(metadata.get("uid", ""), str):
        return "its uid is no text"
    if not isinstance(value.get("spec"), dict | None):
        return "its spec is no object"
    return None


def _refuse_constant(_text: str) -> float:
    raise Undecodable("NaN and Infinity are not JSON")


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Undecodable("a number is too large")
    return number


def _short_integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise Undecodable("a number is too large")
    return int(text)


def _too_deep(value: dict[str, Any]) -> bool:
    level: list[Any] = [value]
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for item in level:
            children = item.values() if isinstance(item, dict) else item
            inner.extend(c for c in children if isinstance(c, dict | list))
        if not inner:
            return False
        level = inner
    return True


# Made once: json.loads() and json.dumps() make such a one at each call.
_DECODER: Final = json.JSONDecoder(
    parse_constant=_refuse_constant,
    parse_float=_finite_float,
    parse_int=_short_integer,
)
_ENCODER: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
