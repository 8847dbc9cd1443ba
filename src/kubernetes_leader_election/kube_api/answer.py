"""
The answer to a request: its head is read here, its body by ``http.client``.

``http.client`` has the head parsed by the parser of e-mail, which is made for other
texts: it takes a tenth of a renewal's processor time, and takes whatever it does not
understand for something. What is no head by RFC 9112 is refused here, as Go does.
"""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Iterator
from typing import Any, Final, cast

from kubernetes_leader_election.kube_api.call import Call
from kubernetes_leader_election.kube_api.tls import Socket

LARGEST_BODY: Final = 1 << 20
"""A Lease is under 1 kB, a page of a list under 200 kB (fault 49)."""
LARGEST_HEAD: Final = 1 << 16

_PIECE: Final = 1 << 16
_END_OF_HEAD: Final = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE: Final = re.compile(r"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: (.*))?")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

_MUST_AGREE: Final = ("content-length", "transfer-encoding")


class TooLargeError(http.client.HTTPException):
    """Say that an answer is larger than any answer of the Lease API."""


class Reader:
    """
    The part of a file that :class:`http.client.HTTPResponse` reads from.

    It has a budget, keeps the deadline of the call that is going on at each wait, and
    can tell whether the server has sent more than its answer.
    """

    closed = False

    def __init__(self, sock: Socket) -> None:
        self._sock = sock
        self._data = bytearray()
        self._at_end = False
        self.call: Call | None = None
        self.budget: int | None = 0

    def makefile(self, _mode: str) -> Reader:
        """Be the file of the socket that this object is taken for."""
        return self

    @property
    def leftover(self) -> bool:
        """Return whether something was received and not read."""
        return bool(self._data)

    def readline(self, limit: int = -1) -> bytes:
        """Return one line with its end; less at the end of the stream or at ``limit``."""
        searched = 0
        while True:
            end = self._data.find(b"\n", searched) + 1
            if end and (limit < 0 or end <= limit):
                return self._take(end)
            if 0 <= limit <= len(self._data):
                return self._take(limit)
            searched = len(self._data)
            if not self._fill():
                return self._take(searched)

    def head(self) -> list[str]:
        """
        Return the lines of the next head, without their ends and the empty one.

        Raises:
            http.client.HTTPException: the stream ends before it does.
            TooLargeError: it goes on for more than the budget.
        """
        searched = 0
        while (end := _END_OF_HEAD.search(self._data, searched)) is None:
            searched = max(0, len(self._data) - 3)
            if not self._fill():
                if not self._data:
                    raise http.client.RemoteDisconnected("there is no answer")
                raise http.client.IncompleteRead(bytes(self._data))
        lines = self._data[: end.start()].decode("iso-8859-1").split("\n")
        del self._data[: end.end()]
        return [line.removesuffix("\r") for line in lines]

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes; fewer only at the end of the stream."""
        if size < 0:
            raise http.client.HTTPException("a length is negative")
        while len(self._data) < size and self._fill():
            pass
        return self._take(min(size, len(self._data)))

    def read1(self, size: int) -> bytes:
        """Return what there is, at most ``size`` bytes, after at most one wait."""
        if size < 0:
            raise http.client.HTTPException("a length is negative")
        if size and not self._data:
            self._fill()
        return self._take(min(size, len(self._data)))

    def flush(self) -> None:
        """Do nothing: nothing is written here."""

    def close(self) -> None:
        """Do nothing: the connection outlives its answers."""

    def _take(self, size: int) -> bytes:
        piece = bytes(self._data[:size])
        del self._data[:size]
        return piece

    def _fill(self) -> bool:
        if self._at_end:
            return False
        assert self.call is not None  # noqa: S101 - nothing is read between calls
        self.call.arm(self._sock)
        piece = self._sock.recv(_PIECE)
        if not piece:
            self._at_end = True
            return False
        if self.budget is not None:
            self.budget -= len(piece)
            if self.budget < 0:
                raise TooLargeError("the answer is too large")
        self._data += piece
        return True


class _Response(http.client.HTTPResponse):
    """Read the body as the library does, by what a head of our own reading says."""

    def begin(self) -> None:
        """
        Read the head, after those of interim answers that say "go on".

        Raises:
            http.client.HTTPException: it is not HTTP, or contradicts itself.
        """
        while True:
            first, *lines = cast("Reader", self.fp).head()
            found = _STATUS_LINE.fullmatch(first)
            if found is None:
                raise http.client.BadStatusLine(first)
            status = int(found[2])
            if status != http.client.CONTINUE:
                break
        self.version = 10 if found[1] == "0" else 11
        self.status = self.code = status
        self.reason = (found[3] or "").strip()
        # All that the library asks of it is get(), with names in lower case.
        headers: Any = _headers(lines)
        self.headers = self.msg = headers
        coding = headers.get("transfer-encoding", "").lower()
        if coding not in ("", "chunked"):
            raise http.client.HTTPException("its transfer coding is not known")
        self.chunked = bool(coding)
        self.chunk_left = None
        length = headers.get("content-length", "")
        if length and not re.fullmatch("[0-9]{1,18}", length):
            raise http.client.HTTPException("its length is no number")
        self.length = int(length) if length and not coding else None
        if status in (http.client.NO_CONTENT, http.client.NOT_MODIFIED) or status < 200:
            self.length = 0
        connection = headers.get("connection", "").lower()
        closes = "close" in connection
        if found[1] == "0":  # of HTTP/1.0, where to stay open has to be said
            closes = "keep-alive" not in connection
        self.will_close = closes or (self.length is None and not self.chunked)


def _headers(lines: list[str]) -> dict[str, str]:
    """Return the headers by their names in lower case; of equal names the first."""
    headers: dict[str, str] = {}
    name = ""
    for line in lines:
        if line[0] in " \t" and name:  # an old way to go on with a value
            headers[name] += f" {line.strip()}"
            continue
        key, colon, value = line.partition(":")
        if not colon or not _NAME.fullmatch(key):
            raise http.client.HTTPException("a line of its head is no header")
        name, value = key.lower(), value.strip(" \t")
        if headers.setdefault(name, value) != value and name in _MUST_AGREE:
            raise http.client.HTTPException(f"it has two {name} headers")
    return headers


class Answer:
    """The head of an answer; its body is read from the connection, once."""

    __slots__ = ("_reader", "_response", "status")

    def __init__(self, response: _Response, reader: Reader) -> None:
        self._response = response
        self._reader = reader
        self.status = response.status

    def header(self, name: str) -> str:
        """Return a header of the answer; empty when it is not there."""
        return self._response.headers.get(name.lower(), "")

    def pieces(self) -> Iterator[bytes]:
        """
        Yield the body as it arrives.

        Raises:
            http.client.HTTPException: it ends before its end, or breaks the rules.
            OSError: the connection broke.
            CallOverError: the call is over.
        """
        response = self._response
        while piece := response.read1(_PIECE):
            yield piece
            if response.length == 0:
                break
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)

    def body(self) -> bytes:
        """
        Return the whole body.

        Raises:
            TooLargeError: it is larger than 1 MiB.
            http.client.HTTPException: it ends before its end, or breaks the rules.
            OSError: the connection broke.
            CallOverError: the call is over.
        """
        if self._response.length is not None and self._response.length > LARGEST_BODY:
            raise TooLargeError("the answer is too large")
        if self._reader.budget is None:
            # Asked for as a stream, and answered with an error of no known length.
            self._reader.budget = LARGEST_BODY
        return b"".join(self.pieces())

    @property
    def leaves_connection_usable(self) -> bool:
        """Tell, after the body, whether another request may follow on the connection."""
        # A server that has sent more than its answer is out of step: what comes next
        # would be taken for the answer to the next request.
        return not self._response.will_close and not self._reader.leftover


def read_head(reader: Reader, method: str) -> Answer:
    """
    Wait for the head of the answer to a request of this method.

    Raises:
        http.client.HTTPException: it is not HTTP, or there is none.
        OSError: the connection broke.
        CallOverError: the call is over.
    """
    reader.budget = LARGEST_HEAD
    # It asks the socket for makefile() and nothing else.
    response = _Response(cast("socket.socket", reader), method=method)
    response.begin()
    return Answer(response, reader)
