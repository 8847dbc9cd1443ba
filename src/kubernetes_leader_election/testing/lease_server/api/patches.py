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

from kubernetes_leader_election.testing.lease_server.api import decoding, loading
from kubernetes_leader_election.testing.lease_server.api.decoding import Decoded
from kubernetes_leader_election.testing.lease_server.api.loading import (
    DuplicateKeys,
    FloatLiteral,
)
from kubernetes_leader_election.testing.lease_server.api.resources import Resource
from kubernetes_leader_election.testing.lease_server.http import statuses
from kubernetes_leader_election.testing.lease_server.http.statuses import ApiError

__all__ = ["FORMS", "read_patch"]

FORMS: Final = {
    "application/json-patch+json": "json-patch",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}
OPERATIONS_LIMIT = 10_000

Change = Callable[[dict[str, Any]], Decoded]


_RETAIN_KEYS: Final = "$retainKeys"
_DELETE_FROM: Final = "$deleteFromPrimitiveList/"
_ORDER: Final = "$setElementOrder/"


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
        twice = _duplicates(patch)
    except ValueError as error:
        raise statuses.bad_request("invalid JSON patch") from error
    except RecursionError:
        raise _too_deep() from None
    if form == "json-patch":
        _check_operations(patch)
    elif not isinstance(patch, dict):
        prefix = "" if form == "strategic" else "error decoding patch: "
        raise statuses.bad_request(
            f"{prefix}json: cannot unmarshal {loading.json_kind(patch)} into Go value "
            "of type map[string]interface {}"
        )

    def change(current: dict[str, Any]) -> Decoded:
        try:
            return changed(current)
        except RecursionError:
            raise _too_deep() from None

    def changed(current: dict[str, Any]) -> Decoded:
        if form == "json-patch":
            patched = _json_patched(current, patch)
        elif form == "strategic":
            patched = _strategic(current, patch)
            # Made in the type of the object, which no patch can change.
            for key in ("kind", "apiVersion"):
                if isinstance(patched.get(key), str):
                    patched[key] = current[key]
        else:
            patched = _merged(current, patch)

        def refusal(why: str) -> ApiError:
            strategic = form == "strategic"
            shown = _go_text(patch) if strategic else _json_text(patched)
            return statuses.unreadable_patch(shown, why)

        try:
            decoded = _typed(resource, patched)
        except ValueError as error:
            raise refusal(str(error)) from error
        found = (*twice, *decoded.strict)
        if found and strict == "Strict":
            raise refusal("strict decoding error: " + ", ".join(found))
        return Decoded(decoded.document, found)

    return change


def _too_deep() -> ApiError:
    """Refuse what Python cannot walk through; Go's limit is ten thousand levels."""
    return statuses.bad_request("the patch is nested too deeply for this server")


def _typed(resource: Resource, patched: Any) -> Decoded:
    if not isinstance(patched, dict):
        raise decoding.TypeMismatchError(
            f"the patch made {loading.json_kind(patched)} of the object"
        )
    kind, version = patched.get("kind"), patched.get("apiVersion")
    if kind == resource.kind and version in decoding.OLD_VERSIONS:
        # Known in that version as well: read, and kept in the present one.
        patched = {**patched, "apiVersion": resource.api_version}
    elif (kind, version) != (resource.kind, resource.api_version):
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


_MERGED_BY: Final = {
    "ownerReferences": "uid",
    # Of kinds that are only kept:
    "containers": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ports": "containerPort",
    "topologySpreadConstraints": "topologyKey",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
_SETS: Final = frozenset({"finalizers"})


def _strategic(current: Any, patch: dict[str, Any]) -> dict[str, Any]:
    """Merge with the lists that have keys merged by them."""
    rest = {key: value for key, value in patch.items() if key != "$patch"}
    if "$patch" in patch:
        directive = patch["$patch"]
        if directive == "replace":
            return rest
        if directive == "delete":
            return {}
        raise statuses.internal(
            f"unknown patch type: {_go_text(directive)} in map: {_go_text(patch)}"
        )
    result = dict(current) if isinstance(current, dict) else {}
    if _RETAIN_KEYS in rest:
        kept = _retained(rest.pop(_RETAIN_KEYS), rest)
        result = {key: value for key, value in result.items() if key in kept}
    for key, value in rest.items():
        if key.startswith(_DELETE_FROM):
            _delete_from(result, key.removeprefix(_DELETE_FROM), value)
        elif key.startswith(_ORDER):
            if not isinstance(value, list):
                text = f"expected a []interface {{}}, but received a {_go_type(value)}"
                raise statuses.internal(text)
        elif value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = _strategic(result.get(key), value)
        elif isinstance(value, list) and key in (*_SETS, *_MERGED_BY):
            result[key] = _list_patched(key, result.get(key), value)
        else:
            result[key] = value
    return result


def _retained(kept: Any, rest: dict[str, Any]) -> list[Any]:
    """Check the list of keys to keep: it must name all that the patch sets."""
    set_here = [
        key
        for key, value in rest.items()
        if value is not None and not key.startswith((_DELETE_FROM, _ORDER))
    ]
    if not isinstance(kept, list) or any(key not in kept for key in set_here):
        raise statuses.bad_request("invalid patch format of retainKeys")
    return kept


def _delete_from(result: dict[str, Any], key: str, value: Any) -> None:
    """Take elements out of a list; what is of another type changes nothing."""
    present = result.get(key)
    if value is None:
        result.pop(key, None)
    elif isinstance(present, list) and isinstance(value, list):
        _check_alike(present, value)
        result[key] = [one for one in present if one not in value]


def _list_patched(key: str, present: Any, patch: list[Any]) -> list[Any]:
    """Merge a list that is a set, or whose elements have a key."""
    if present:
        _check_alike(present, patch)
    if key in _SETS:
        return patch + [one for one in present or [] if one not in patch]
    if not all(isinstance(one, dict) for one in patch):
        return patch  # of wrong types: the decoder says which
    return _merged_list(present or [], patch, _MERGED_BY[key])


def _check_alike(present: list[Any], patch: list[Any]) -> None:
    """Refuse lists of mixed elements, as the real server does, with its 500."""
    if len({_go_type(one) for one in (*present, *patch)}) > 1:
        shown = _go_text([present, patch])
        raise statuses.internal(f"list element types are not identical: {shown}")


def _go_type(value: Any) -> str:
    if isinstance(value, FloatLiteral):
        return "float64"
    kind = loading.json_kind(value)
    names = {
        "number": "int64",
        "array": "[]interface {}",
        "object": "map[string]interface {}",
    }
    return "<nil>" if value is None else names.get(kind, kind)


def _merged_list(
    present: list[dict[str, Any]], patch: list[dict[str, Any]], by: str
) -> list[Any]:
    result = list(present)
    for one in patch:
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
    if not isinstance(patch, list):
        raise _no_operations(patch, "value of type []handlers.jsonPatchOp")
    for operation in patch:
        if operation is None:
            continue  # an operation without a name, which fits nothing
        if not isinstance(operation, dict):
            raise _no_operations(operation, "value of type handlers.jsonPatchOp")
        for key in ("op", "from", "path"):
            given = operation.get(key)
            if given is not None and not isinstance(given, str):
                where = f"struct field jsonPatchOp.{key} of type string"
                raise _no_operations(given, where)
    if len(patch) > OPERATIONS_LIMIT:
        message = (
            f"Request entity too large: The allowed maximum operations in a JSON "
            f"patch is {OPERATIONS_LIMIT}, got {len(patch)}"
        )
        raise ApiError(413, "RequestEntityTooLarge", message, None)


def _no_operations(value: Any, where: str) -> ApiError:
    return statuses.bad_request(
        f"error decoding patch: json: cannot unmarshal {loading.json_kind(value)} "
        f"into Go {where}"
    )


def _json_patched(current: dict[str, Any], patch: list[dict[str, Any] | None]) -> Any:
    document: Any = copy.deepcopy(current)
    try:
        for operation in patch:
            document = _operated(document, operation or {})
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
        # As there, a value that is not given counts as null.
        return _added(document, path, copy.deepcopy(operation.get("value")))
    if kind == "replace":
        return _replaced(document, path, copy.deepcopy(operation.get("value")))
    source = _pointer(operation["from"])
    value = copy.deepcopy(_at(document, source))
    if kind == "move":
        document = _removed(document, source)
    elif kind != "copy":
        raise _UnfitError
    return _added(document, path, value)


def _pointer(text: str | None) -> list[str]:
    if text == "":
        return []
    if text is None or not text.startswith("/"):
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
