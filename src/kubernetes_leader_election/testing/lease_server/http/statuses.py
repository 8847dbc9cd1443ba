"""
Answers of the API server that are not objects: the ``Status`` in all its forms.

Every refusal inside the server is an :class:`ApiError`; the one place that turns it
into bytes is the application. The builders below know the exact texts, because clients
in the wild look at them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kubernetes_leader_election.testing.lease_server.api.resources import Resource

__all__ = ["ApiError", "Cause", "FieldError", "encode"]


def encode(document: Any) -> bytes:
    """Write compact JSON, as the real server does, ending in a newline."""
    return _ENCODER.encode(document).encode() + b"\n"


_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One entry of ``details.causes``."""

    reason: str
    message: str
    field: str = ""

    def document(self) -> dict[str, str]:
        """Return the cause as it stands on the wire."""
        document = {"reason": self.reason, "message": self.message}
        if self.field:
            document["field"] = self.field
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """One finding of validation: a path, a kind of finding and a sentence."""

    reason: str
    path: str
    detail: str

    def __str__(self) -> str:
        return f"{self.path}: {self.detail}"

    @classmethod
    def invalid(cls, path: str, value: Any, detail: str) -> FieldError:
        """Refuse ``value`` at ``path``."""
        text = f"Invalid value: {_go_value(value)}: {detail}"
        return cls(reason="FieldValueInvalid", path=path, detail=text)

    @classmethod
    def required(cls, path: str, detail: str) -> FieldError:
        """Say that a value is missing."""
        text = f"Required value: {detail}" if detail else "Required value"
        return cls(reason="FieldValueRequired", path=path, detail=text)

    @classmethod
    def forbidden(cls, path: str, detail: str) -> FieldError:
        """Say that the field must not be set here."""
        return cls(
            reason="FieldValueForbidden", path=path, detail=f"Forbidden: {detail}"
        )

    @classmethod
    def unsupported(cls, path: str, value: Any, supported: Iterable[str]) -> FieldError:
        """Say which few values are allowed."""
        allowed = ", ".join(f'"{one}"' for one in supported)
        text = f"Unsupported value: {_go_value(value)}: supported values: {allowed}"
        return cls(reason="FieldValueNotSupported", path=path, detail=text)


def _go_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        return str(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@dataclass(eq=False)
class ApiError(Exception):
    """
    A refusal, with everything its answer needs.

    ``details`` is None where the real server leaves the key out. ``plain`` holds the
    body of the few answers that are text instead of a ``Status``.
    """

    code: int
    reason: str
    message: str
    details: Mapping[str, Any] | None = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    plain: str | None = None
    list_metadata: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.code} {self.reason}: {self.message}"

    def document(self) -> dict[str, Any]:
        """Return the ``Status`` as it stands on the wire."""
        document: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": dict(self.list_metadata),
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            document["reason"] = self.reason
        if self.details is not None:
            document["details"] = dict(self.details)
        document["code"] = self.code
        return document


def _about(resource: Resource, name: str, *, kind: str | None = None) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if resource.group:
        details["group"] = resource.group
    details["kind"] = kind or resource.plural
    return details


def not_found(resource: Resource, name: str) -> ApiError:
    """Say that there is no such object."""
    message = f'{resource.qualified} "{name}" not found'
    return ApiError(404, "NotFound", message, _about(resource, name))


def already_exists(
    resource: Resource, name: str, *, being_deleted: bool = False
) -> ApiError:
    """Refuse to create what is there."""
    message = f'{resource.qualified} "{name}" already exists'
    if being_deleted:
        message = f"object is being deleted: {message}"
    return ApiError(409, "AlreadyExists", message, _about(resource, name))


MODIFIED = (
    "the object has been modified; please apply your changes to the latest version "
    "and try again"
)


def conflict(resource: Resource, name: str, why: str = MODIFIED) -> ApiError:
    """Refuse a write made on another version than the present one."""
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return ApiError(409, "Conflict", message, _about(resource, name))


def uid_conflict(
    resource: Resource, namespace: str, name: str, asked: str, found: str
) -> ApiError:
    """Refuse a write meant for an object of another uid."""
    key = "/".join(
        part for part in ("", "registry", resource.plural, namespace) if part
    )
    why = (
        f"StorageError: invalid object, Code: 4, Key: /{key}/{name}, "
        f"ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: "
        f"UID in precondition: {asked}, UID in object meta: {found}"
    )
    return conflict(resource, name, why)


def invalid(
    resource: Resource,
    name: str,
    errors: Iterable[FieldError],
    *,
    kind: str | None = None,
) -> ApiError:
    """Refuse an object that breaks rules, with one cause for each."""
    found = list(errors)
    texts = list(dict.fromkeys(str(one) for one in found))
    text = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    shown = kind or resource.kind
    qualified = f"{shown}.{resource.group}" if resource.group else shown
    details = _about(resource, name, kind=shown)
    details["causes"] = [
        Cause(reason=one.reason, message=one.detail, field=one.path).document()
        for one in found
    ]
    message = f'{qualified} "{name}" is invalid: {text}'
    return ApiError(422, "Invalid", message, details)


def invalid_options(kind: str, errors: Iterable[FieldError]) -> ApiError:
    """Refuse query parameters that decode but make no sense."""
    options = Resource(group="meta.k8s.io", version="v1", plural="", kind=kind)
    return invalid(options, "", errors)


def bad_request(message: str) -> ApiError:
    """Refuse what cannot be understood."""
    return ApiError(400, "BadRequest", message, None)


def unsupported_media_type(accepted: Iterable[str]) -> ApiError:
    """Refuse a body in a format the server does not read."""
    message = (
        "the body of the request was in an unknown format - accepted media types "
        f"include: {', '.join(accepted)}"
    )
    return ApiError(415, "UnsupportedMediaType", message, None)


def unsupported_patch() -> ApiError:
    """Refuse a patch in a language the server does not know."""
    message = "415: Unsupported Media Type"
    return ApiError(415, "UnsupportedMediaType", message, {})


def unreadable_patch(shown: str, why: str) -> ApiError:
    """Refuse a patch that makes something else than an object of the resource."""
    found = FieldError.invalid("patch", shown, why)
    cause = Cause(reason=found.reason, message=found.detail, field=found.path)
    details = {"causes": [cause.document()]}
    return ApiError(422, "Invalid", f' "" is invalid: {found}', details)


def not_acceptable(available: Iterable[str]) -> ApiError:
    """Say that none of the formats asked for can be written."""
    message = (
        f"406: Not Acceptable\n\nAvailable representations: {', '.join(available)}"
    )
    return ApiError(406, "NotAcceptable", message, {})


def not_acceptable_here(accepted: Iterable[str]) -> ApiError:
    """Say that the format asked for exists, and this request cannot have it."""
    message = f"only the following media types are accepted: {', '.join(accepted)}"
    return ApiError(406, "NotAcceptable", message, None)


def too_large(limit: int) -> ApiError:
    """Refuse a body above the limit, in bytes."""
    message = f"Request entity too large: limit is {limit}"
    return ApiError(413, "RequestEntityTooLarge", message, None)


def method_not_allowed() -> ApiError:
    """Refuse a method the path does not have."""
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message, {})


def no_such_resource() -> ApiError:
    """Say that the group is known and the resource is not."""
    message = "the server could not find the requested resource"
    return ApiError(404, "NotFound", message, {})


def unknown_path() -> ApiError:
    """Answer a path that no part of the server has: plain text."""
    text = "404 page not found"
    return ApiError(404, "NotFound", text, {}, plain=f"{text}\n")


def unauthorized() -> ApiError:
    """Refuse an unknown token."""
    return ApiError(401, "Unauthorized", "Unauthorized", None)


def forbidden(resource: Resource | None, name: str, why: str) -> ApiError:
    """Refuse what no rule allows."""
    if resource is None:
        return ApiError(403, "Forbidden", f"forbidden: {why}", {})
    about = f'{resource.qualified} "{name}"' if name else resource.qualified
    message = f"{about} is forbidden: {why}"
    return ApiError(403, "Forbidden", message, _about(resource, name))


def internal(message: str) -> ApiError:
    """Fail the way unforeseen errors do: 500 and no reason."""
    return ApiError(500, "", message, None)


def unforeseen(error: Exception) -> ApiError:
    """Own up to a defect of the server."""
    what = f"{type(error).__name__}: {error}"
    details = {"causes": [{"message": what}]}
    return ApiError(500, "InternalError", f"Internal error occurred: {what}", details)


def expired(message: str, *, continue_token: str = "") -> ApiError:
    """Say that the history asked for is gone."""
    metadata = {"continue": continue_token} if continue_token else {}
    return ApiError(410, "Expired", message, None, list_metadata=metadata)


def version_from_the_future(asked: int, current: int) -> ApiError:
    """Say that the server has not seen that resourceVersion yet."""
    message = f"Too large resource version: {asked}, current: {current}"
    details = {
        "causes": [
            {
                "reason": "ResourceVersionTooLarge",
                "message": "Too large resource version",
            }
        ],
        "retryAfterSeconds": 1,
    }
    headers = {"Retry-After": "1"}
    return ApiError(504, "Timeout", f"Timeout: {message}", details, headers)


def storage_timeout() -> ApiError:
    """Give up on a write the storage does not answer."""
    message = (
        "Timeout: request did not complete within requested timeout - "
        "context deadline exceeded"
    )
    return ApiError(504, "Timeout", message, {})


def asked_timeout() -> ApiError:
    """Give up at the ``timeout=`` of the request: text that looks like JSON."""
    message = "Timeout: request did not complete within the allotted timeout"
    document = {
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": "Timeout",
        "details": {},
        "code": 504,
    }
    return ApiError(504, "Timeout", message, {}, plain=encode(document).decode())


def too_many_requests(retry_after: int = 1) -> ApiError:
    """Shed load: plain text, with a hint when to come again."""
    text = "Too many requests, please try again later."
    headers = {"Retry-After": str(retry_after)}
    return ApiError(429, "TooManyRequests", text, {}, headers, plain=f"{text}\n")
