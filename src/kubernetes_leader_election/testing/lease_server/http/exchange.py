"""
One request on its way through the server, and the answer it gets.

:class:`Exchange` reads the request, :class:`Reply` is an answer as a value, and
:class:`Prepared` is a request that has been read and judged as far as it can be
without the storage: running it is one synchronous step, so that a fault can come
before it, after it, or make it happen later.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from kubernetes_leader_election.testing.lease_server.api.access import User
from kubernetes_leader_election.testing.lease_server.http import statuses
from kubernetes_leader_election.testing.lease_server.http.request_info import (
    RequestInfo,
)
from kubernetes_leader_election.testing.lease_server.http.request_log import (
    RequestRecord,
)
from kubernetes_leader_election.testing.lease_server.http.statuses import ApiError
from kubernetes_leader_election.testing.lease_server.kubectl.go_time import (
    parse_duration,
)

__all__ = ["Conversion", "Exchange", "Prepared", "Reply"]

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
READABLE = (JSON, YAML, PROTOBUF)
"""What the real server reads; protobuf is named in messages and refused here."""

STREAMS = tuple(f"{one};stream=watch" for one in (JSON, PROTOBUF))
_AT_THE_DOOR = frozenset({*READABLE, *STREAMS, "*/*"})

BODY_LIMIT = 3 * 1024 * 1024
"""Bytes; the real server's limit for a request body."""

Need = Literal["memory", "read", "write"]


@dataclass(slots=True)
class Reply:
    """An answer: status, bytes and headers."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, error: ApiError) -> Reply:
        """Turn a refusal into an answer."""
        if error.plain is not None:
            kind = "text/plain; charset=utf-8"
            headers = {"X-Content-Type-Options": "nosniff", **error.headers}
            return cls(error.code, error.plain.encode(), kind, headers)
        body = statuses.encode(error.document())
        return cls(error.code, body, headers=error.headers)

    def response(self, warnings: list[str]) -> web.Response:
        """Build the HTTP response."""
        headers: dict[str, str] = {
            "Audit-Id": str(uuid.uuid4()),
            "Cache-Control": "no-cache, private",
            "Content-Type": self.content_type,
            **self.headers,
        }
        response = web.Response(body=self.body, status=self.status, headers=headers)
        for text in warnings:
            response.headers.add("Warning", f"299 - {json.dumps(text)}")
        return response


@dataclass(slots=True)
class Prepared:
    """A request ready to run; ``needs`` says what must be up for it."""

    run: Callable[[], Reply]
    needs: Need = "memory"


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a client wants objects turned into: a table, or metadata alone."""

    kind: str
    version: str


@dataclass(slots=True)
class Accepted:
    """The outcome of looking at the Accept header."""

    form: Literal["json", "yaml"] = "json"
    conversion: Conversion | None = None


class Exchange:
    """A request that has been understood, with who sent it."""

    def __init__(
        self,
        request: web.BaseRequest,
        query: dict[str, str],
        info: RequestInfo,
        record: RequestRecord,
    ) -> None:
        self.request = request
        self.query = query
        self.info = info
        self.record = record
        self.user = User("")
        self.warnings: list[str] = []
        self.stale_versions = 0
        self.limit: float | None = None
        self.on_answer: Callable[[RequestRecord, int], None] = _ignore
        self.accepted = Accepted()

    @property
    def method(self) -> str:
        """Return the HTTP method."""
        return self.request.method

    @property
    def manager(self) -> str:
        """Return the name under which this client's fields are booked."""
        named = self.query.get("fieldManager")
        if named:
            return named
        agent = self.record.user_agent.partition("/")[0]
        return agent[:128] if agent.isprintable() else "unknown"

    @property
    def strictness(self) -> str:
        """Return what is to be made of fields nobody knows: Ignore, Strict or Warn."""
        return self.query.get("fieldValidation") or "Warn"

    @property
    def included(self) -> str:
        """Return what the rows of a table show of their objects."""
        return self.query.get("includeObject", "Metadata")

    @property
    def pretty(self) -> bool:
        """Return whether a human reads the answer."""
        if "pretty" in self.query:
            return self.query["pretty"].lower() not in {"false", "0"}
        return self.record.user_agent.startswith(("curl", "Wget", "Mozilla/5.0"))

    def deadline(self, longest: float) -> float | None:
        """
        Read ``timeout=`` in seconds; None if the client gave none.

        Raises:
            ApiError: 400, it is no Go duration.
        """
        text = self.query.get("timeout")
        if not text:
            return None
        try:
            seconds = parse_duration(text)
        except ValueError as error:
            message = f"invalid timeout specified in the request URL - {error}"
            raise statuses.bad_request(message) from error
        return seconds if 0 < seconds < longest else None

    def negotiate(self, *, stream: bool = False, convertible: bool = True) -> None:
        """
        Choose the form of the answer from the Accept header.

        Raises:
            ApiError: 406, nothing in it can be had.
        """
        header = self.request.headers.get("Accept")
        if header is None or header in {JSON, "*/*"}:
            return
        clauses = _clauses(header)
        if convertible and not any(media in _AT_THE_DOOR for media, _ in clauses):
            raise statuses.not_acceptable((*READABLE, *STREAMS))
        for media, parameters in clauses:
            chosen = _choose(media, parameters, convertible=convertible)
            if chosen is None:
                continue
            self.accepted = chosen
            if stream and chosen.form != "json":
                break
            return
        raise statuses.not_acceptable_here(STREAMS if stream else READABLE)

    async def body(self) -> bytes:
        """
        Read the request body.

        Raises:
            ApiError: 413, it is too large.
        """
        try:
            return await self.request.read()
        except web.HTTPRequestEntityTooLarge:
            raise statuses.too_large(BODY_LIMIT) from None

    def body_form(
        self, readable: Mapping[str, str] | None = None, *, protobuf: bool = False
    ) -> str:
        """
        Return the form of the body by its Content-Type: json, yaml or a patch's.

        Raises:
            ApiError: 415.
        """
        forms = readable or {JSON: "json", YAML: "yaml"}
        header = self.request.headers.get("Content-Type", "")
        media = header.partition(";")[0].strip()
        if protobuf and media == PROTOBUF:
            return "protobuf"
        if readable is not None:
            if media not in forms:
                raise statuses.unsupported_patch()
            return forms[media]
        if not media:
            return "json"
        if media.lower() not in forms:
            raise statuses.unsupported_media_type(READABLE)
        return forms[media.lower()]

    def refusal(self, error: ApiError) -> Reply:
        """Turn a refusal into an answer in the form the client asked for."""
        if error.plain is not None or self.accepted.form == "json":
            return Reply.of(error)
        return Reply(error.code, _yaml(error.document()), YAML, error.headers)

    def reply(self, document: Any, status: int = 200) -> Reply:
        """Answer with a document in the form the client asked for."""
        if self.accepted.form == "yaml":
            return Reply(status, _yaml(document), YAML)
        if self.pretty:
            text = json.dumps(document, indent=2, ensure_ascii=False)
            return Reply(status, text.encode())
        return Reply(status, statuses.encode(document))

    @property
    def plain(self) -> bool:
        """Return whether an answer may be the bytes an object is cached in."""
        accepted = self.accepted
        return (
            accepted.form == "json" and accepted.conversion is None and not self.pretty
        )


def _ignore(_record: RequestRecord, _status: int) -> None:
    """Stand in where nobody keeps a log."""


def _yaml(document: Any) -> bytes:
    import yaml  # noqa: PLC0415  # most servers never meet YAML

    text: str = yaml.safe_dump(document, sort_keys=True, allow_unicode=True)
    return text.encode()


def _clauses(header: str) -> list[tuple[str, dict[str, str]]]:
    """Read an Accept header, best quality first, else in the order given."""
    found = []
    for clause in header.split(","):
        media, *rest = (part.strip() for part in clause.split(";"))
        parameters = {}
        for one in rest:
            key, _, value = one.partition("=")
            parameters[key.strip()] = value.strip().strip('"')
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 1.0
        found.append((-quality, media, parameters))
    found.sort(key=lambda one: one[0])
    return [(media, parameters) for _, media, parameters in found]


_CONVERSIONS = {
    ("Table", "v1"),
    ("Table", "v1beta1"),
    ("PartialObjectMetadata", "v1"),
    ("PartialObjectMetadata", "v1beta1"),
    ("PartialObjectMetadataList", "v1"),
    ("PartialObjectMetadataList", "v1beta1"),
}


def _choose(
    media: str, parameters: dict[str, str], *, convertible: bool
) -> Accepted | None:
    if media in {JSON, "*/*", "application/*"}:
        accepted = Accepted("json")
    elif media == YAML:
        accepted = Accepted("yaml")
    else:
        return None
    if "as" not in parameters and "g" not in parameters:
        return accepted
    kind, version = parameters.get("as", ""), parameters.get("v", "")
    group = parameters.get("g", "")
    if not convertible or group != "meta.k8s.io" or (kind, version) not in _CONVERSIONS:
        return None
    accepted.conversion = Conversion(kind, version)
    return accepted
