"""
The rules an object must keep beyond its types: answers 422 with one cause a finding.

Pure functions from documents to lists of findings. What the real server checks twice
(and so reports twice) is reported once here: nobody counts causes.
"""

from __future__ import annotations

import re
from typing import Any

from kubernetes_leader_election.testing.lease_server.api import (
    endpoint_slices,
    event_objects,
)
from kubernetes_leader_election.testing.lease_server.api.pods import spec_findings
from kubernetes_leader_election.testing.lease_server.api.resources import (
    EVENTS,
    LEASES,
    PODS,
    SLICES,
    Resource,
)
from kubernetes_leader_election.testing.lease_server.http.statuses import FieldError

__all__ = ["label_value", "qualified_name", "validate_create", "validate_update"]

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.ASCII)
_DNS_LABEL = re.compile(_LABEL, re.ASCII)
_NAME_PART = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", re.ASCII)

SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric "
    "characters, '-' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters "
    "or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  "
    "or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
NAME_PART_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or "
    "'123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, "
    "'-', '_' or '.', and must start and end with an alphanumeric character (e.g. "
    "'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
ANNOTATIONS_LIMIT = 256 * 1024
IMMUTABLE = "field is immutable"


def validate_create(resource: Resource, document: dict[str, Any]) -> list[FieldError]:
    """Judge an object about to be created."""
    found = _metadata(resource, document["metadata"])
    if resource is LEASES:
        found += lease_spec(document["spec"])
    if resource is PODS:
        found += spec_findings(document["spec"])
    if resource is SLICES:
        found += endpoint_slices.findings(document)
    if resource is EVENTS:
        found += event_objects.findings(document)
    return found


def validate_update(
    resource: Resource, document: dict[str, Any], existing: dict[str, Any]
) -> list[FieldError]:
    """Judge an object about to replace ``existing``."""
    new, old = document["metadata"], existing["metadata"]
    found = _metadata(resource, new)
    for key in ("uid", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if new.get(key) != old.get(key):
            shown = new.get(key)
            found.append(FieldError.invalid(f"metadata.{key}", shown, IMMUTABLE))
    added = [
        one for one in new.get("finalizers", ()) if one not in old.get("finalizers", ())
    ]
    if old.get("deletionTimestamp") and added:
        text = "no new finalizers can be added if the object is being deleted, "
        text += f"found new finalizers []string{{{_quoted_list(added)}}}"
        found.append(FieldError.forbidden("metadata.finalizers", text))
    if resource is LEASES:
        found += lease_spec(document["spec"])
    if resource is SLICES:
        found += endpoint_slices.findings(document, existing)
    return found


def _quoted_list(values: list[str]) -> str:
    return ", ".join(f'"{one}"' for one in values)


def lease_spec(spec: dict[str, Any]) -> list[FieldError]:
    """Judge the spec of a Lease: two numbers, hardly more."""
    found = []
    duration = spec.get("leaseDurationSeconds")
    if duration is not None and duration <= 0:
        path = "spec.leaseDurationSeconds"
        found.append(FieldError.invalid(path, duration, "must be greater than 0"))
    transitions = spec.get("leaseTransitions")
    if transitions is not None and transitions < 0:
        path = "spec.leaseTransitions"
        text = "must be greater than or equal to 0"
        found.append(FieldError.invalid(path, transitions, text))
    strategy = spec.get("strategy")
    if strategy is not None:
        found += _strategy(strategy)
    if spec.get("preferredHolder") and not strategy:
        text = "may only be specified if `strategy` is defined"
        found.append(FieldError.forbidden("spec.preferredHolder", text))
    return found


def _strategy(strategy: str) -> list[FieldError]:
    path = "spec.strategy"
    if strategy == "OldestEmulationVersion":
        return []
    if "/" not in strategy:
        text = (
            "must be a fully qualified name when it is not one of "
            "[OldestEmulationVersion]"
        )
        return [FieldError.invalid(path, strategy, text)]
    return [
        FieldError.invalid(path, strategy, text) for text in qualified_name(strategy)
    ]


def _metadata(resource: Resource, metadata: dict[str, Any]) -> list[FieldError]:
    name = metadata.get("name", "")
    found = _name(resource, name, metadata)
    for key in ("generation", "deletionGracePeriodSeconds"):
        if metadata.get(key, 0) < 0:
            text = "must be greater than or equal to 0"
            found.append(FieldError.invalid(f"metadata.{key}", metadata[key], text))
    found += labels(metadata.get("labels", {}), "metadata.labels")
    found += _annotations(metadata.get("annotations", {}))
    found += _owner_references(metadata.get("ownerReferences", ()))
    for finalizer in metadata.get("finalizers", ()):
        found += [
            FieldError.invalid("metadata.finalizers", finalizer, text)
            for text in qualified_name(finalizer)
        ]
    return found + _managed_fields(metadata.get("managedFields", ()))


def _managed_fields(entries: Any) -> list[FieldError]:
    found = []
    for index, entry in enumerate(entries):
        path = f"metadata.managedFields[{index}]"
        operation = entry.get("operation")
        if not operation:
            found.append(FieldError.required(f"{path}.operation", "must not be empty"))
        elif operation not in {"Apply", "Update"}:
            allowed = ("Apply", "Update")
            where = f"{path}.operation"
            found.append(FieldError.unsupported(where, operation, allowed))
        kind = entry.get("fieldsType")
        if kind and kind != "FieldsV1":
            where = f"{path}.fieldsType"
            found.append(FieldError.invalid(where, kind, "must be `FieldsV1`"))
    return found


def _name(resource: Resource, name: str, metadata: dict[str, Any]) -> list[FieldError]:
    if not name:
        if metadata.get("generateName"):
            return []
        text = "name or generateName is required"
        return [FieldError.required("metadata.name", text)]
    if resource.namespaced:
        limit, rule, pattern = 253, SUBDOMAIN_RULE, _SUBDOMAIN
    else:
        limit, rule, pattern = 63, LABEL_RULE, _DNS_LABEL
    texts = []
    if len(name.encode()) > limit:
        texts.append(f"must be no more than {limit} characters")
    if not resource.namespaced and "." in name:
        texts.append("must not contain dots")
    elif not pattern.fullmatch(name):
        texts.append(rule)
    return [FieldError.invalid("metadata.name", name, text) for text in texts]


def qualified_name(name: str) -> list[str]:
    """Say what is wrong with a label key or a finalizer."""
    prefix, slash, short = name.rpartition("/")
    texts = []
    if slash:
        if "/" in prefix:
            return [
                "a valid label key "
                + NAME_PART_RULE.removeprefix("name part ")
                + " with an optional DNS subdomain prefix and '/' "
                "(e.g. 'example.com/MyName')"
            ]
        if not prefix:
            texts.append("prefix part must be non-empty")
        elif not _SUBDOMAIN.fullmatch(prefix):
            texts.append(f"prefix part {SUBDOMAIN_RULE}")
    if not short:
        texts.append("name part must be non-empty")
    elif len(short) > 63:
        texts.append("name part must be no more than 63 bytes")
    if not _NAME_PART.fullmatch(short):
        texts.append(NAME_PART_RULE)
    return texts


def labels(given: dict[str, str], path: str) -> list[FieldError]:
    """Judge labels: keys are qualified names, values are short words."""
    found = []
    for key, value in given.items():
        found += [FieldError.invalid(path, key, text) for text in qualified_name(key)]
        found += [FieldError.invalid(path, value, text) for text in label_value(value)]
    return found


def label_value(value: str) -> list[str]:
    """Say what is wrong with the value of a label."""
    texts = []
    if len(value.encode()) > 63:
        texts.append("must be no more than 63 bytes")
    if value and not _NAME_PART.fullmatch(value):
        texts.append(VALUE_RULE)
    return texts


def _annotations(given: dict[str, str]) -> list[FieldError]:
    path = "metadata.annotations"
    found = []
    for key in given:
        texts = qualified_name(key.lower())
        found += [FieldError.invalid(path, key, text) for text in texts]
    size = sum(len(key.encode()) + len(value.encode()) for key, value in given.items())
    if size > ANNOTATIONS_LIMIT:
        detail = f"Too long: may not be more than {ANNOTATIONS_LIMIT} bytes"
        found.append(FieldError(reason="FieldValueTooLong", path=path, detail=detail))
    return found


def _owner_references(references: Any) -> list[FieldError]:
    found = []
    first = ""
    for index, reference in enumerate(references):
        path = f"metadata.ownerReferences[{index}]"
        for key in ("apiVersion", "kind", "name", "uid"):
            if not reference.get(key):
                where = f"{path}.{key}"
                found.append(FieldError.required(where, "must not be empty"))
            elif key == "apiVersion" and reference[key].count("/") > 1:
                text = "must be <group>/<version> or <version>"
                found.append(FieldError.invalid(f"{path}.{key}", reference[key], text))
        if not reference.get("controller"):
            continue
        controller = f"{reference.get('kind', '')}/{reference.get('name', '')}"
        if not first:
            first = controller
            continue
        text = (
            'Only one reference can have Controller set to true. Found "true" in '
            f"references for {first} and {controller}"
        )
        where = "metadata.ownerReferences"
        found.append(FieldError.invalid(where, list(references), text))
    return found
