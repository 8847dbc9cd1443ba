"""
Server-side apply: a client says which fields it wants, the server keeps the books.

What a manager left out since its last apply is removed, unless another one owns it
too. What another manager set to another value is a conflict, unless forced.

Who went over from a plain `kubectl apply` has an annotation with what it last applied:
what still stands there as applied is no conflict to kubectl, and the annotation follows.
"""

from __future__ import annotations

import json
from typing import Any

from kubernetes_leader_election.testing.lease_server.api import decoding, loading
from kubernetes_leader_election.testing.lease_server.api.decoding import Decoded
from kubernetes_leader_election.testing.lease_server.api.managed_fields import (
    Managers,
    Path,
    body_of,
    leaves,
)
from kubernetes_leader_election.testing.lease_server.api.registry import WriteOptions
from kubernetes_leader_election.testing.lease_server.api.resources import Resource
from kubernetes_leader_election.testing.lease_server.http import statuses
from kubernetes_leader_election.testing.lease_server.http.statuses import ApiError
from kubernetes_leader_election.testing.lease_server.kubectl.go_time import (
    write_seconds,
)

__all__ = ["applied", "last_applied", "read_configuration"]

_BEFORE = "before-first-apply"
_KUBECTL = "kubectl"
"""The manager for whom plain and server-side apply are the same hand."""
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def last_applied(body: bytes) -> str:
    """Return what a configuration is noted as, for the next plain `kubectl apply`."""
    value = loading.load_yaml(body)
    metadata = dict(value.get("metadata") or {})
    if isinstance(metadata.get("annotations"), dict):
        kept = metadata["annotations"].items()
        metadata["annotations"] = {k: one for k, one in kept if k != _LAST_APPLIED}
    document = {**value, "metadata": metadata}
    text = json.dumps(
        document,
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        default=lambda literal: float(literal.text),
    )
    for character in "&<>":  # Go thinks of browsers
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f"{text}\n"


def read_configuration(resource: Resource, body: bytes) -> Decoded:
    """
    Read the body of an apply, YAML or JSON.

    Raises:
        ApiError: 400, it is not an object of the resource.
    """
    try:
        value = loading.load_yaml(body)
    except ValueError as error:
        message = f"error decoding patch: error converting YAML to JSON: {error}"
        raise statuses.bad_request(message) from error
    if not isinstance(value, dict):
        raise statuses.bad_request(
            "error decoding patch: error unmarshaling JSON: while decoding JSON: json: "
            f"cannot unmarshal {loading.json_kind(value)} into Go value of type "
            "map[string]interface {}"
        )
    version = value.get("apiVersion", "")
    if version != resource.api_version or value.get("kind") != resource.kind:
        if str(version).count("/") > 1:
            raise statuses.bad_request("invalid object type: /, Kind=")
        group, slash, short = str(version).rpartition("/")
        raise statuses.bad_request(
            f"invalid object type: {group}{slash or '/'}{short}, "
            f"Kind={value.get('kind', '')}"
        )
    named = value.get("metadata")
    named = named if isinstance(named, dict) else {}
    about = (
        f"({named.get('namespace', '')}/{named.get('name', '')}; "
        f"{version}, Kind={resource.kind})"
    )
    try:
        decoded = decoding.typed(resource, value)
    except RecursionError:
        message = f"failed to create typed patch object {about}: exceeded max depth"
        raise statuses.bad_request(message) from None
    except decoding.TypeMismatchError as error:
        message = f"failed to create typed patch object {about}: {error}"
        raise statuses.internal(message) from error
    except ValueError as error:
        message = (
            f"failed to convert new object {about} to proper version: unable to "
            f"convert unstructured object to {version}, Kind={resource.kind}: {error}"
        )
        raise statuses.internal(message) from error
    for found in decoded.strict:
        if found.startswith("unknown field"):
            path = found.partition('"')[2].rstrip('"')
            raise statuses.internal(
                f"failed to create typed patch object {about}: .{path}: field not "
                "declared in schema"
            )
    if decoded.document["metadata"].pop("managedFields", None) is not None:
        raise statuses.bad_request("metadata.managedFields must be nil")
    if "spec" not in value and "spec" in decoded.document:
        del decoded.document["spec"]
    for key in ("labels", "annotations", "finalizers", "ownerReferences"):
        if named.get(key) in ({}, []):
            # Reading drops it, but whoever applies it owns that it is there.
            decoded.document["metadata"][key] = named[key]
    return decoded


def applied(
    resource: Resource,
    name: str,
    live: dict[str, Any] | None,
    config: dict[str, Any],
    options: WriteOptions,
    *,
    force: bool,
    note: str,
) -> dict[str, Any]:
    """
    Return the object an apply makes of the live one.

    ``note`` is the configuration as :func:`last_applied` has it.

    Raises:
        ApiError: 409, other managers own fields this one sets otherwise.
    """
    given = config["metadata"]
    if live is None and given.get("uid"):
        why = (
            f"uid mismatch: the provided object specified uid {given['uid']}, and no "
            "existing object was found"
        )
        raise statuses.conflict(resource, name, why)
    version = resource.api_version
    now = write_seconds(options.now)
    known = live["metadata"].get("managedFields", []) if live else []
    managers = Managers(known)
    if live is not None and not known:
        managers.book("Update", _BEFORE, version, set(leaves(live)), now)
    wanted = leaves(config, parents=False)
    present = leaves(live) if live else {}
    taken = {
        path
        for path, value in wanted.items()
        if path in present and present[path] != value
    }
    own = set()
    if options.manager == _KUBECTL and live is not None:
        own = _applied_plainly(resource, live, present)
    _check_conflicts(managers, options.manager, taken - own, force=force)
    before = managers.fields("Apply", options.manager, version)
    dropped = before - wanted.keys()
    for _, fields in managers.others("Apply", options.manager):
        dropped -= fields
    managers.drop(taken, but=("Apply", options.manager))
    managers.book("Apply", options.manager, version, set(wanted), now)
    document = _merged(resource, live, config, dropped)
    annotations = document["metadata"].get("annotations", {})
    if options.manager == _KUBECTL and annotations.get(_LAST_APPLIED):
        annotations[_LAST_APPLIED] = note
    document["metadata"]["managedFields"] = managers.documents()
    return document


def _applied_plainly(
    resource: Resource, live: dict[str, Any], present: dict[Path, Any]
) -> set[Path]:
    """Return the fields that stand as a plain `kubectl apply` wrote them last."""
    text = live["metadata"].get("annotations", {}).get(_LAST_APPLIED, "")
    try:
        value = loading.load_json(text.encode())
        if value.get("apiVersion") != resource.api_version:
            return set()
        before = leaves(decoding.typed(resource, value).document, parents=False)
    except (ValueError, AttributeError):
        return set()  # people may write anything there
    return {path for path, one in before.items() if present.get(path) == one}


def _check_conflicts(
    managers: Managers, manager: str, taken: set[Path], *, force: bool
) -> None:
    if force:
        return
    found: list[tuple[str, str]] = []
    for (operation, name, version), fields in managers.others("Apply", manager):
        shown = json.dumps(name)
        if operation == "Update":
            shown += f" using {version}"
        found += [(shown, _dotted(path)) for path in sorted(fields & taken)]
    if not found:
        return
    if len(found) == 1:
        owner, path = found[0]
        text = f"Apply failed with 1 conflict: conflict with {owner}: {path}"
    else:
        lines: list[str] = []
        for owner in sorted({one[0] for one in found}):
            lines.append(f"conflicts with {owner}:")
            lines += [f"- {path}" for shown, path in found if shown == owner]
        text = f"Apply failed with {len(found)} conflicts: " + "\n".join(lines)
    causes = [
        statuses.Cause(
            reason="FieldManagerConflict",
            message=f"conflict with {owner}",
            field=path,
        ).document()
        for owner, path in found
    ]
    raise ApiError(409, "Conflict", text, {"causes": causes})


def _dotted(path: Path) -> str:
    text = ""
    for step in path:
        kind, _, value = step.partition(":")
        if kind == "f":
            text += f".{value}"
        elif kind == "v":
            text += f"[={value}]"
        else:
            keys = json.loads(value).items()
            text += f"[{','.join(f'{key}={json.dumps(one)}' for key, one in keys)}]"
    return text


def _merged(
    resource: Resource,
    live: dict[str, Any] | None,
    config: dict[str, Any],
    dropped: set[Path],
) -> dict[str, Any]:
    metadata = dict(live["metadata"]) if live else {}
    for key, value in config["metadata"].items():
        if isinstance(value, dict):
            metadata[key] = {**metadata.get(key, {}), **value}
        elif isinstance(value, list):
            metadata[key] = _merged_list(key, metadata.get(key, []), value)
        else:
            metadata[key] = value
    body = body_of(live) if live else {}
    for key, value in body_of(config).items():
        present = body.get(key)
        if isinstance(present, dict) and isinstance(value, dict):
            body[key] = {**present, **value}
        else:
            body[key] = value
    document = {
        "kind": resource.kind,
        "apiVersion": resource.api_version,
        "metadata": metadata,
        **body,
    }
    for path in dropped:
        _drop(document, path)
    for key in ("labels", "annotations"):
        if key in metadata and isinstance(metadata[key], dict):
            metadata[key] = dict(sorted(metadata[key].items()))
    return decoding.typed(resource, document).document


def _merged_list(key: str, present: list[Any], given: list[Any]) -> list[Any]:
    if key == "ownerReferences":
        uids = {one.get("uid") for one in given}
        return [one for one in present if one.get("uid") not in uids] + given
    return given + [one for one in present if one not in given]


def _drop(document: dict[str, Any], path: Path) -> None:
    top = path[0].removeprefix("f:")
    if len(path) < 2:
        if not isinstance(document.get(top), dict):
            document.pop(top, None)
        return
    section = document.get(top, {})
    key = path[1].partition(":")[2]
    if len(path) == 2:
        held = section.get(key)
        if not isinstance(held, dict | list):
            section.pop(key, None)
        return
    kind, _, value = path[2].partition(":")
    if kind == "f":
        kept = {
            name: one for name, one in section.get(key, {}).items() if name != value
        }
        section[key] = kept
    elif kind == "v":
        section[key] = [one for one in section.get(key, []) if one != json.loads(value)]
    else:
        uid = json.loads(value)["uid"]
        section[key] = [one for one in section.get(key, []) if one.get("uid") != uid]
