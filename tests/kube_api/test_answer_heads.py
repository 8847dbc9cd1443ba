"""The head of an answer means what ``http.client`` and RFC 9112 say, or is refused."""

from __future__ import annotations

import http.client
import io
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubernetes_leader_election.kube_api.answer import Reader, TooLargeError, read_head
from kubernetes_leader_election.kube_api.call import Call

START = b"HTTP/1.1 200 OK\r\n"


class Pieces:
    """Stand in for a socket on which an answer arrives in pieces of one size."""

    def __init__(self, data: bytes, size: int = 1 << 16) -> None:
        self._left = io.BytesIO(data)
        self._size = size

    def recv(self, size: int) -> bytes:
        return self._left.read(min(size, self._size))

    def settimeout(self, seconds: float | None) -> None:
        pass


def reader_of(data: bytes, size: int = 1 << 16) -> Reader:
    """Make a reader of an answer that arrives in pieces of this size."""
    reader = Reader(cast("Any", Pieces(data, size)))
    reader.call = Call()
    return reader


def library_of(data: bytes) -> http.client.HTTPResponse:
    """Let the library read the same answer."""

    class Peer:
        def makefile(self, _mode: str) -> io.BytesIO:
            return io.BytesIO(data)

    response = http.client.HTTPResponse(cast("Any", Peer()), method="GET")
    response.begin()
    return response


NAMES = st.sampled_from(
    ["Date", "date", "Retry-After", "X-Odd!#$%", "Content-Encoding", "Server"]
)
VALUES = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_categories=["Cc"]),
    max_size=12,
).map(lambda text: text.replace("\x85", "").replace("\xad", ""))
FRAMES = st.sampled_from(
    [
        [],
        ["Content-Length: 2"],
        ["content-length:0"],
        ["Content-Length: 2", "Content-Length: 2"],
        ["Transfer-Encoding: chunked"],
        ["transfer-encoding: Chunked", "Content-Length: 7"],
    ]
)
ENDINGS = st.sampled_from(
    [[], ["Connection: close"], ["Connection: Keep-Alive"], ["connection: x, CLOSE"]]
)


@given(
    version=st.sampled_from(["1.0", "1.1"]),
    status=st.sampled_from([103, 200, 201, 204, 304, 404, 409, 500]),
    reason=st.sampled_from([" OK", " ", "", " Not Found"]),
    others=st.lists(st.tuples(NAMES, VALUES), max_size=4),
    frame=FRAMES,
    ending=ENDINGS,
    interim=st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n"]),
    piece=st.sampled_from([1, 2, 3, 7, 1 << 16]),
)
def test_head_means_what_it_means_to_the_library(
    version: str,
    status: int,
    reason: str,
    others: list[tuple[str, str]],
    frame: list[str],
    ending: list[str],
    interim: bytes,
    piece: int,
) -> None:
    """Rule 10: status, headers and where the answer ends, however it is cut."""
    lines = [f"HTTP/{version} {status}{reason}"]
    lines += [f"{name}: {value}" for name, value in others]
    head = "\r\n".join([*lines, *frame, *ending, "", ""]).encode("iso-8859-1")
    data = interim + head + b"2\r\n{}\r\n0\r\n\r\n"
    answer, expected = read_head(reader_of(data, piece), "GET"), library_of(data)
    ours = answer._response
    assert answer.status == expected.status
    for part in ("version", "reason", "chunked", "length", "will_close"):
        assert getattr(ours, part) == getattr(expected, part), part
    for name in {name for name, _ in others}:
        assert answer.header(name) == expected.headers[name].strip(" \t")
    assert answer.header("X-Not-There") == ""


def test_value_goes_on_in_the_next_line() -> None:
    """An old form of a header, which the library and Go understand as well."""
    data = START + b"Date: Sun,\r\n\t29 Nov\r\nContent-Length: 0\r\n\r\n"
    answer = read_head(reader_of(data), "GET")
    assert answer.header("date") == "Sun, 29 Nov"
    assert answer.body() == b""
    assert answer.leaves_connection_usable


def test_lines_may_end_with_a_line_feed_alone() -> None:
    """As the library and Go read them."""
    data = b"HTTP/1.1 200 OK\nContent-Length: 2\nDate: x\n\n{}"
    for piece in range(1, len(data)):
        answer = read_head(reader_of(data, piece), "GET")
        assert (answer.header("DATE"), answer.body()) == ("x", b"{}")


REFUSED = {
    "a name with a space": START + b"Content Length: 2\r\n\r\n{}",
    "a space before the colon": START + b"Content-Length : 2\r\n\r\n{}",
    "a line without a colon": START + b"nonsense\r\n\r\n",
    "no name": START + b": 2\r\n\r\n",
    "a first header that goes on": START + b" Content-Length: 2\r\n\r\n{}",
    "two lengths": START + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "a length with a sign": START + b"Content-Length: +2\r\n\r\n{}",
    "a length with an underscore": START + b"Content-Length: 1_0\r\n\r\n",
    "two lengths in one": START + b"Content-Length: 2, 2\r\n\r\n{}",
    "a length beyond all": START + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n",
    "another coding": START + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "two codings": START
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "a status below 100": b"HTTP/1.1 099 OK\r\n\r\n",
    "HTTP/2": b"HTTP/2 200\r\n\r\n",
    "digits of another script": "HTTP/1.1 ²00 OK\r\n\r\n".encode("iso-8859-1"),
    "a line before it": b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    "an end in the middle": START + b"Content-Length: 0\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_fault_49_head_that_is_none_is_refused(data: bytes) -> None:
    """Rule 10: what is not understood is no answer; where it ends is never guessed."""
    with pytest.raises(http.client.HTTPException):
        read_head(reader_of(data), "GET")


@pytest.mark.parametrize("piece", [1000, 1 << 16])
def test_fault_49_head_has_a_limit(piece: int) -> None:
    """64 KiB, whatever it is made of."""
    endless = START + b"A: b\r\n" * 100_000
    with pytest.raises(TooLargeError):
        read_head(reader_of(endless, piece), "GET")
