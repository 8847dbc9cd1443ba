"""
Hold the package to the page of the Node package whose counterpart it is.

``tests/node_page.py`` lists what that page promises, sentence by sentence, each with
its test. Where the Node package's code breaks its own page, the page counts.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import logging
import os
import signal
import socket
import subprocess
import sys

import pytest

import kubernetes_leader_election as package
from kubernetes_leader_election import EVENTS, ConfigurationError, credentials
from kubernetes_leader_election.settings import resolve_settings
from kubernetes_leader_election.testing import Answer, Fault
from tests.node_page import (
    FAST,
    PATIENCE,
    PROMISES,
    STEADY,
    Front,
    Heard,
    eventually,
    stamp,
    start_until_it_says_why,
    write_lease,
)
from tests.programs import let_main_thread_wait

ACQUIRED, LOST = EVENTS.LEADERSHIP_ACQUIRED, EVENTS.LEADERSHIP_LOST
RENEWED = EVENTS.LEASE_RENEWED


@pytest.fixture(params=["asyncio", "threads"])
def front(request):
    """Give each kind of elector."""
    front = Front(request.param)
    yield front
    front.close()


@pytest.fixture
def make(front, lease_server):
    """Give a function that makes electors on the server; all are stopped."""
    made = []

    def make(**options):
        options = {"server": lease_server.url, "auto_close": False, **options}
        elector = front.elector_class(**options)
        made.append(elector)
        return elector

    yield make
    for elector in made:
        front.call(elector.stop)


@pytest.fixture
def lead(front, make):
    """Give a function that makes an elector and waits until it leads."""

    def lead(**options):
        elector = make(**options)
        heard = Heard(elector)
        front.call(elector.start)
        front.call(elector.wait_until_leading, PATIENCE)
        return elector, heard

    return lead


def test_every_promise_of_the_page_has_its_test():
    """The list names real tests, and each of them has a docstring."""
    for promise, name in PROMISES.items():
        test = globals().get(name)
        assert test is not None, promise
        assert inspect.getdoc(test), promise


# Exports ----------------------------------------------------------------------


def test_package_exports_events_and_elector(front):
    """EVENTS and Elector come from the package; EVENTS also from class and instance."""
    assert package.EVENTS.LEADERSHIP_ACQUIRED == "leadership_acquired"
    assert package.EVENTS.LEADERSHIP_LOST == "leadership_lost"
    assert package.EVENTS.LEASE_RENEWED == "lease_renewed"
    assert inspect.isclass(package.Elector)
    assert package.EVENTS is front.elector_class.EVENTS
    assert package.EVENTS is front.elector_class(auto_close=False).EVENTS


def test_elector_keeps_its_election_in_a_lease(lead, lease_server):
    """The Lease of the name given is created, and held."""
    lead(lease_name="billing", identity="a")
    spec = lease_server.lease("billing")["spec"]
    assert spec["holderIdentity"] == "a"
    assert spec["acquireTime"] <= spec["renewTime"]


def test_elector_tells_when_it_claims_the_lease(lead, lease_server):
    """The event carries the Lease, its namespace, the identity and the token."""
    _, heard = lead(lease_name="billing", identity="a")
    event = heard.wait_for(ACQUIRED)
    assert (event.lease, event.namespace, event.identity) == ("billing", "default", "a")
    created = lease_server.lease("billing")["metadata"]["resourceVersion"]
    assert event.token == int(created)


def test_elector_tells_when_a_different_one_claims_the_lease(lead, lease_server):
    """The loss is told with its reason, and who leads now is known."""
    elector, heard = lead(lease_name="billing", identity="a")
    write_lease(
        lease_server,
        "billing",
        {
            "holderIdentity": "somebody-else",
            "leaseDurationSeconds": 20,
            "acquireTime": stamp(),
            "renewTime": stamp(),
            "leaseTransitions": 1,
        },
    )
    event = heard.wait_for(LOST)
    assert (event.lease, event.reason) == ("billing", "another_holder")
    assert not elector.current_leader
    assert elector.leader_identity == "somebody-else"


def test_leader_tells_when_it_renews(lead, lease_server):
    """The event carries the renew time that was written."""
    _, heard = lead(lease_name="billing", **STEADY)
    event = heard.wait_for(RENEWED)
    assert event.lease == "billing"
    written = event.renew_time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert lease_server.lease("billing")["spec"]["renewTime"] >= written
    assert heard.wait_for(RENEWED, 2).renew_time > event.renew_time


def test_electors_of_one_lease_name_have_one_leader(front, make):
    """G1: three electors share a name; one leads, and the others know which."""
    electors = [make(lease_name="group", identity=f"elector-{n}") for n in range(3)]
    for elector in electors:
        front.call(elector.start)
    leaders = {front.call(one.wait_for_leader, PATIENCE) for one in electors}
    assert len(leaders) == 1
    # Its own write may be seen by a watch before it is answered.
    eventually(
        lambda: (
            [one.identity in leaders for one in electors]
            == [one.current_leader for one in electors]
        )
    )


# The class and its options ----------------------------------------------------


def test_elector_is_an_emitter(front, make):
    """on() hears every event, once() one, off() none any more."""
    elector = make(lease_name="billing")
    every, single, silent = [], [], []
    elector.on(LOST, every.append)
    elector.once(LOST, single.append)
    elector.on(LOST, silent.append)
    assert elector.off(LOST, silent.append)
    for _ in range(2):
        front.call(elector.start)
        front.call(elector.wait_until_leading, PATIENCE)
        front.call(elector.stop)
    assert (len(every), len(single), len(silent)) == (2, 1, 0)


def test_elector_needs_no_option(front, monkeypatch):
    """Elector() is complete."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    elector = front.elector_class()
    assert not elector.current_leader


def test_elector_has_the_defaults_of_the_page(front, monkeypatch):
    """Identity, Lease, namespace, rhythm and flags, with nothing given."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    elector = front.elector_class()
    assert elector.identity == f"elector-{socket.gethostname()}-{os.getpid()}"
    assert elector.lease_name == "python-leader-election"
    assert elector.namespace == "default"
    settings = resolve_settings()
    assert settings.renew_interval_ms == 10_000
    assert settings.lease_duration_sec == 20
    assert settings.auto_close is True
    assert settings.wait_for_leadership is False
    options = inspect.signature(front.elector_class).parameters
    assert options["auto_close"].default is True
    assert options["wait_for_leadership"].default is False


def test_elector_claims_with_its_identity(lead, lease_server, monkeypatch):
    """The pod's name is the recommended one, and is what the Lease shows."""
    monkeypatch.setenv("POD_NAME", "billing-5c9f-x2x7k")
    elector, _ = lead(lease_name="billing", identity=os.environ["POD_NAME"])
    assert elector.identity == "billing-5c9f-x2x7k"
    holder = lease_server.lease("billing")["spec"]["holderIdentity"]
    assert holder == "billing-5c9f-x2x7k"


class Lines:
    """A logger that is not the standard library's."""

    def __init__(self):
        self.lines = []

    def _take(self, text, *args):
        self.lines.append(text % args if args else text)

    debug = info = warning = error = _take


def test_elector_logs_to_the_logger_given(lead, front):
    """Any object with the usual methods will do; it is `elector.log` too."""
    log = Lines()
    elector, _ = lead(lease_name="billing", log=log)
    assert elector.log is log
    eventually(lambda: any("is the leader" in line for line in log.lines))
    usual = front.elector_class(auto_close=False).log
    assert usual is logging.getLogger("kubernetes_leader_election")
    with pytest.raises(ConfigurationError, match="log="):
        front.elector_class(log=object())


def test_elector_keeps_to_its_namespace(lead, lease_server):
    """Neither the Lease nor any request is outside the namespace."""
    lease_server.add_namespace("shop")
    elector, _ = lead(lease_name="billing", namespace="shop")
    assert elector.namespace == "shop"
    assert lease_server.lease("billing", "shop") is not None
    assert lease_server.lease("billing") is None
    assert {one.namespace for one in lease_server.requests} == {"shop"}


def test_leader_renews_at_the_interval_given(lead, lease_server):
    """The writes are as far apart as was asked for, never nearer."""
    _, heard = lead(lease_name="billing", renew_interval_ms=600, lease_duration_sec=20)
    heard.wait_for(RENEWED, 3)
    # When each was made; when it arrives depends on the machine, too.
    made = [event.renew_time for event in heard.named(RENEWED)]
    gaps = [
        (later - former).total_seconds() for former, later in itertools.pairwise(made)
    ]
    assert min(gaps) > 0.5
    assert min(gaps) < 1.5


def test_elector_writes_the_lease_duration(lead, lease_server):
    """LeaseDurationSeconds is spelt right, from the creation on."""
    lead(lease_name="billing", renew_interval_ms=7_000, lease_duration_sec=30)
    assert lease_server.lease("billing")["spec"]["leaseDurationSeconds"] == 30


@pytest.mark.parametrize("interval", [5_000, 10_000, 12_500, 60_000])
def test_elector_derives_the_lease_duration(interval):
    """Twice the renew interval, in whole seconds."""
    settings = resolve_settings(renew_interval_ms=interval)
    assert settings.lease_duration_sec == 2 * interval // 1000


@pytest.mark.slow
def test_candidate_takes_over_from_a_leader_that_crashed(lead, lease_server):
    """G6: the record stands still for its duration; then it is taken, and counted."""
    write_lease(
        lease_server,
        "billing",
        {
            "holderIdentity": "crashed",
            "leaseDurationSeconds": 1,
            "acquireTime": stamp(-60),
            "renewTime": stamp(),
            "leaseTransitions": 4,
        },
    )
    _, heard = lead(lease_name="billing", identity="heir", **FAST)
    spec = lease_server.lease("billing")["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("heir", 5)
    assert heard.wait_for(EVENTS.LEADER_CHANGED).holder_identity == "crashed"


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong_by", [-3600.0, 3600.0], ids=["an hour ago", "in an hour"]
)
def test_candidate_ignores_the_clock_of_the_leader(front, make, lease_server, wrong_by):
    """Rule 1: a renew time far off neither frees the Lease at once nor keeps it."""
    write_lease(
        lease_server,
        "billing",
        {
            "holderIdentity": "crashed",
            "leaseDurationSeconds": 1,
            "acquireTime": stamp(wrong_by),
            "renewTime": stamp(wrong_by),
        },
    )
    elector = make(lease_name="billing", identity="heir", **FAST)
    front.call(elector.start)
    assert front.call(elector.wait_for_leader, PATIENCE) == "crashed"
    front.call(elector.wait_until_leading, PATIENCE)
    read, write = (
        next(
            one.time
            for one in lease_server.requests
            if one.verb == verb
            and one.user_agent.startswith("kubernetes-leader-election")
        )
        for verb in ("get", "update")
    )
    assert write - read >= 1.0


def test_start_waits_for_a_leader_when_asked(front, make, lease_server):
    """With the option start() returns once somebody leads, this one or another."""
    first = make(lease_name="billing", identity="a", wait_for_leadership=True)
    front.call(first.start, PATIENCE)
    assert first.current_leader
    second = make(lease_name="billing", identity="b", wait_for_leadership=True)
    front.call(second.start, PATIENCE)
    assert second.leader_identity == "a"
    assert not second.current_leader
    lease_server.faults.add(Fault(Answer(503), times=None))
    failed = start_until_it_says_why(
        lambda timeout: front.call(
            make(lease_name="other", wait_for_leadership=True).start, timeout
        )
    )
    lease_server.faults.clear()
    assert "503" in str(failed.__cause__)


# Properties and methods -------------------------------------------------------


def test_elector_has_the_properties_of_the_page(lead, front):
    """current_leader, lease_name, identity and namespace; none can be set."""
    elector, _ = lead(lease_name="billing", identity="a", namespace="default")
    assert elector.current_leader is True
    names = ("lease_name", "identity", "namespace")
    assert [getattr(elector, name) for name in names] == ["billing", "a", "default"]
    for name in ("current_leader", *names):
        with pytest.raises(AttributeError):
            setattr(elector, name, "other")
    front.call(elector.stop)
    assert elector.current_leader is False


def test_start_and_stop_give_nothing(front, make):
    """Promise<void>: coroutines that give None, or plain calls that do."""
    elector = make(lease_name="billing")
    assert front.call(elector.start) is None
    assert front.call(elector.stop) is None
    assert front.call(elector.stop) is None
    coroutines = inspect.iscoroutinefunction(elector.start)
    assert coroutines is (front.kind == "asyncio")


# Usage ------------------------------------------------------------------------


def test_elector_outside_a_cluster_assumes_leadership(front, monkeypatch):
    """No variable, no mount: the event is sent, no request is, and no thread needs one."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    connected = []
    monkeypatch.setattr(
        socket.socket, "connect", lambda _, address: connected.append(address)
    )
    elector = front.elector_class(auto_close=False)
    heard = Heard(elector)
    front.call(elector.start)
    event = heard.wait_for(ACQUIRED)
    assert elector.current_leader
    assert event.token is None
    assert event.assumed
    front.call(elector.stop)
    assert heard.wait_for(LOST).reason == "stopped"
    assert connected == []


def in_pod(monkeypatch, server, directory, token):
    """Make this process look like a pod of the server's cluster."""
    for name, text in (
        ("token", token),
        ("ca.crt", server.ca),
        ("namespace", "default"),
    ):
        (directory / name).write_text(text)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    discover = functools.partial(credentials.discover, directory=str(directory))
    monkeypatch.setattr(credentials, "discover", discover)


ACCOUNT = "system:serviceaccount:default:kubernetes-election"

ROLE_OF_THE_PAGE = """
apiVersion: v1
kind: ServiceAccount
metadata:
  name: kubernetes-election
  namespace: default
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: lease-manager
  namespace: default
rules:
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, list, watch, create, update, patch, delete]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: lease-manager-binding
  namespace: default
subjects:
- kind: ServiceAccount
  name: kubernetes-election
  namespace: default
roleRef:
  kind: Role
  name: lease-manager
  apiGroup: rbac.authorization.k8s.io
"""


@pytest.mark.slow
def test_role_of_the_page_is_enough(front, lease_server_factory, monkeypatch, tmp_path):
    """A pod with the page's service account leads, and may not touch another namespace."""
    server = lease_server_factory(tls=True, manifests=ROLE_OF_THE_PAGE)
    token = server.add_user(ACCOUNT).token
    in_pod(monkeypatch, server, tmp_path, token)
    elector = front.elector_class(lease_name="billing", auto_close=False)
    front.call(elector.start)
    front.call(elector.wait_until_leading, PATIENCE)
    front.call(elector.stop)
    assert {one.user for one in server.requests} == {ACCOUNT}
    # None: what stop() cut off while it waited for an answer, as a watch may be.
    assert {one.status for one in server.requests} <= {200, 201, 404, None}
    server.add_namespace("shop")
    stranger = front.elector_class(namespace="shop", auto_close=False)
    heard = Heard(stranger)
    front.call(stranger.start)
    assert "forbidden" in str(heard.wait_for(EVENTS.ERROR).error)
    assert not stranger.current_leader
    front.call(stranger.stop)


def test_elector_looks_for_a_cluster_when_it_is_started(
    front, lease_server_factory, monkeypatch, tmp_path
):
    """Made before the variables of the pod are there, it takes part all the same."""
    server = lease_server_factory(tls=True, manifests=ROLE_OF_THE_PAGE)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    elector = front.elector_class(lease_name="billing", auto_close=False)
    in_pod(monkeypatch, server, tmp_path, server.add_user(ACCOUNT).token)
    heard = Heard(elector)
    front.call(elector.start)
    assert not heard.wait_for(ACQUIRED).assumed
    front.call(elector.stop)
    # Started where there is no cluster, the same options assume leadership.
    monkeypatch.undo()
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    outside = front.elector_class(lease_name="billing", auto_close=False)
    heard = Heard(outside)
    front.call(outside.start)
    assert heard.wait_for(ACQUIRED).assumed
    front.call(outside.stop)


@pytest.mark.slow
def test_elector_in_a_cluster_leads_only_by_its_api(
    front, lease_server_factory, monkeypatch, tmp_path
):
    """With KUBERNETES_SERVICE_HOST set and an API that refuses, nobody leads."""
    server = lease_server_factory(tls=True, manifests=ROLE_OF_THE_PAGE)
    in_pod(monkeypatch, server, tmp_path, "a token nobody has")
    elector = front.elector_class(lease_name="billing", auto_close=False)
    heard = Heard(elector)
    front.call(elector.start)
    assert "401" in str(heard.wait_for(EVENTS.ERROR).error)
    assert not elector.current_leader
    (tmp_path / "token").write_text(server.add_user(ACCOUNT).token)
    front.call(elector.wait_until_leading, PATIENCE)
    front.call(elector.stop)


EXAMPLES = {
    "asyncio": """
import asyncio, os, signal, sys
from kubernetes_leader_election import Elector, EVENTS

async def main():
    elector = Elector(
        lease_name="my-application-lease",
        auto_close=False,
        identity=os.environ.get("POD_NAME") or f"my-application-{os.getpid()}",
        server=sys.argv[1],
    )
    stopped = asyncio.Event()

    async def important_function(event):
        if not elector.current_leader:
            print("I'm not the leader. Nothing to do", flush=True)
            return
        print("Important work has been done", flush=True)

    async def stop(signal_name):
        elector.log.info("received signal %s", signal_name)
        await elector.stop()
        stopped.set()

    elector.on(EVENTS.LEADERSHIP_ACQUIRED, important_function)
    elector.on(EVENTS.LEADERSHIP_LOST, important_function)
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, lambda name=name: loop.create_task(stop(name)))
    await elector.start()
    await stopped.wait()

asyncio.run(main())
""",
    "threads": """
import os, signal, sys, threading
from kubernetes_leader_election import EVENTS
from kubernetes_leader_election.sync import Elector

elector = Elector(
    lease_name="my-application-lease",
    auto_close=False,
    identity=os.environ.get("POD_NAME") or f"my-application-{os.getpid()}",
    server=sys.argv[1],
)
stopping = threading.Event()

def important_function(event):
    if not elector.current_leader:
        print("I'm not the leader. Nothing to do", flush=True)
        return
    print("Important work has been done", flush=True)

def on_signal(number, frame):
    stopping.set()

elector.on(EVENTS.LEADERSHIP_ACQUIRED, important_function)
elector.on(EVENTS.LEADERSHIP_LOST, important_function)
signal.signal(signal.SIGINT, on_signal)
signal.signal(signal.SIGTERM, on_signal)
elector.start()
stopping.wait()
elector.log.info("received a signal")
elector.stop()
""",
}

CLOSES_ITSELF = {
    "asyncio": """
import asyncio, sys
from kubernetes_leader_election import Elector

async def main():
    elector = Elector(lease_name="billing", server=sys.argv[1], stop_budget_sec=0.5)
    elector.on("leadership_acquired", lambda event: print("leads", flush=True))
    await elector.start()
    await asyncio.Event().wait()

asyncio.run(main())
""",
    "threads": """
import sys, threading
from kubernetes_leader_election.sync import Elector

elector = Elector(lease_name="billing", server=sys.argv[1], stop_budget_sec=0.5)
elector.on("leadership_acquired", lambda event: print("leads", flush=True))
elector.start()
threading.Event().wait()
""",
}


def play(program, server, number):
    """Run a program until it says that it leads, send a signal, give what it did."""
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", program, server.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            first = process.stdout.readline()
            let_main_thread_wait(process.pid)
            process.send_signal(number)
            rest, errors = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    return first + rest, errors, process.returncode


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
@pytest.mark.parametrize("kind", ["asyncio", "threads"])
def test_elector_stops_itself_on_a_signal(lease_server, kind, number):
    """The Lease is released before the process ends as the signal wants it to."""
    output, errors, code = play(CLOSES_ITSELF[kind], lease_server, number)
    assert output == "leads\n"
    assert lease_server.lease("billing")["spec"].get("holderIdentity", "") == ""
    if number == signal.SIGTERM:
        assert (128 + number, "") == (code, errors)
    else:
        assert code == -signal.SIGINT
        assert errors.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["asyncio", "threads"])
def test_example_of_the_page_works_in_python(lease_server, kind):
    """Line by line the page's example: work when leading, none after the loss."""
    output, errors, code = play(EXAMPLES[kind], lease_server, signal.SIGTERM)
    assert (code, errors) == (0, "")
    assert output.splitlines() == [
        "Important work has been done",
        "I'm not the leader. Nothing to do",
    ]
    lease = lease_server.lease("my-application-lease")
    assert lease["spec"].get("holderIdentity", "") == ""


# Where the Node package breaks its own page -----------------------------------


@pytest.mark.slow
def test_leader_rides_out_a_failed_renewal(lead, lease_server):
    """G8: one failed renewal costs nothing but a second try."""
    elector, heard = lead(lease_name="billing", **STEADY)
    heard.wait_for(RENEWED)
    lease_server.faults.add(Fault(Answer(500), verb="update"))
    eventually(lambda: lease_server.requests.matching(verb="update", status=500))
    heard.wait_for(RENEWED, len(heard.named(RENEWED)) + 2)
    assert elector.current_leader
    assert heard.named(LOST) == []


@pytest.mark.slow
def test_elector_contends_again_after_a_loss(lead, lease_server):
    """G8: an outage longer than the deadline ends the term, never the elector."""
    elector, heard = lead(lease_name="billing", **FAST)
    first = heard.wait_for(ACQUIRED)
    outage = lease_server.faults.add(Fault(Answer(503), times=None))
    assert heard.wait_for(LOST).reason == "renew_deadline"
    lease_server.faults.remove(outage)
    second = heard.wait_for(ACQUIRED, 2)
    assert elector.current_leader
    assert second.token > first.token
    assert heard.names(ACQUIRED, LOST) == [ACQUIRED, LOST, ACQUIRED]


def test_elector_tells_that_it_stops_leading(lead, front, lease_server):
    """Who stops says so, and lets the next one lead at once."""
    elector, heard = lead(lease_name="billing")
    front.call(elector.stop)
    assert heard.wait_for(LOST).reason == "stopped"
    assert lease_server.lease("billing")["spec"].get("holderIdentity", "") == ""
