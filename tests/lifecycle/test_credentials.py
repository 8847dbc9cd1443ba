"""Looking for credentials: whatever goes wrong there, only stop() ends an elector."""

from __future__ import annotations

import threading

import pytest

from kubernetes_leader_election import credentials
from kubernetes_leader_election.errors import CredentialsError
from kubernetes_leader_election.events import EVENTS
from kubernetes_leader_election.lifecycle import connect
from kubernetes_leader_election.process.timers import shared_timers
from kubernetes_leader_election.testing import LeaseServer
from tests.lifecycle.driven import Log, OnLoop, OnThreads, until
from tests.lifecycle.stages import PATIENCE, holder, options

CANARY = "canary-that-nobody-may-see"


@pytest.fixture
def found(monkeypatch):
    """Give a list of what each look for credentials raises; then there are some."""
    left = []

    def discover(*_, **__):
        if left:
            raise left.pop(0)
        return options()["credentials"]

    monkeypatch.setattr(credentials, "discover", discover)
    monkeypatch.setattr(connect, "LONGEST_RETRY", 0.05)
    return left


@pytest.fixture(params=[OnLoop, OnThreads], ids=["asyncio", "threads"])
def front_of_servers(request):
    """Give one front after the other, whose electors ask real servers."""
    front = request.param()
    yield front
    front.close()


@pytest.mark.parametrize(
    "errors",
    [
        [CredentialsError("no token"), KeyError(CANARY), CredentialsError("no token")],
        [ZeroDivisionError(CANARY), UnicodeError(CANARY)],
    ],
    ids=["after one that is known", "at the first look"],
)
def test_unforeseen_error_in_finding_credentials_is_told_and_tried_again(
    front, client, found, errors
):
    """G8: an error event, frames in the log, the next try; no text that may be secret."""
    found += errors
    log, told = Log(), []
    elector = front.elector(credentials=None, log=log)
    elector.on(EVENTS.ERROR, lambda event: told.append(event.error))
    elector.start()
    elector.wait_until_leading(PATIENCE)
    assert holder(client) == "me"
    until(lambda: len(told) == len(errors))
    assert all(isinstance(error, CredentialsError) for error in told)
    for error in errors:
        if not isinstance(error, CredentialsError):
            kind = type(error).__name__
            assert any(f"unexpected {kind}" in str(one) for one in told)
            text = log.wait_for(f"loading credentials raised {kind}")[1]
            assert "in find" in text
    assert CANARY not in repr(log.written()) + repr(told)
    assert CANARY not in repr([error.__cause__ or error.__context__ for error in told])


def test_retry_that_meets_a_setting_that_cannot_work_is_not_the_last(
    front, client, found, monkeypatch
):
    """G8: a namespace that nobody knows yet may be known later."""
    found.append(CredentialsError("no token"))
    given = options()["credentials"]
    log = Log()
    elector = front.elector(credentials=None, namespace=None, log=log)
    elector.start()
    log.wait_for("namespace")
    monkeypatch.setattr(given, "namespace", "default")
    monkeypatch.setattr(credentials, "discover", lambda: given)
    elector.wait_until_leading(PATIENCE)
    assert elector.namespace == "default"


def test_stop_does_not_wait_for_a_look_for_credentials(front, found, monkeypatch):
    """Whoever stops it may be an event loop; and the look must not start it again."""
    found.append(CredentialsError("no token"))
    looks, may_end, ended = threading.Event(), threading.Event(), threading.Event()
    elector = front.elector(credentials=None)
    elector.start()
    lifecycle = elector._lifecycle

    def look_long(*_, **__):
        looks.set()
        may_end.wait(PATIENCE)
        ended.set()
        return options()["credentials"]

    monkeypatch.setattr(credentials, "discover", look_long)
    assert looks.wait(PATIENCE)
    lifecycle.ask_to_stop()
    assert not may_end.is_set()
    assert not lifecycle.running
    may_end.set()
    assert ended.wait(PATIENCE)
    assert shared_timers().flush(PATIENCE)
    assert lifecycle._driver is None
    assert not lifecycle.running


def test_retry_goes_on_after_thousands_of_them(front, client, found):
    """Fault 18, G8: the pause between tries is bounded, and so are its sums."""
    found += [CredentialsError("no token")] * 3
    elector = front.elector(credentials=None)
    begin = elector._lifecycle.begin

    def begin_late(*args, **named):
        begin(*args, **named)
        elector._lifecycle._connector._retries = 5000

    elector._lifecycle.begin = begin_late
    elector.start()
    elector.wait_until_leading(PATIENCE)
    assert holder(client) == "me"


@pytest.mark.slow
def test_credentials_are_looked_for_at_each_start(
    front_of_servers, tmp_path, monkeypatch
):
    """An elector of a module, started in each test anew, finds the server of that test."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")  # in a cluster
    elector, seen = front_of_servers.elector(credentials=None, namespace=None), []
    for number, namespace in enumerate(["shop", "depot", "shop"], start=1):
        with LeaseServer() as server:
            server.add_namespace(namespace)
            path = tmp_path / f"config-{number}"
            server.kubeconfig(path=path, namespace=namespace)
            monkeypatch.setenv("KUBECONFIG", str(path))
            elector.start()
            term = elector.wait_until_leading(PATIENCE)
            spec = server.lease("front", namespace)["spec"]
            assert spec["holderIdentity"] == "me"
            assert elector.namespace == namespace
            seen.append((term.number, elector.current_leader, term.remaining() > 0))
            elector.stop(timeout=PATIENCE)
            assert server.lease("front", namespace)["spec"]["holderIdentity"] == ""
            assert term.is_lost
    assert seen == [(1, True, True), (2, True, True), (3, True, True)]


@pytest.mark.slow
def test_elector_that_assumed_leadership_takes_part_once_it_is_in_a_cluster(
    front_of_servers, tmp_path, monkeypatch
):
    """And the other way round: what is there at the start of a life counts for it."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    elector = front_of_servers.elector(credentials=None)
    with LeaseServer() as server:
        server.kubeconfig(path=tmp_path / "config")
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        tokens = []
        for host in ("", "127.0.0.1", ""):
            monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
            elector.start()
            tokens.append(elector.wait_until_leading(PATIENCE).fencing_token)
            elector.stop(timeout=PATIENCE)
        assert [token is None for token in tokens] == [True, False, True]
