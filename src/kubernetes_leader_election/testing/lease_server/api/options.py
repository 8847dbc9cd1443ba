"""The query of a request and its options, read and judged."""

from __future__ import annotations

import base64
import posixpath
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubernetes_leader_election.testing.lease_server.api import loading
from kubernetes_leader_election.testing.lease_server.api.deletion import DeleteOptions
from kubernetes_leader_election.testing.lease_server.api.registry import (
    WriteOptions,
    parse_version,
)
from kubernetes_leader_election.testing.lease_server.http import statuses
from kubernetes_leader_election.testing.lease_server.http.exchange import Exchange
from kubernetes_leader_election.testing.lease_server.http.statuses import FieldError

__all__ = [
    "Continue",
    "asked_version",
    "check_list_options",
    "delete_options",
    "integer",
    "write_options",
]

INT64 = 2**63
_VALIDATIONS = ("", "Ignore", "Strict", "Warn")


def _now() -> datetime:
    return datetime.now(UTC)


def asked_version(exchange: Exchange) -> int | None:
    """
    Read ``resourceVersion``; None where the client gave none.

    Raises:
        ApiError: 500 for what is no number, as the real server has it.
    """
    text = exchange.query.get("resourceVersion", "")
    if not text:
        return None
    try:
        return parse_version(text)
    except ValueError as error:
        found = FieldError.invalid("resourceVersion", text, str(error))
        raise statuses.internal(str(found)) from error


def integer(exchange: Exchange, key: str) -> int | None:
    """
    Read a whole number from the query.

    Raises:
        ApiError: 400.
    """
    text = exchange.query.get(key)
    if not text:
        return None
    why = "value out of range"
    try:
        number = int(text)
    except ValueError:
        why = "invalid syntax"
    else:
        if -INT64 <= number < INT64:
            return number
    raise statuses.bad_request(f'strconv.ParseInt: parsing "{text}": {why}')


def check_list_options(exchange: Exchange) -> None:
    """
    Judge the options of a list together.

    Raises:
        ApiError: 422, or 400 for a number that is none.
    """
    query = exchange.query
    integer(exchange, "timeoutSeconds")
    match = query.get("resourceVersionMatch", "")
    found = []
    path = "resourceVersionMatch"
    if match:
        if not query.get("resourceVersion"):
            text = (
                "resourceVersionMatch is forbidden unless resourceVersion is provided"
            )
            found.append(FieldError.forbidden(path, text))
        if query.get("continue"):
            text = "resourceVersionMatch is forbidden when continue is provided"
            found.append(FieldError.forbidden(path, text))
        if match not in {"Exact", "NotOlderThan"}:
            allowed = ["Exact", "NotOlderThan", ""]
            found.append(FieldError.unsupported(path, match, allowed))
        if match == "Exact" and query.get("resourceVersion") == "0":
            text = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            found.append(FieldError.forbidden(path, text))
    if query.get("sendInitialEvents"):
        text = "sendInitialEvents is forbidden for list"
        found.append(FieldError.forbidden("sendInitialEvents", text))
    if found:
        raise statuses.invalid_options("ListOptions", found)


@dataclass(frozen=True, slots=True)
class Continue:
    """
    The token of a list in pages: the version it shows, and the key it goes on from.

    Keys are those of etcd below the collection: ``name``, or ``namespace/name`` where
    the list is of all namespaces. A version of -1 stands for the present one.
    """

    version: int
    start: str

    def write(self) -> str:
        """Return the opaque text for the client."""
        content = {"v": _ENCODING, "rv": self.version, "start": f"/{self.start}"}
        encoded = base64.urlsafe_b64encode(statuses.encode(content).rstrip())
        return encoded.decode().rstrip("=")

    @classmethod
    def read(cls, token: str) -> Continue | None:
        """
        Read a token; None if there is none.

        Raises:
            ApiError: 400, with the real server's text.
        """
        if not token:
            return None
        try:
            return cls(*_read_token(token))
        except ValueError as error:
            message = f"invalid continue token: continue key is not valid: {error}"
            raise statuses.bad_request(message) from error


_ENCODING = "meta.k8s.io/v1"
_NO_BASE64 = re.compile(r"[^A-Za-z0-9_-]")


def _read_token(token: str) -> tuple[int, str]:
    """Take a token apart; ValueError says what Go says."""
    wrong = _NO_BASE64.search(token)
    if wrong is not None or len(token) % 4 == 1:
        place = len(token[: wrong.start()].encode()) if wrong else len(token) - 1
        raise ValueError(f"illegal base64 data at input byte {place}")
    content = loading.load_json(
        base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    )
    if content is not None and not isinstance(content, dict):
        raise ValueError(
            f"json: cannot unmarshal {loading.json_kind(content)} into Go value of type "
            "storage.continueToken"
        )
    given = {key: one for key, one in (content or {}).items() if one is not None}
    kinds = (("v", str, "string"), ("rv", int, "int64"), ("start", str, "string"))
    for key, kind, name in kinds:
        if key in given and type(given[key]) is not kind:
            raise ValueError(
                f"json: cannot unmarshal {loading.json_kind(given[key])} into Go struct "
                f"field continueToken.{key} of type {name}"
            )
    encoded = given.get("v", "")
    if encoded != _ENCODING:
        raise ValueError(f"server does not recognize this encoded version {encoded}")
    version, start = given.get("rv", 0), given.get("start", "")
    if version == 0:
        raise ValueError(
            f"incorrect encoded start resourceVersion (version {_ENCODING})"
        )
    if not start:
        raise ValueError(f"encoded start key empty (version {_ENCODING})")
    key = start if start.startswith("/") else f"/{start}"
    if posixpath.normpath(key) != key:
        raise ValueError(start)
    return version, key[1:]


def write_options(exchange: Exchange, kind: str, *, form: str = "") -> WriteOptions:
    """
    Read what accompanies a write; ``kind`` names the options in messages.

    Raises:
        ApiError: 422.
    """
    query = exchange.query
    found = []
    dry_run = query.get("dryRun", "")
    if dry_run not in {"", "All"}:
        found.append(FieldError.unsupported("dryRun", [dry_run], ["All"]))
    directive = query.get("fieldValidation", "")
    if directive not in _VALIDATIONS:
        found.append(FieldError.unsupported("fieldValidation", directive, _VALIDATIONS))
    manager = query.get("fieldManager", "")
    for place, character in enumerate(manager):
        if not character.isprintable():
            text = f"invalid character U+{ord(character):04X} (at position {place})"
            found.append(FieldError.invalid("fieldManager", manager, text))
    if len(manager) > 128:
        detail = "Too long: may not be more than 128 bytes"
        reason = "FieldValueTooLong"
        found.append(FieldError(reason=reason, path="fieldManager", detail=detail))
    if form == "apply" and not manager:
        text = "is required for apply patch"
        found.append(FieldError.required("fieldManager", text))
    if kind == "PatchOptions" and form != "apply" and "force" in query:
        text = "may not be specified for non-apply patch"
        found.append(FieldError.forbidden("force", text))
    if found:
        raise statuses.invalid_options(kind, found)
    return WriteOptions(
        now=_now(),
        manager=exchange.manager,
        dry_run=dry_run == "All",
        track=form != "apply",
    )


async def delete_options(exchange: Exchange) -> DeleteOptions:
    """
    Read what accompanies a deletion, from the body or else from the query.

    Raises:
        ApiError: 400 or 422.
    """
    body = await exchange.body()
    given: dict[str, Any] = {}
    if body:
        form = exchange.body_form()
        given = _read_delete_options(body, form)
    else:
        given["gracePeriodSeconds"] = integer(exchange, "gracePeriodSeconds")
        if exchange.query.get("dryRun"):
            given["dryRun"] = [exchange.query["dryRun"]]
        if exchange.query.get("propagationPolicy"):
            given["propagationPolicy"] = exchange.query["propagationPolicy"]
    found = []
    dry_run = given.get("dryRun") or []
    if any(one != "All" for one in dry_run):
        found.append(FieldError.unsupported("dryRun", dry_run, ["All"]))
    propagation = given.get("propagationPolicy")
    orphan = given.get("orphanDependents")
    if orphan is not None and propagation is not None:
        text = "orphanDependents and deletionPropagation cannot be both set"
        path = "propagationPolicy"
        found.append(FieldError.invalid(path, propagation, text))
    elif orphan:
        propagation = "Orphan"
    if propagation not in {None, "Foreground", "Background", "Orphan"}:
        allowed = ["Foreground", "Background", "Orphan", "nil"]
        path = "propagationPolicy"
        found.append(FieldError.unsupported(path, propagation, allowed))
    if found:
        raise statuses.invalid_options("DeleteOptions", found)
    preconditions = given.get("preconditions") or {}
    return DeleteOptions(
        now=_now(),
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
        propagation=propagation,
        grace=given.get("gracePeriodSeconds"),
        dry_run=bool(dry_run),
    )


def _read_delete_options(body: bytes, form: str) -> dict[str, Any]:
    load = loading.load_yaml if form == "yaml" else loading.load_json
    try:
        given = load(body)
    except ValueError as error:
        message = f"couldn't get version/kind; json parse error: {error}"
        raise statuses.bad_request(message) from error
    if not isinstance(given, dict):
        raise statuses.bad_request(
            "couldn't get version/kind; json parse error: json: cannot unmarshal "
            f"{loading.json_kind(given)} into Go value of type struct"
        )
    for key in ("kind", "apiVersion"):
        if not isinstance(given.get(key, ""), str | None):
            raise statuses.bad_request(
                "couldn't get version/kind; json parse error: json: cannot unmarshal "
                f"{loading.json_kind(given[key])} into Go struct field .{key} of type "
                "string"
            )
    kind = given.get("kind") or "DeleteOptions"
    if kind != "DeleteOptions":
        version = given.get("apiVersion", "v1")
        raise statuses.bad_request(
            f'no kind "{kind}" is registered for version "{version}" in scheme '
            '"pkg/runtime/scheme.go:111"'
        )
    shapes = (("dryRun", list), ("propagationPolicy", str), ("preconditions", dict))
    for key, shape in shapes:
        if given.get(key) is not None and not isinstance(given[key], shape):
            raise statuses.bad_request(
                f"json: cannot unmarshal into Go struct field DeleteOptions.{key}"
            )
    _check_values(given)
    return given


def _check_values(given: dict[str, Any]) -> None:
    """Refuse values of wrong types, in the words of Go."""
    preconditions = given.get("preconditions") or {}
    found = [
        ("DeleteOptions.gracePeriodSeconds", given.get("gracePeriodSeconds"), int),
        ("DeleteOptions.orphanDependents", given.get("orphanDependents"), bool),
        ("Preconditions.preconditions.uid", preconditions.get("uid"), str),
        (
            "Preconditions.preconditions.resourceVersion",
            preconditions.get("resourceVersion"),
            str,
        ),
    ]
    found += [("DeleteOptions.dryRun", one, str) for one in given.get("dryRun") or ()]
    names = {int: "int64", bool: "bool", str: "string"}
    for where, value, kind in found:
        if value is None or (
            type(value) is kind
            and not (isinstance(value, int) and not -INT64 <= value < INT64)
        ):
            continue
        raise statuses.bad_request(
            f"json: cannot unmarshal {loading.json_kind(value)} into Go struct field "
            f"{where} of type {names[kind]}"
        )
