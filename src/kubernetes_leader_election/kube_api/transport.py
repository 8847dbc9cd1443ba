"""Send one request, at most twice, and bring back what was answered."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlencode

from kubernetes_leader_election.credentials.base import Credentials, Headers
from kubernetes_leader_election.errors import CredentialsError
from kubernetes_leader_election.kube_api.answer import (
    LARGEST_BODY,
    Answer,
    TooLargeError,
)
from kubernetes_leader_election.kube_api.call import Call, CallOverError
from kubernetes_leader_election.kube_api.connection import Connection
from kubernetes_leader_election.kube_api.failures import (
    Request,
    answer_is_unknown,
    not_sent,
)
from kubernetes_leader_election.kube_api.pool import ConnectionPool
from kubernetes_leader_election.kube_api.results import NotSent, Unknown
from kubernetes_leader_election.values import Value, hidden, replace

_NO_QUERY: Mapping[str, str] = MappingProxyType({})

BROKEN = (OSError, http.client.HTTPException, ValueError, CallOverError)
"""What reading an answer may raise: all of it leaves the outcome of a write open."""


class Wire(Value):
    """A request as it goes over the wire."""

    method: str
    path: str
    query: Mapping[str, str] = _NO_QUERY
    body: bytes | None = None
    media_type: str = "application/json"
    """What the body is."""
    tell_timeout: bool = True
    """Whether the server is told how long we wait (rule 9)."""

    def target(self, prefix: str, call: Call) -> str:
        """Return the target of the request line, at the moment of sending."""
        query = [urlencode(self.query)] if self.query else []
        left = call.remaining()
        if self.tell_timeout and left is not None:
            # A Go duration: a bare number would be refused.
            query.append(f"timeout={max(1, int(left * 1000))}ms")
        return f"{prefix}{self.path}" + (f"?{'&'.join(query)}" if query else "")


class Reply(Value):
    """A whole answer."""

    status: int
    body: bytes
    retry_after: str
    sent: Headers = hidden()
    """The headers that proved who was asking."""
    cause: CredentialsError | None = None
    """Why there was nothing newer to try after a 401."""
    date: str = ""


class Stream(Value):
    """A 200 answer whose body goes on; close the connection when done with it."""

    connection: Connection
    answer: Answer
    sent: Headers = hidden()


class Transport:
    """
    Carry requests to one API server. Safe for threads; blocks the calling one.

    Nothing is ever sent twice, with one exception that is safe for any write: a 401
    proves that nothing was applied, and if a newer token is there the request goes out
    once more with it, inside the same deadline (fault 33).
    """

    def __init__(
        self, credentials: Credentials, pool: ConnectionPool, *, user_agent: str
    ) -> None:
        self._credentials = credentials
        self._pool = pool
        self._common: Headers = (
            ("Host", credentials.server.host_header),
            ("User-Agent", user_agent),
            ("Accept", "application/json"),
            ("Accept-Encoding", "identity"),
        )

    def ask(
        self, request: Request, wire: Wire, call: Call
    ) -> Reply | NotSent | Unknown:
        """Send a request and read its whole answer."""
        answer = self._twice(request, wire, call, streaming=False)
        assert not isinstance(answer, Stream)  # noqa: S101 - for the type checker
        return answer

    def open_stream(
        self, request: Request, wire: Wire, call: Call
    ) -> Stream | Reply | NotSent | Unknown:
        """Send a request; give the stream of a 200, any other answer whole."""
        return self._twice(request, wire, call, streaming=True)

    def _twice(
        self, request: Request, wire: Wire, call: Call, *, streaming: bool
    ) -> Stream | Reply | NotSent | Unknown:
        answer = self._once(request, wire, call, streaming=streaming)
        if (
            not isinstance(answer, Reply)
            or answer.status != http.HTTPStatus.UNAUTHORIZED
        ):
            return answer
        try:
            newer = self._credentials.refresh(answer.sent, timeout=call.remaining())
        except CredentialsError as error:
            return replace(answer, cause=error)
        if not newer:
            return answer
        second = self._once(request, wire, call, streaming=streaming)
        # The first try was refused, so a second one that was not sent says no more
        # than that; but the 401 is what a person has to know.
        return answer if isinstance(second, NotSent) else second

    def _once(
        self, request: Request, wire: Wire, call: Call, *, streaming: bool
    ) -> Stream | Reply | NotSent | Unknown:
        credentials = self._credentials
        try:
            call.check()
            sent = credentials.headers(timeout=call.remaining())
            context = credentials.tls_context(timeout=call.remaining())
            # A watch gets a connection of its own: writes keep their warm one.
            connection = None if streaming else self._pool.take(context)
            if connection is None:
                connection = self._pool.open(context, call)
        except (*BROKEN, CredentialsError) as error:
            call.detach()
            return not_sent(request, error, credentials=credentials, call=call)
        keep = False
        try:
            answer = self._send(wire, sent, connection, call, streaming=streaming)
            if isinstance(answer, CallOverError):
                return not_sent(request, answer, credentials=credentials, call=call)
            if streaming and answer.status == http.HTTPStatus.OK:
                keep = True
                return Stream(connection=connection, answer=answer, sent=sent)
            body = answer.body()
            if answer.leaves_connection_usable:
                keep = True
                call.detach()
                self._pool.give_back(connection)
            return Reply(
                status=answer.status,
                body=body,
                retry_after=answer.header("Retry-After").strip(),
                date=answer.header("Date").strip(),
                sent=sent,
            )
        except BROKEN as error:
            return answer_is_unknown(
                request,
                trouble_of(error, call),
                credentials=credentials,
                # The text of other errors may hold what the server sent.
                cause=error if isinstance(error, OSError) else None,
            )
        finally:
            if not keep:
                connection.close(call)

    def _send(
        self,
        wire: Wire,
        sent: Headers,
        connection: Connection,
        call: Call,
        *,
        streaming: bool,
    ) -> Answer | CallOverError:
        headers = self._common + sent
        if wire.body is not None:
            headers += (("Content-Type", wire.media_type),)
        target = wire.target(self._credentials.server.path, call)
        try:
            connection.send(wire.method, target, headers, wire.body, call)
        except CallOverError as error:
            return error  # raised before the first byte, and only then
        answer = connection.receive(
            wire.method, call, largest=None if streaming else LARGEST_BODY
        )
        encoding = answer.header("Content-Encoding").strip().lower()
        if encoding not in {"", "identity"}:
            raise http.client.HTTPException("the answer is compressed, unasked")
        return answer


def trouble_of(error: Exception, call: Call) -> str:
    """Say in words why an answer could not be read; never with words of the server."""
    if call.abandoned or call.remaining() == 0.0:
        return f"no complete answer came in {call.spent}"
    match error:
        case http.client.RemoteDisconnected():
            return "the connection was closed before an answer came"
        case http.client.IncompleteRead():
            return "the connection was closed in the middle of the answer"
        case TooLargeError():
            return str(error)
        case TimeoutError():
            return f"no complete answer came in {call.spent}"
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return "the connection was closed by the server"
        case ssl.SSLError():
            return f"the TLS connection broke ({error.reason or 'no reason given'})"
        case OSError():
            return f"the connection broke ({error.strerror or type(error).__name__})"
        case _:
            return f"the answer is not one of an API server ({type(error).__name__})"
