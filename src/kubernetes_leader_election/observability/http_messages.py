"""
The little of HTTP/1.1 that probes and scrapers need: a request's first line, an answer.

Bytes in, values out. Of a request only the method and the target are read; the rest of
its head is waited for, and thrown away. Every answer closes its connection.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final, NamedTuple

from kubernetes_leader_election.observability.endpoints import TEXT, Answer

LARGEST_HEAD: Final = 8192
"""Bytes of a request's head at most; a kubelet sends 150, Prometheus 400."""

_END: Final = re.compile(rb"\r?\n\r?\n")
_FIRST_LINE: Final = re.compile(rb"([A-Za-z]{1,20}) ([!-~]+) HTTP/1\.[0-9]\r?\n")


class Request(NamedTuple):
    """What is asked for."""

    method: str
    target: str
    """Path and query, as they were sent."""


class Refused(Exception):  # noqa: N818 - an answer, not a failure
    """
    Refuse a request that cannot be read.

    Args:
        answer: what to send.

    """

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.body)
        self.answer = answer


def request_in(received: bytes) -> Request | None:
    """
    Return the request in what was received; None: more is to come.

    Raises:
        Refused: it is no request of HTTP/1, or too long.

    """
    head = received.lstrip(b"\r\n")  # which some clients send after their last body
    end = _END.search(head)
    if len(received) > LARGEST_HEAD and (end is None or end.end() > LARGEST_HEAD):
        raise Refused(Answer(431, TEXT, f"more than {LARGEST_HEAD} bytes of headers\n"))
    line = _FIRST_LINE.match(head)
    if line is None and (b"\n" in head):
        raise Refused(Answer(400, TEXT, "this is no request of HTTP/1.1\n"))
    if line is None or end is None:
        return None
    method, target = (part.decode("ascii") for part in line.groups())
    if target.lower().startswith("http://"):  # as to a proxy
        target = "/" + target[len("http://") :].partition("/")[2]
    return Request(method, target)


def rendered(answer: Answer, *, with_body: bool) -> bytes:
    """Return an answer as it is sent; of a stream, its head."""
    data = answer.body.encode()
    lines = [
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
        f"Content-Type: {answer.content_type}",
        "Cache-Control: no-cache",
        *(f"{name}: {value}" for name, value in answer.headers),
        "Connection: close",
    ]
    if answer.stream is None:
        lines.append(f"Content-Length: {len(data)}")
    head = "\r\n".join((*lines, "", "")).encode("latin-1")
    return head + data if with_body else head
