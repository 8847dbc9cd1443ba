"""
Read a request body into a typed object, the way Go's decoder would.

A field of a wrong type is refused with 400. A field nobody knows, a field written in
another case and a field given twice are *strict* findings: dropped, and reported as
warnings or as an error, as the request asked. What comes out holds known fields only,
in the order the real server writes them, without the empty ones it leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from kubernetes_leader_election.testing.lease_server.api.kinds import is_known
from kubernetes_leader_election.testing.lease_server.api.loading import (
    DuplicateKeys,
    FloatLiteral,
    json_kind,
    load_json,
    load_yaml,
)
from kubernetes_leader_election.testing.lease_server.api.resources import (
    EVENTS,
    KEPT,
    LEASES,
    NAMESPACES,
    SLICES,
    Resource,
)
from kubernetes_leader_election.testing.lease_server.http import statuses
from kubernetes_leader_election.testing.lease_server.kubectl import go_time

__all__ = ["Decoded", "TypeMismatchError", "decode", "typed"]

MAX_INT32: Final = 2**31 - 1
MAX_INT64: Final = 2**63 - 1


_INDEX: Final = re.compile(r"\[\d+\]")


class TypeMismatchError(ValueError):
    """A JSON value of another type than the field has; the text is Go's."""


Value = TypeVar("Value")
Read = Callable[[Any, str, str, "_Findings"], Value]
"""Read a value: what it is, the type it is in, its path, and what was odd."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a type: how its value is read, and when it is left out."""

    read: Read[Any]
    keep_empty: bool = False


Schema = Mapping[str, Field]


@dataclass(slots=True)
class _Findings:
    """What was odd while reading: the first wrong type and all strict findings."""

    mismatch: str | None = None
    strict: list[str] = field(default_factory=list)

    def wrong(self, value: Any, owner: str, path: str, wanted: str) -> None:
        """Remember the first value of a wrong type; reading goes on."""
        if self.mismatch is None:
            name = _INDEX.sub("", path)
            self.mismatch = (
                f"json: cannot unmarshal {json_kind(value)} into Go struct field "
                f"{owner}.{name} of type {wanted}"
            )


def _string(value: Any, owner: str, path: str, findings: _Findings) -> str:
    if isinstance(value, str):
        return value
    findings.wrong(value, owner, path, "string")
    return ""


def _boolean(value: Any, owner: str, path: str, findings: _Findings) -> bool | None:
    if isinstance(value, bool):
        return value
    findings.wrong(value, owner, path, "bool")
    return None


def _integer(limit: int, name: str) -> Read[int | None]:
    def read(value: Any, owner: str, path: str, findings: _Findings) -> int | None:
        if isinstance(value, int) and not isinstance(value, bool):
            if -limit - 1 <= value <= limit:
                return value
            text = f"number {value}"
        elif isinstance(value, FloatLiteral):
            text = f"number {value.text}"
        else:
            text = json_kind(value)
        if findings.mismatch is None:
            findings.mismatch = (
                f"json: cannot unmarshal {text} into Go struct field "
                f"{owner}.{path} of type {name}"
            )
        return None

    return read


def _time(
    parse: Callable[[str], str | None],
) -> Read[str | None]:
    def read(value: Any, owner: str, path: str, findings: _Findings) -> str | None:
        if not isinstance(value, str):
            findings.wrong(value, owner, path, "string")
            return None
        return parse(value)

    return read


def _strings(value: Any, owner: str, path: str, findings: _Findings) -> list[str]:
    if not isinstance(value, list):
        findings.wrong(value, owner, path, "[]string")
        return []
    return [_string(one or "", owner, path, findings) for one in value]


def _string_map(
    value: Any, owner: str, path: str, findings: _Findings
) -> dict[str, str]:
    if not isinstance(value, dict):
        findings.wrong(value, owner, path, "map[string]string")
        return {}
    _note_duplicates(value, path, findings)
    return {
        key: "" if one is None else _string(one, owner, path, findings)
        for key, one in sorted(value.items())
    }


def _raw(value: Any, _owner: str, _path: str, _findings: _Findings) -> Any:
    return value


def _note_duplicates(value: dict[str, Any], path: str, findings: _Findings) -> None:
    if isinstance(value, DuplicateKeys):
        prefix = f"{path}." if path else ""
        findings.strict.extend(
            f'duplicate field "{prefix}{key}"' for key in value.duplicates
        )


def _struct(name: str, schema: Schema) -> Read[dict[str, Any]]:
    places = {
        key: (place, one.read, one.keep_empty)
        for place, (key, one) in enumerate(schema.items())
    }

    def read(value: Any, owner: str, path: str, findings: _Findings) -> dict[str, Any]:
        if not isinstance(value, dict):
            findings.wrong(value, owner, path, f"v1.{name}")
            return {}
        _note_duplicates(value, path, findings)
        prefix = f"{path}." if path else ""
        result: dict[str, Any] = {}
        latest, ordered = -1, True
        for key, given in value.items():
            known = places.get(key)
            if known is None:
                findings.strict.append(f'unknown field "{prefix}{key}"')
            elif given is not None:
                place, read_field, keep_empty = known
                parsed = read_field(given, name, prefix + key, findings)
                if parsed or keep_empty:
                    result[key] = parsed
                    ordered = ordered and place > latest
                    latest = place
        if ordered:
            return result
        return {key: result[key] for key in schema if key in result}

    return read


def _structs(name: str, schema: Schema) -> Read[list[dict[str, Any]]]:
    read_one = _struct(name, schema)

    def read(
        value: Any, owner: str, path: str, findings: _Findings
    ) -> list[dict[str, Any]]:
        if not isinstance(value, list):
            findings.wrong(value, owner, path, f"[]v1.{name}")
            return []
        return [
            read_one(one or {}, owner, f"{path}[{index}]", findings)
            for index, one in enumerate(value)
        ]

    return read


_TEXT = Field(_string)
_SECONDS = Field(_time(go_time.time_to_seconds))
_TIME_KEPT = Field(_time(go_time.micro_time), keep_empty=True)
_INT32 = Field(_integer(MAX_INT32, "int32"), keep_empty=True)
_INT64 = Field(_integer(MAX_INT64, "int64"))
_FLAG = Field(_boolean, keep_empty=True)

OWNER_REFERENCE: Schema = {
    "apiVersion": Field(_string, keep_empty=True),
    "kind": Field(_string, keep_empty=True),
    "name": Field(_string, keep_empty=True),
    "uid": Field(_string, keep_empty=True),
    "controller": _FLAG,
    "blockOwnerDeletion": _FLAG,
}
MANAGED_FIELDS: Schema = {
    "manager": _TEXT,
    "operation": _TEXT,
    "apiVersion": _TEXT,
    "time": _SECONDS,
    "fieldsType": _TEXT,
    "fieldsV1": Field(_raw, keep_empty=True),
    "subresource": _TEXT,
}
OBJECT_META: Schema = {
    "name": _TEXT,
    "generateName": _TEXT,
    "namespace": _TEXT,
    "selfLink": _TEXT,
    "uid": _TEXT,
    "resourceVersion": _TEXT,
    "generation": _INT64,
    "creationTimestamp": _SECONDS,
    "deletionTimestamp": _SECONDS,
    "deletionGracePeriodSeconds": Field(_integer(MAX_INT64, "int64"), keep_empty=True),
    "labels": Field(_string_map),
    "annotations": Field(_string_map),
    "ownerReferences": Field(_structs("OwnerReference", OWNER_REFERENCE)),
    "finalizers": Field(_strings),
    # An empty list is an order of its own here: to forget all managers.
    "managedFields": Field(
        _structs("ManagedFieldsEntry", MANAGED_FIELDS), keep_empty=True
    ),
}
LEASE_SPEC: Schema = {
    "holderIdentity": Field(_string, keep_empty=True),
    "leaseDurationSeconds": _INT32,
    "acquireTime": _TIME_KEPT,
    "renewTime": _TIME_KEPT,
    "leaseTransitions": _INT32,
    "strategy": Field(_string, keep_empty=True),
    "preferredHolder": Field(_string, keep_empty=True),
}


def _object(parts: Schema) -> Schema:
    return {
        "kind": _TEXT,
        "apiVersion": _TEXT,
        "metadata": Field(_struct("ObjectMeta", OBJECT_META), keep_empty=True),
        **parts,
    }


SCHEMAS: dict[Resource, Schema] = {
    LEASES: _object({"spec": Field(_struct("LeaseSpec", LEASE_SPEC), keep_empty=True)}),
    NAMESPACES: _object(
        {
            "spec": Field(
                _struct("NamespaceSpec", {"finalizers": Field(_strings)}),
                keep_empty=True,
            ),
            "status": Field(
                _struct("NamespaceStatus", {"phase": _TEXT, "conditions": Field(_raw)}),
                keep_empty=True,
            ),
        },
    ),
    **dict.fromkeys(KEPT, _object({})),
}


_READERS: Final = {
    resource: _struct(resource.kind, schema) for resource, schema in SCHEMAS.items()
}


@dataclass(frozen=True, slots=True)
class Decoded:
    """An object as the server understands it, and what it dropped on the way."""

    document: dict[str, Any]
    strict: tuple[str, ...] = ()


def typed(resource: Resource, value: Any) -> Decoded:
    """
    Read a JSON value as an object of the resource's type.

    Raises:
        TypeMismatchError: A value has a wrong type; the text is Go's.
        ValueError: A time is not of the accepted form.
    """
    findings = _Findings()
    kept = {}
    if resource.kept and isinstance(value, dict):
        schema = SCHEMAS[resource]
        kept = {key: one for key, one in value.items() if key not in schema}
        value = {key: one for key, one in value.items() if key in schema}
    document = _READERS[resource](value, resource.kind, "", findings)
    if findings.mismatch is not None:
        raise TypeMismatchError(findings.mismatch)
    document.setdefault("metadata", {})
    if resource.kept:
        document.update(_plain(kept))
    if not resource.kept or resource.status:
        document.setdefault("spec", {})
    if resource.status:
        _check_parts(resource, document)
    for part, (kind, name) in _FORMS.get(resource, {}).items():
        _check_form(resource, part, document.get(part), kind, name)
    if resource is NAMESPACES:
        document.setdefault("status", {})
    return Decoded(document, tuple(findings.strict))


_FORMS: Final[dict[Resource, dict[str, tuple[type, str]]]] = {
    SLICES: {
        "addressType": (str, "v1.AddressType"),
        "endpoints": (list, "v1.Endpoint"),
        "ports": (list, "v1.EndpointPort"),
    },
    EVENTS: {
        "involvedObject": (dict, "v1.ObjectReference"),
        "source": (dict, "v1.EventSource"),
        "message": (str, "string"),
        "reason": (str, "string"),
        "type": (str, "string"),
        "reportingComponent": (str, "string"),
        "reportingInstance": (str, "string"),
    },
}
"""The parts of kinds that are only kept whose form is judged, with what Go calls them."""


def _check_form(
    resource: Resource, part: str, value: Any, kind: type, name: str
) -> None:
    field = f"{resource.kind}.{part}"
    wrong = None if value is None or isinstance(value, kind) else value
    if isinstance(value, list) and kind is list:
        wrong = next((one for one in value if not isinstance(one, dict)), None)
    elif kind is list:
        name = f"[]{name}"
    if wrong is not None:
        raise TypeMismatchError(
            f"json: cannot unmarshal {json_kind(wrong)} into Go struct field {field} of "
            f"type {name}"
        )


def _check_parts(resource: Resource, document: dict[str, Any]) -> None:
    for part in ("spec", "status"):
        if not isinstance(document.get(part, {}), dict):
            kind = json_kind(document[part])
            field = f"{resource.kind}.{part}"
            name = f"{resource.version}.{resource.kind}{part.title()}"
            raise TypeMismatchError(
                f"json: cannot unmarshal {kind} into Go struct field {field} of type "
                f"{name}"
            )


def _plain(value: Any) -> Any:
    """Return a value without the marks of its reading."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return float(value.text) if isinstance(value, FloatLiteral) else value


def _summary(body: bytes) -> str:
    if not body:
        return "<empty>"
    readable = body.startswith(b"{")
    shown = body[:30].decode(errors="replace") if readable else body[:30].hex()
    return shown + " ..." if len(body) > 30 else shown


def decode(resource: Resource, body: bytes, *, form: str = "json") -> Decoded:
    """
    Read a request body.

    Raises:
        ApiError: 400, with the text the real server gives.
    """
    load = load_yaml if form == "yaml" else load_json
    try:
        value = load(body)
    except ValueError as error:
        why = f"couldn't get version/kind; json parse error: {error}"
        raise _unrecognized(resource, why, body) from error
    if not isinstance(value, dict):
        why = (
            f"couldn't get version/kind; json parse error: json: cannot unmarshal "
            f"{json_kind(value)} into Go value of type struct {{ APIVersion string "
            '"json:\\"apiVersion,omitempty\\""; Kind string '
            '"json:\\"kind,omitempty\\"" }'
        )
        if value is None:
            value = {}
        else:
            raise _unrecognized(resource, why, body)
    _check_kind(resource, value, body)
    try:
        return typed(resource, value)
    except ValueError as error:
        raise cannot_be_handled(resource, str(error)) from error


def cannot_be_handled(resource: Resource, why: str) -> statuses.ApiError:
    """Refuse a body that is no object of the resource."""
    return statuses.bad_request(
        f'{resource.kind} in version "{resource.version}" cannot be handled as a '
        f"{resource.kind}: {why}"
    )


def _unrecognized(resource: Resource, why: str, body: bytes) -> statuses.ApiError:
    return statuses.bad_request(
        f"the object provided is unrecognized (must be of type {resource.kind}): "
        f"{why} ({_summary(body)})"
    )


OLD_VERSIONS = frozenset(
    f"coordination.k8s.io/{version}" for version in ("v1beta1", "v1alpha1", "v1alpha2")
)


def _check_kind(resource: Resource, value: dict[str, Any], body: bytes) -> None:
    for key in ("kind", "apiVersion"):
        given = value.get(key)
        if given is not None and not isinstance(given, str):
            why = (
                "couldn't get version/kind; json parse error: json: cannot unmarshal "
                f"{json_kind(given)} into Go struct field .{key} of type string"
            )
            raise _unrecognized(resource, why, body)
    kind = value.get("kind") or resource.kind
    version = value.get("apiVersion") or resource.api_version
    if kind == resource.kind and version == resource.api_version:
        return
    if kind == "Lease" and version in OLD_VERSIONS:
        raise statuses.bad_request(
            f"the API version in the data ({version}) does not match the expected API "
            f"version ({resource.api_version})"
        )
    if version.count("/") > 1:
        raise _unrecognized(
            resource, f"unexpected GroupVersion string: {version}", body
        )
    short = version.rpartition("/")[2]
    if is_known(kind, version):
        package = resource.group.partition(".")[0] or "core"
        why = (
            f"converting ({short}.{kind}) to ({package}.{resource.kind}): unknown "
            "conversion"
        )
    else:
        why = (
            f'no kind "{kind}" is registered for version "{version}" in scheme '
            '"pkg/runtime/scheme.go:111"'
        )
    raise statuses.bad_request(
        f'{kind} in version "{short}" cannot be handled as a {resource.kind}: {why}'
    )
