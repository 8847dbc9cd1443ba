"""Tokens: renewed when they are refused, and never shown to anybody."""

from __future__ import annotations

import logging
import os
import pickle
import traceback

import pytest

from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.credentials.base import Login, bearer
from kubernetes_leader_election.credentials.trust import Trust
from kubernetes_leader_election.errors import CredentialsError
from kubernetes_leader_election.kube_api.results import NotSent, Ok, Refused

CANARY = "canary-Zm9vYmFyYmF6cXV4"


def accepting(token, value, status):
    """Make a handler that knows one token."""

    def handle(peer):
        while (request := peer.read()) is not None:
            if request.headers.get("authorization") == f"Bearer {token()}":
                peer.reply(200, value)
            else:
                peer.reply(401, status(401, "Unauthorized", "Unauthorized"))

    return handle


def test_fault_33_token_file_is_read_again_when_it_changes(
    serve, connect, call, lease, status, tmp_path
):
    """A rotated token is used with the next request, without a 401 in between."""
    file = tmp_path / "token"
    file.write_text("one\n")
    known = ["one"]
    server = serve(accepting(lambda: known[0], lease(), status))
    client = connect(server, token_file=file)
    assert isinstance(client.get("apps", "demo", call=call()), Ok)
    # As kubelet does it: a new file in the place of the old one.
    (tmp_path / "new").write_text("two\n")
    (tmp_path / "new").replace(file)
    known[0] = "two"
    assert isinstance(client.get("apps", "demo", call=call()), Ok)
    assert len(server.requests) == 2


def test_fault_33_token_file_is_read_again_at_a_401(
    serve, connect, call, lease, status, tmp_path
):
    """One retry with the new token, inside the same deadline, also for a write."""
    file = tmp_path / "token"
    file.write_text("one")
    server = serve(accepting(lambda: "two", lease(), status))
    client = connect(server, token_file=file)
    client.credentials.headers()
    times = file.stat()
    file.write_text("two")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # looks unchanged
    result = client.replace("apps", "demo", lease(), call=call())
    assert isinstance(result, Ok)
    tokens = [request.headers["authorization"] for request in server.requests]
    assert tokens == ["Bearer one", "Bearer two"]
    assert server.connections == 1


def test_fault_33_refused_token_that_is_the_newest_is_not_tried_again(
    serve, connect, call, lease, status, tmp_path
):
    """No hot loop: without another token there is no second try."""
    file = tmp_path / "token"
    file.write_text(CANARY)
    server = serve(accepting(lambda: "other", lease(), status))
    result = connect(server, token_file=file).get("apps", "demo", call=call())
    assert isinstance(result, Refused)
    assert result.error.status == 401
    assert len(server.requests) == 1
    assert str(file) in str(result.error)


def test_fault_33_second_401_is_the_answer(serve, connect, call, lease, status):
    """One retry, not more, however fast tokens change."""

    class Restless(Login):
        description = "a token that always changes"
        number = 0

        def headers(self, *, timeout):
            return bearer(f"token-{self.number}")

        def refresh(self, *, timeout):
            self.number += 1

    server = serve(accepting(lambda: "other", lease(), status))
    client = connect(server)
    client.credentials._login = Restless()
    result = client.get("apps", "demo", call=call())
    assert isinstance(result, Refused)
    assert result.error.status == 401
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("token", "told"),
    [
        (None, "sent with no token and no client certificate"),
        ("stale", "does not accept the token given"),
    ],
    ids=["nobody asks", "a stale token"],
)
def test_401_says_what_to_give_or_what_is_wrong_with_it(
    serve, connect, call, lease, status, token, told
):
    """Fault 33: who sent nothing is not told that nothing has expired."""
    server = serve(accepting(lambda: "other", lease(), status))
    client = connect(server, token=token)
    result = client.get("apps", "demo", call=call())
    assert isinstance(result, Refused)
    assert result.error.status == 401
    message = str(result.error)
    assert told in message
    assert ("expired" in message) is (token is not None)
    assert ("Give a token or a client certificate" in message) is (token is None)


def test_token_file_that_is_gone_for_a_moment_does_no_harm(
    serve, connect, call, lease, status, tmp_path
):
    """The last token is used until there is another."""
    file = tmp_path / "token"
    file.write_text("one")
    server = serve(accepting(lambda: "one", lease(), status))
    client = connect(server, token_file=file)
    client.get("apps", "demo", call=call())
    file.unlink()
    assert isinstance(client.get("apps", "demo", call=call()), Ok)


@pytest.mark.parametrize("text", [None, "", " \n"], ids=["no file", "empty", "blank"])
def test_token_file_without_token_sends_nothing(serve, connect, call, tmp_path, text):
    """Without its token a request is not sent as somebody else."""
    file = tmp_path / "token"
    if text is not None:
        file.write_text(text)
    server = serve(lambda peer: peer.read())
    result = connect(server, token_file=file).get("apps", "demo", call=call())
    assert isinstance(result, NotSent)
    assert isinstance(result.error.__cause__, CredentialsError)
    assert str(file) in str(result.error)
    assert server.connections == 0


def echo(code):
    """Make a handler that sends everything back, as debugging proxies do."""

    def handle(peer):
        while (request := peer.read()) is not None:
            text = f"{request.headers.get('authorization')} {CANARY}"
            peer.reply(
                code,
                {
                    "kind": "Status",
                    "status": "Failure",
                    "message": text * 30,
                    "reason": text,
                    "details": {"name": text, "causes": [{"reason": text}]},
                },
            )

    return handle


@pytest.mark.parametrize("code", [200, 302, 400, 401, 403, 404, 409, 422, 429, 500])
def test_fault_50_token_is_in_nothing_that_is_shown(
    serve, connect, call, lease, caplog, capfd, code
):
    """A canary for a token: not in errors, tracebacks, logs, reprs or output."""
    caplog.set_level(logging.DEBUG)
    server = serve(echo(code))
    client = connect(server, token=CANARY)
    result = client.replace("apps", "demo", lease(), call=call())
    assert f"Bearer {CANARY}" == server.requests[0].headers["authorization"]
    shown = [
        repr(client),
        repr(client.credentials),
        repr(client.credentials.__dict__.values()),
        repr(result),
        str(result.error),
        repr(result.error.__dict__),
        "".join(traceback.format_exception(result.error)),
        caplog.text,
        *capfd.readouterr(),
    ]
    assert not [text for text in shown if CANARY in text]


def test_fault_50_token_that_cannot_be_sent_is_not_shown(serve, connect, call):
    """A token with a line break would break out of its header; it is refused unseen."""
    server = serve(lambda peer: peer.read())
    client = connect(server, token=f"{CANARY}\r\nX-Evil: 1")
    result = client.get("apps", "demo", call=call())
    assert isinstance(result, NotSent)
    text = "".join(traceback.format_exception(result.error))
    assert "cannot be sent" in text
    assert "canary" not in text
    assert "X-Evil" not in text
    assert server.connections == 0


def test_fault_50_token_file_that_is_no_text_is_not_shown(connect, call, tmp_path):
    """The cause of an error holds nothing of a file that could not be decoded."""
    file = tmp_path / "token"
    file.write_bytes(CANARY.encode() + b"\xff\xfe")
    client = connect(explicit(server="https://127.0.0.1:1", token_file=file))
    result = client.get("apps", "demo", call=call())
    links, error = [], result.error
    while error is not None:
        links.append(repr(error) + repr(error.args))
        error = error.__cause__ or error.__context__
    assert len(links) > 1
    assert not [link for link in links if "canary" in link]


def test_fault_50_errors_hold_no_frames(connect, call, lease):
    """An error that is kept does not keep the request, and its token, alive."""
    client = connect(explicit(server="https://127.0.0.1:1", token=CANARY))
    error = client.get("apps", "demo", call=call()).error
    while error is not None:
        assert error.__traceback__ is None
        error = error.__cause__ or error.__context__


def test_fault_50_credentials_are_not_pickled():
    """A pickle would carry the token to wherever it is written."""
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(explicit(server="https://127.0.0.1", token=CANARY))


def test_fault_50_keys_are_not_shown():
    """The settings of TLS show no key."""
    assert CANARY not in repr(Trust(key_data=CANARY))


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.1:8080", "http://api.example.org", "http://localhost.evil.org"],
)
def test_token_does_not_go_over_plain_http(url):
    """Security rule: no plain http with a token, but to this machine."""
    with pytest.raises(CredentialsError, match="plain http") as caught:
        explicit(server=url, token=CANARY)
    assert CANARY not in str(caught.value)
    assert explicit(server=url).server.scheme == "http"
    for own in ("http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"):
        assert explicit(server=own, token=CANARY)


def test_localhost_of_a_lying_resolver_gets_no_token(serve, connect, call, monkeypatch):
    """Over plain http "localhost" is this machine, whatever the resolver says."""
    import socket

    server = serve(lambda peer: peer.read())
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", server.port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_o: found)
    client = connect(explicit(server="http://localhost", token=CANARY))
    result = client.get("apps", "demo", call=call())
    assert isinstance(result, NotSent)
    assert "no address was found for localhost" in str(result.error)
