"""Speak to a Lease API over plain HTTP, with nothing between the test and the wire."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

GROUP = "/apis/coordination.k8s.io/v1"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
LATE = 20.0
"""Seconds by which a busy machine may be late; what hangs at a real server takes longer."""
WAIT = 90.0
"""Seconds: the longest a real server keeps a client waiting, and some more."""


@dataclass(frozen=True)
class Patience:
    """How long, in seconds, the server under test waits for its storage."""

    write: float
    read: float
    future: float
    bookmark: float = 2.0
    """How long before its end a watch gets a bookmark."""


@dataclass
class Target:
    """A server under test."""

    base_url: str
    ca_file: str | None
    tokens: dict[str, str] = field(repr=False)
    embedded = False
    patience = Patience(34.0, 60.0, 3.0)

    def connect(self) -> HTTPConnection:
        """Open a connection."""
        parts = urlsplit(self.base_url)
        if parts.scheme == "http":
            return HTTPConnection(parts.hostname, parts.port, timeout=WAIT)
        context = ssl.create_default_context(cafile=self.ca_file)
        return HTTPSConnection(
            parts.hostname, parts.port, timeout=WAIT, context=context
        )


@dataclass(frozen=True)
class Answer:
    """An answer, read to its end."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        """Give the body as JSON."""
        return json.loads(self.body)

    @property
    def reason(self) -> str | None:
        """Give the reason of a Status."""
        return self.json.get("reason")

    @property
    def message(self) -> str:
        """Give the message of a Status."""
        return self.json["message"]

    @property
    def version(self) -> str:
        """Give the resourceVersion of the object, or of the list."""
        return self.json["metadata"]["resourceVersion"]

    @property
    def warnings(self) -> list[str]:
        """Give the Warning headers."""
        return self.headers.get_all("Warning") or []


class Watch:
    """An open watch: read events from it, and close it."""

    def __init__(self, connection: HTTPConnection, response: Any) -> None:
        self._connection = connection
        self.response = response
        self.status = response.status
        self.headers = response.headers
        self._pending: Future[bytes] | None = None

    def next(self) -> dict[str, Any] | None:
        """Read one event; None at a clean end."""
        if self._pending is not None:
            line = self._pending.result(WAIT)
            self._pending = None
        else:
            line = self.response.readline()
        return json.loads(line) if line else None

    def take(self, count: int) -> list[dict[str, Any]]:
        """Read so many events."""
        return [self.next() for _ in range(count)]

    def rest(self) -> list[dict[str, Any]]:
        """Read to the end."""
        return [json.loads(line) for line in self.response.read().splitlines()]

    def is_silent(self, seconds: float) -> bool:
        """Tell whether nothing comes for so long, not even the end."""
        # A socket that timed out cannot be read again, so a thread waits instead.
        self._pending = Future()
        threading.Thread(target=self._read_ahead, daemon=True).start()
        try:
            line = self._pending.result(seconds)
        except TimeoutError:
            return True
        self._pending = Future()
        self._pending.set_result(line)
        return False

    def _read_ahead(self) -> None:
        pending = self._pending
        try:
            pending.set_result(self.response.readline())
        except (OSError, ValueError, AttributeError) as error:
            # The test hung up meanwhile.
            pending.set_exception(error)

    def close(self) -> None:
        """Hang up."""
        if self._pending is not None and self._connection.sock is not None:
            # Wakes the thread that reads ahead.
            with contextlib.suppress(OSError):
                self._connection.sock.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError, ValueError, AttributeError):
                self._pending.result(WAIT)
        self.response.close()
        self._connection.close()


class Api:
    """One client: a user, a namespace, one connection kept open."""

    def __init__(
        self,
        target: Target,
        namespace: str,
        *,
        user: str | None = "admin",
        agent: str = "conformance/1.0",
    ) -> None:
        self.target = target
        self.namespace = namespace
        self.headers = {"User-Agent": agent}
        if user is not None:
            self.headers["Authorization"] = f"Bearer {target.tokens[user]}"
        self._connection: HTTPConnection | None = None
        self._watches: list[Watch] = []

    def close(self) -> None:
        """Close everything."""
        for watch in self._watches:
            watch.close()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def collection(self) -> str:
        """Give the path of the namespace's Leases."""
        return f"{GROUP}/namespaces/{self.namespace}/leases"

    def path(self, name: str) -> str:
        """Give the path of a Lease."""
        return f"{self.collection}/{quote(name, safe='')}"

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> Answer:
        """Make a request; ``body`` is sent as it is if it is bytes, else as JSON."""
        if self._connection is None:
            self._connection = self.target.connect()
        sent, payload = self._prepared(body, headers)
        if query:
            path = f"{path}?{urlencode(query)}"
        try:
            self._connection.request(method, path, payload, sent)
            response = self._connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        except BaseException:
            self._connection.close()
            self._connection = None
            raise
        if response.will_close:
            self._connection.close()
            self._connection = None
        return answer

    def _prepared(self, body, headers):
        sent = dict(self.headers)
        payload = body
        if body is not None and not isinstance(body, bytes):
            payload = json.dumps(body).encode()
        if payload is not None:
            sent["Content-Type"] = "application/json"
        for key, value in (headers or {}).items():
            if value is None:
                sent.pop(key, None)
            else:
                sent[key] = value
        return sent, payload

    def get(self, name="p", **query):
        """Read a Lease."""
        return self.request("GET", self.path(name), **query)

    def put(self, document, name="p", headers=None, **query):
        """Replace or create a Lease by PUT."""
        return self.request("PUT", self.path(name), document, headers, **query)

    def post(self, document, headers=None, **query):
        """Create a Lease by POST."""
        return self.request("POST", self.collection, document, headers, **query)

    def patch(self, document, name="p", kind=MERGE, **query):
        """Patch a Lease."""
        headers = {"Content-Type": kind}
        return self.request("PATCH", self.path(name), document, headers, **query)

    def apply(self, document, manager, name="p", **query):
        """Apply a Lease."""
        return self.patch(document, name, APPLY, fieldManager=manager, **query)

    def delete(self, name="p", body=None, **query):
        """Delete a Lease."""
        return self.request("DELETE", self.path(name), body, **query)

    def list(self, **query):
        """List the Leases of the namespace."""
        return self.request("GET", self.collection, **query)

    def watch(self, path=None, headers=None, **query) -> Watch:
        """Open a watch on the namespace's Leases."""
        connection = self.target.connect()
        if path is None:
            path = self.collection
            query = {"watch": "1", **query}
        sent, _ = self._prepared(None, headers)
        try:
            connection.request("GET", f"{path}?{urlencode(query)}", headers=sent)
            watch = Watch(connection, connection.getresponse())
        except BaseException:
            connection.close()
            raise
        self._watches.append(watch)
        return watch

    def forget_history(self) -> None:
        """Make every version so far too old; a real server restarts for that."""
        self.close()
        self.target.forget_history()

    def created(self, name="p", metadata=None, **spec):
        """Create a Lease and give it."""
        answer = self.post(lease(name, metadata, **spec))
        assert answer.status == 201, answer
        return answer.json


def lease(name: str | None = "p", metadata: Any = None, **spec: Any) -> dict[str, Any]:
    """Give a Lease to send."""
    named = {} if name is None else {"name": name}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {**named, **(metadata or {})},
        "spec": spec,
    }


def changed(document: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """Give a copy with other fields in the spec."""
    return {**document, "spec": {**document["spec"], **spec}}


def with_metadata(document: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """Give a copy with other metadata; None takes a field away."""
    merged = {**document["metadata"], **metadata}
    kept = {key: value for key, value in merged.items() if value is not None}
    return {**document, "metadata": kept}


def assert_refused(answer: Answer, status: int, reason: str | None, *texts: str):
    """Check an error and what its message says."""
    assert (answer.status, answer.reason) == (status, reason), answer.body
    for text in texts:
        assert text in answer.message
