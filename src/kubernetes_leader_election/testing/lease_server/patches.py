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

from kubernetes_leader_election.testing.lease_server import decoding, statuses
from kubernetes_leader_election.testing.lease_server.decoding import (
    Decoded,
    DuplicateKeys,
    FloatLiteral,
)
from kubernetes_leader_election.testing.lease_server.resources import Resource
from kubernetes_leader_election.testing.lease_server.statuses import (
    ApiError,
    FieldError,
)

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


def read_patch(resource: Resource, form: str, body: bytes) -> Change:
    """
    Understand a patch.

    Raises:
        ApiError: 400, it is no patch of that language.
    """
    try:
        patch = decoding.load_json(body)
    except ValueError as error:
        raise statuses.bad_request(f"error decoding patch: {error}") from error
    if form == "json-patch":
        _check_operations(patch)
    elif not isinstance(patch, dict):
        raise statuses.bad_request(
            "error decoding patch: json: cannot unmarshal into Go value of type "
            "map[string]interface {}"
        )
    twice = _duplicates(patch)

    def change(current: dict[str, Any]) -> Decoded:
        if form == "json-patch":
            patched = _json_patched(current, patch)
        elif form == "strategic":
            patched = _strategic(current, patch)
        else:
            patched = _merged(current, patch)
        decoded = _typed(resource, patched)
        return Decoded(decoded.document, (*twice, *decoded.strict))

    return change


def _typed(resource: Resource, patched: Any) -> Decoded:
    try:
        for key, wanted in (
            ("kind", resource.kind),
            ("apiVersion", resource.api_version),
        ):
            if patched.get(key) != wanted:
                raise ValueError(f"the object has {key} {patched.get(key)!r}")
        return decoding.typed(resource, patched)
    except (ValueError, AttributeError) as error:
        shown = json.dumps(patched, separators=(",", ":"), default=_shown)
        found = FieldError.invalid("patch", shown, str(error))
        refusal = ApiError(422, "Invalid", f' "" is invalid: {found}')
        cause = statuses.Cause(
            reason=found.reason, message=found.detail, field=found.path
        )
        refusal.details = {"causes": [cause.document()]}
        raise refusal from error


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
            result[key] = present + [one for one in value if one not in present]
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
        _at(document, path)
        removed = _removed(document, path)
        return _added(removed, path, copy.deepcopy(operation["value"]))
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


def _removed(document: Any, path: list[str]) -> Any:
    if not path:
        return None
    parent = _at(document, path[:-1])
    if isinstance(parent, list):
        del parent[_index(parent, path[-1], adding=False)]
    else:
        del parent[path[-1]]
    return document
