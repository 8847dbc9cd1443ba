"""
Three languages of PATCH: merge patch, strategic merge patch, JSON patch.

A patch is read once and gives a function from the present object to the new one. (The
fourth language, apply, stands in ``apply.py``: it needs to know who owns which field.)
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any, Final

from kubernetes_leader_election.testing.lease_server import (
    decoding,
    loading,
    statuses,
)
from kubernetes_leader_election.testing.lease_server.decoding import Decoded
from kubernetes_leader_election.testing.lease_server.loading import (
    DuplicateKeys,
    FloatLiteral,
)
from kubernetes_leader_election.testing.lease_server.resources import Resource
from kubernetes_leader_election.testing.lease_server.statuses import ApiError

__all__ = ["FORMS", "read_patch"]

FORMS: Final = {
    "application/json-patch+json": "json-patch",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}
OPERATIONS_LIMIT = 10_000

Change = Callable[[dict[str, Any]], Decoded]


class _UnfitError(Exception):
    """A JSON patch does not fit the object."""


def read_patch(resource: Resource, form: str, body: bytes, strict: str) -> Change:
    """
    Understand a patch; ``strict`` is the request's fieldValidation.

    Raises:
        ApiError: 400, it is no patch of that language.
    """
    try:
        patch = loading.load_json(body)
    except ValueError as error:
        raise statuses.bad_request("invalid JSON patch") from error
    if form == "json-patch":
        _check_operations(patch)
    elif not isinstance(patch, dict):
        prefix = "" if form == "strategic" else "error decoding patch: "
        raise statuses.bad_request(
            f"{prefix}json: cannot unmarshal {loading.json_kind(patch)} into Go value "
            "of type map[string]interface {}"
        )
    twice = _duplicates(patch)

    def change(current: dict[str, Any]) -> Decoded:
        if form == "json-patch":
            patched = _json_patched(current, patch)
        elif form == "strategic":
            patched = _strategic(current, patch)
        else:
            patched = _merged(current, patch)
        shown = _go_text(patch) if form == "strategic" else _json_text(patched)
        try:
            decoded = _typed(resource, patched)
        except ValueError as error:
            raise statuses.unreadable_patch(shown, str(error)) from error
        found = (*twice, *decoded.strict)
        if found and strict == "Strict":
            why = "strict decoding error: " + ", ".join(found)
            raise statuses.unreadable_patch(shown, why)
        return Decoded(decoded.document, found)

    return change


def _typed(resource: Resource, patched: Any) -> Decoded:
    if not isinstance(patched, dict):
        raise decoding.TypeMismatchError(
            f"the patch made {loading.json_kind(patched)} of the object"
        )
    kind, version = patched.get("kind"), patched.get("apiVersion")
    if (kind, version) != (resource.kind, resource.api_version):
        raise decoding.TypeMismatchError(
            f'no kind "{kind}" is registered for version "{version}" in scheme '
            '"pkg/api/legacyscheme/scheme.go:30"'
        )
    return decoding.typed(resource, patched)


def _json_text(patched: Any) -> str:
    ordered = dict(sorted(patched.items())) if isinstance(patched, dict) else patched
    return json.dumps(ordered, separators=(",", ":"), default=_shown)


def _go_text(value: Any) -> str:
    """Write a value as Go prints it."""
    if isinstance(value, dict):
        parts = (f"{key}:{_go_text(value[key])}" for key in sorted(value))
        return f"map[{' '.join(parts)}]"
    if isinstance(value, list):
        return f"[{' '.join(_go_text(one) for one in value)}]"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(_shown(value))


def _shown(value: Any) -> Any:
    return value.text if isinstance(value, FloatLiteral) else str(value)


def _duplicates(value: Any, path: str = "") -> list[str]:
    found = []
    if isinstance(value, DuplicateKeys):
        prefix = f"{path}." if path else ""
        found += [f'duplicate field "{prefix}{key}"' for key in value.duplicates]
    if isinstance(value, dict):
        for key, below in value.items():
            found += _duplicates(below, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, below in enumerate(value):
            found += _duplicates(below, f"{path}[{index}]")
    return found


def _merged(current: Any, patch: Any) -> Any:
    """Merge as RFC 7396 says: null deletes, lists are replaced."""
    if not isinstance(patch, dict):
        return patch
    result = dict(current) if isinstance(current, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result


_MERGED_BY: Final = {"ownerReferences": "uid"}
_SETS: Final = frozenset({"finalizers"})


def _strategic(current: Any, patch: dict[str, Any]) -> dict[str, Any]:
    """Merge with the lists that have keys merged by them."""
    directive = patch.get("$patch")
    rest = {key: value for key, value in patch.items() if key != "$patch"}
    if directive == "replace":
        return rest
    if directive == "delete":
        return {}
    result = dict(current) if isinstance(current, dict) else {}
    kept = rest.pop("$retainKeys", None)
    if kept is not None:
        result = {key: value for key, value in result.items() if key in kept}
    for key, value in rest.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            result[name] = [one for one in result.get(name, []) if one not in value]
        elif key.startswith("$setElementOrder/"):
            continue
        elif value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = _strategic(result.get(key), value)
        elif isinstance(value, list) and key in _SETS:
            present = result.get(key) or []
            result[key] = value + [one for one in present if one not in value]
        elif isinstance(value, list) and key in _MERGED_BY:
            result[key] = _merged_list(result.get(key) or [], value, _MERGED_BY[key])
        else:
            result[key] = value
    return result


def _merged_list(present: list[Any], patch: list[Any], by: str) -> list[Any]:
    result = [one for one in present if isinstance(one, dict)]
    for one in patch:
        if not isinstance(one, dict):
            continue
        if one.get("$patch") == "replace":
            return [other for other in patch if "$patch" not in other]
        places = [
            index for index, other in enumerate(result) if other.get(by) == one.get(by)
        ]
        if one.get("$patch") == "delete":
            result = [other for other in result if other.get(by) != one.get(by)]
        elif places:
            result[places[0]] = _strategic(result[places[0]], one)
        else:
            result.append(one)
    return result


def _check_operations(patch: Any) -> None:
    if not isinstance(patch, list) or not all(isinstance(one, dict) for one in patch):
        raise statuses.bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of "
            "type []handlers.jsonPatchOp"
        )
    if len(patch) > OPERATIONS_LIMIT:
        message = (
            f"Request entity too large: The allowed maximum operations in a JSON "
            f"patch is {OPERATIONS_LIMIT}, got {len(patch)}"
        )
        raise ApiError(413, "RequestEntityTooLarge", message, None)


def _json_patched(current: dict[str, Any], patch: list[dict[str, Any]]) -> Any:
    document: Any = copy.deepcopy(current)
    try:
        for operation in patch:
            document = _operated(document, operation)
    except (_UnfitError, KeyError, IndexError, TypeError, ValueError) as error:
        message = "the server rejected our request due to an error in our request"
        raise ApiError(422, "Invalid", message, {}) from error
    return document


def _operated(document: Any, operation: dict[str, Any]) -> Any:
    kind, path = operation["op"], _pointer(operation["path"])
    if kind == "test":
        if _at(document, path) != operation.get("value"):
            raise _UnfitError
        return document
    if kind == "remove":
        return _removed(document, path)
    if kind == "add":
        return _added(document, path, copy.deepcopy(operation["value"]))
    if kind == "replace":
        return _replaced(document, path, copy.deepcopy(operation["value"]))
    source = _pointer(operation["from"])
    value = copy.deepcopy(_at(document, source))
    if kind == "move":
        document = _removed(document, source)
    elif kind != "copy":
        raise _UnfitError
    return _added(document, path, value)


def _pointer(text: str) -> list[str]:
    if text == "":
        return []
    if not text.startswith("/"):
        raise _UnfitError
    parts = text[1:].split("/")
    return [part.replace("~1", "/").replace("~0", "~") for part in parts]


def _index(node: list[Any], step: str, *, adding: bool) -> int:
    if adding and step == "-":
        return len(node)
    index = int(step)
    if not 0 <= index < len(node) + adding:
        raise _UnfitError
    return index


def _at(document: Any, path: list[str]) -> Any:
    node = document
    for step in path:
        if isinstance(node, list):
            node = node[_index(node, step, adding=False)]
        else:
            node = node[step]
    return node


def _added(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _at(document, path[:-1])
    if isinstance(parent, list):
        parent.insert(_index(parent, path[-1], adding=True), value)
    else:
        parent[path[-1]] = value
    return document


def _replaced(document: Any, path: list[str], value: Any) -> Any:
    """Set a value; the real server does so even where a key is missing."""
    if not path:
        return value
    parent = _at(document, path[:-1])
    if isinstance(parent, list):
        parent[_index(parent, path[-1], adding=False)] = value
    else:
        parent[path[-1]] = value
    return document


def _removed(document: Any, path: list[str]) -> Any:
    if not path:
        return None
    parent = _at(document, path[:-1])
    if isinstance(parent, list):
        del parent[_index(parent, path[-1], adding=False)]
    else:
        del parent[path[-1]]
    return document
