"""What an elector tells others: the leader's address, and Events on its Lease."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from types import SimpleNamespace

import pytest

from kubernetes_leader_election import Elector as AsyncElector
from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.kube_api.call import Call
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.kube_api.results import Answered
from kubernetes_leader_election.kube_api.slices import SliceClient
from kubernetes_leader_election.lifecycle.announcer import Announcer
from kubernetes_leader_election.lifecycle.optional_features import OptionalFeatures
from kubernetes_leader_election.lifecycle.shutdown import Shutdown
from kubernetes_leader_election.process import native
from kubernetes_leader_election.publish import own_clients, slice_keeper
from kubernetes_leader_election.publish.event_writer import AT_ONCE
from kubernetes_leader_election.sync import Elector
from kubernetes_leader_election.testing import Answer, Fault, Hang, LeaseServer
from tests.lifecycle.driven import Log
from tests.node_page import eventually

PATIENCE = 30.0
SERVICE = "billing-leader"


@pytest.fixture(autouse=True)
def _threads_end():
    """Let what tells others end with its test: an elector that stops does not wait for it."""
    yield
    eventually(no_threads)


@pytest.fixture
def server():
    """Give a Lease API of its own."""
    with LeaseServer() as server:
        yield server


@pytest.fixture
def pod(monkeypatch):
    """Let this process find itself in a pod."""
    monkeypatch.setenv("POD_IP", "10.1.2.3")
    monkeypatch.setenv("POD_NAME", "billing-0")


def options(server, identity="a", **more):
    """Give the options of one elector on the server."""
    return {
        "lease_name": "billing",
        "identity": identity,
        "credentials": explicit(server=server.url),
        "auto_close": False,
        "leader_endpoints": f"{SERVICE}:8080",
        **more,
    }


def addresses(server):
    """Return the addresses in the slice; None where there is no slice."""
    found = server.endpoint_slice(SERVICE)
    if found is None:
        return None
    return [a for one in found["endpoints"] or () for a in one["addresses"]]


def written(server):
    """Count the writes of slices."""
    return sum(
        "endpointslices" in one.path and one.verb in {"patch", "create", "update"}
        for one in server.requests
    )


def test_slice_has_the_address_of_the_leader(server, pod):
    """Made by the first leader, with all that a Service needs to find it."""
    with Elector(**options(server)) as elector:
        term = elector.wait_until_leading(timeout=PATIENCE)
        eventually(lambda: addresses(server) == ["10.1.2.3"])
        made = server.endpoint_slice(SERVICE)
        uid = server.lease("billing")["metadata"]["uid"]
    assert made["metadata"]["labels"] == {
        "kubernetes.io/service-name": SERVICE,
        "endpointslice.kubernetes.io/managed-by": "kubernetes-leader-election",
    }
    assert made["metadata"]["annotations"] == {
        "kubernetes-leader-election/lease": "billing",
        "kubernetes-leader-election/holder": "a",
        "kubernetes-leader-election/term": f"{uid} {term.fencing_token}",
    }
    assert made["addressType"] == "IPv4"
    assert made["ports"] == [{"name": "", "port": 8080, "protocol": "TCP"}]
    (endpoint,) = made["endpoints"]
    assert endpoint["conditions"] == {"ready": True}
    assert endpoint["targetRef"]["name"] == "billing-0"


def test_successor_replaces_the_address_in_one_write(server, pod, monkeypatch):
    """The old leader leaves it there, so that nobody is turned away meanwhile."""
    first, second = Elector(**options(server)), Elector(**options(server, "b"))
    with first:
        first.wait_until_leading(timeout=PATIENCE)
        eventually(lambda: addresses(server) == ["10.1.2.3"])
        monkeypatch.setenv("POD_IP", "10.1.2.4")
        with second:
            second.wait_for_leader(timeout=PATIENCE)
            before = written(server)
            first.step_down()
            eventually(lambda: addresses(server) == ["10.1.2.4"])
            assert written(server) == before + 1


def test_leader_that_stops_without_a_successor_takes_its_address_out(server, pod):
    """Nobody leads: who asks is refused at once, and not led to an old address."""
    with Elector(**options(server)) as elector:
        elector.wait_until_leading(timeout=PATIENCE)
        eventually(lambda: addresses(server) == ["10.1.2.3"])
    eventually(lambda: addresses(server) == [])


def test_asyncio_elector_does_the_same(server, pod):
    """Both fronts have it."""

    async def main():
        async with AsyncElector(**options(server)) as elector:
            await elector.wait_until_leading(timeout=PATIENCE)
            await asyncio.to_thread(
                eventually, lambda: addresses(server) == ["10.1.2.3"]
            )

    asyncio.run(asyncio.wait_for(main(), PATIENCE))
    eventually(lambda: addresses(server) == [])


def test_no_thread_is_left(server, pod):
    """What told others has ended with the elector."""
    with Elector(**options(server, kubernetes_events=True)) as elector:
        elector.wait_until_leading(timeout=PATIENCE)
        names = {thread.name for thread in threading.enumerate()}
        assert {"leader-election-slice", "leader-election-events"} <= names
    eventually(
        lambda: (
            not any(
                thread.name in {"leader-election-slice", "leader-election-events"}
                for thread in threading.enumerate()
            )
        )
    )


def test_next_life_cannot_begin_before_the_last_one_has_ended(server, pod, monkeypatch):
    """Or its threads, its signals and its probe would be ended in place of the last's."""
    given = Elector(**options(server, kubernetes_events=True))
    seen = []
    for kind, name in (
        (OptionalFeatures, "end_fence"),
        (OptionalFeatures, "end_announcing"),
        (Shutdown, "unwatch"),
    ):
        end = getattr(kind, name)

        def noting(self, end=end, name=name):
            seen.append((name, given._lifecycle.running))
            end(self)

        monkeypatch.setattr(kind, name, noting)
    with given:
        given.wait_until_leading(timeout=PATIENCE)
    assert seen == [("end_fence", True), ("end_announcing", True), ("unwatch", True)]
    eventually(no_threads)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_child_process_keeps_no_connection(server, pod):
    """Fault 15: and waits for no thread, as it has none of them."""
    with Elector(**options(server, kubernetes_events=True)) as elector:
        elector.wait_until_leading(timeout=PATIENCE)
        eventually(lambda: addresses(server) and server.events())
        clients = tuple(own_clients._clients())
        eventually(lambda: open_sockets(clients) == 2)
        pid = os.fork()
        if pid == 0:  # pragma: no cover - the child's coverage is not collected
            code = 1
            try:
                elector._lifecycle.optional_features.end_announcing()
                elector._lifecycle.optional_features.finish_announcing(PATIENCE)
                code = 0 if open_sockets(clients) == 0 else 2
            finally:
                os._exit(code)
        began = time.monotonic()
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert time.monotonic() - began < PATIENCE
        assert open_sockets(clients) == 2


def open_sockets(clients):
    """Count the connections of what tells others."""
    return sum(client.open_sockets for client in clients)


def test_without_a_usable_address_it_does_not_start(server, monkeypatch):
    """And says what to add."""
    monkeypatch.delenv("POD_IP", raising=False)
    elector = Elector(**options(server))
    with pytest.raises(ConfigurationError, match=r"POD_IP.*fieldPath: status\.podIP"):
        elector.start()
    monkeypatch.setenv("POD_IP", "10.1.2")
    with pytest.raises(ConfigurationError, match="no IP address"):
        elector.start()
    assert not elector.state.role.startswith("lead")


# What fails -------------------------------------------------------------------

SLICES = "/apis/discovery.k8s.io/"
EVENTS = "/api/v1/namespaces/default/events"
QUICK = {"renew_interval_ms": 100, "lease_duration_sec": 20}


def renewals(server):
    """Count the writes of the Lease."""
    return sum(
        one.verb == "update" and "/leases/" in one.path for one in server.requests
    )


def tries(server, path):
    """Count the requests below a path."""
    return sum(one.path.startswith(path) for one in server.requests)


@pytest.mark.parametrize(
    "trouble",
    [Hang(), Answer(403, "Forbidden", "no"), Answer(500, "InternalError", "no")],
    ids=["hangs", "refuses", "fails"],
)
def test_trouble_with_what_is_told_delays_no_renewal(server, pod, trouble):
    """Fault 80: leading, renewing and stopping do not wait; said once each."""
    for path in (SLICES, EVENTS):
        server.faults.add(Fault(trouble, path=path, times=None))
    log = Log()
    # Longer than the test: who waited for such a request would be seen.
    slow = {"request_timeout_sec": 0.3}
    # A term that a wait of 4 s would end, and a busy machine not.
    rhythm = {"renew_interval_ms": 100, "lease_duration_sec": 5}
    given = options(server, kubernetes_events=True, log=log, **rhythm, **slow)
    with Elector(**given) as elector:
        term = elector.wait_until_leading(timeout=PATIENCE)
        before = renewals(server)
        eventually(lambda: renewals(server) > before + 5)
        assert not term.is_lost
        for path, name in (
            (SLICES, "leader_endpoints"),
            (EVENTS, "kubernetes_events"),
        ):
            eventually(lambda: tries(server, path) >= 4)
            eventually(lambda: log.about(f"{name}: the election goes on"))
            assert len(log.about(f"{name}: the election goes on")) == 1
    assert server.lease("billing")["spec"].get("holderIdentity", "") == ""


def test_recovery_is_told(server, pod):
    """Fault 80: when the server takes it again."""
    server.faults.add(Fault(Answer(500, "InternalError", "no"), path=SLICES, times=2))
    log = Log()
    with Elector(**options(server, log=log)) as elector:
        elector.wait_until_leading(timeout=PATIENCE)
        eventually(lambda: addresses(server) == ["10.1.2.3"])
        eventually(lambda: log.about("leader_endpoints: recovered after"))


def test_slice_that_is_changed_again_and_again_is_told_of_once(
    server, pod, monkeypatch
):
    """Fault 79: as by a webhook that adds a field to whatever is written."""
    monkeypatch.setattr(slice_keeper, "LOOK_AGAIN", 0.02)
    log = Log()
    with Elector(**options(server, log=log)) as elector:
        elector.wait_until_leading(timeout=PATIENCE)
        for _ in range(4):
            eventually(lambda: addresses(server) == ["10.1.2.3"])
            disturb(server)
        eventually(lambda: addresses(server) == ["10.1.2.3"])
        eventually(lambda: log.about("changed by somebody else"))
    assert len(log.about("changed by somebody else")) == 1


def disturb(server):
    """Write another address into the slice, as anybody with the right may."""
    client = LeaseClient(explicit(server=server.url))
    found = server.endpoint_slice(SERVICE)
    endpoints = [{**one, "addresses": ["10.6.6.6"]} for one in found["endpoints"]]
    written = SliceClient(client, "default", SERVICE).patch(
        {"endpoints": endpoints},
        version=found["metadata"]["resourceVersion"],
        call=Call(),
    )
    assert isinstance(written, Answered)
    client.close()


def test_address_is_written_no_more_after_the_loss(server, pod):
    """Fault 78: a term that was lost while the server was away is not announced."""
    blocked = server.faults.add(
        Fault(Answer(503, "ServiceUnavailable", "no"), path=SLICES, times=None)
    )
    with Elector(**options(server)) as elector:
        elector.wait_until_leading(timeout=PATIENCE)
        eventually(lambda: written_or_read(server) >= 1)
        elector.step_down(stay_out=PATIENCE)
        eventually(lambda: not elector.current_leader)
        server.faults.remove(blocked)
        seen = written_or_read(server)
        # What was to be tried again is tried, and finds that the term is over.
        elector.stop(timeout=PATIENCE)
        eventually(lambda: written_or_read(server) > seen or no_threads())
    eventually(no_threads)
    assert addresses(server) is None


def written_or_read(server):
    """Count the requests about slices."""
    return sum("endpointslices" in one.path for one in server.requests)


def no_threads():
    """Tell whether nothing is left of what tells others."""
    names = {thread.name for thread in threading.enumerate()}
    return not names & {"leader-election-slice", "leader-election-events"}


# Events -----------------------------------------------------------------------


def reasons(server):
    """Return the reasons of all Events."""
    return [event["reason"] for event in server.events()]


def test_events_tell_of_a_term(server, pod):
    """Became leader, and gave it up, with the names and the reason."""
    given = options(server, leader_endpoints=None, kubernetes_events=True)
    with Elector(**given) as elector:
        term = elector.wait_until_leading(timeout=PATIENCE)
        eventually(lambda: reasons(server) == ["BecameLeader"])
        uid = server.lease("billing")["metadata"]["uid"]
    eventually(lambda: reasons(server) == ["BecameLeader", "GaveUpLeadership"])
    first, second = server.events()
    assert first["message"] == (f"a became leader (term 1, token {term.fencing_token})")
    assert second["message"] == "a gave up leadership: it was stopped (term 1)"
    assert {event["involvedObject"]["uid"] for event in (first, second)} == {uid}
    assert written_or_read(server) == 0


@pytest.mark.parametrize(
    ("found_out", "reason", "said"),
    [
        ({"crash_proof": "it was killed"}, "TookOver", "; took over: it was killed"),
        (
            {"no_proof": "the pod is gone"},
            "BecameLeader",
            "; the end of who led before was not proven: the pod is gone",
        ),
        ({}, "BecameLeader", ""),
    ],
)
def test_event_tells_what_was_found_out_of_who_led_before(found_out, reason, said):
    """The proof of its end, or why there is none."""
    settings = SimpleNamespace(lease_name="billing")
    status = SimpleNamespace(settings=settings, namespace="shop", identity="a")
    announcer, events = Announcer(status, None), queue.SimpleQueue()
    announcer._events = events  # its worker, which would write them
    began = m.LeadershipAcquired(
        lease="billing",
        namespace="shop",
        identity="a",
        term=1,
        token_if_any=41,
        **found_out,
    )
    announcer.acquired(began, SimpleNamespace(snapshot=None))
    happening = events.get(timeout=PATIENCE)
    assert happening.reason == reason
    assert happening.message == f"a became leader (term 1, token 41){said}"


def test_elector_that_is_started_again_and_again_floods_nobody(server, pod):
    """Fault 80: two Events each time, but for the limit, which is that of all lives."""
    given = options(server, leader_endpoints=None, kubernetes_events=True)
    elector = Elector(**given)
    for _ in range(AT_ONCE // 2 + 2):
        with elector:
            elector.wait_until_leading(timeout=PATIENCE)
    eventually(no_threads)
    assert len(server.events()) == AT_ONCE


def test_event_tells_of_a_loss(server, pod):
    """As a warning, with its reason."""
    given = options(server, leader_endpoints=None, kubernetes_events=True)
    with Elector(**given) as elector:
        elector.wait_until_leading(timeout=PATIENCE)
        delete_lease(server)
        eventually(lambda: "LostLeadership" in reasons(server))
    lost = next(e for e in server.events() if e["reason"] == "LostLeadership")
    assert lost["type"] == "Warning"
    assert "the Lease was deleted or replaced" in lost["message"]


def delete_lease(server):
    """Delete the Lease as an administrator would."""
    client = LeaseClient(explicit(server=server.url))
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/billing"
    assert isinstance(client.request("DELETE", path, call=Call()), Answered)
    client.close()


def test_event_tells_of_work_that_does_not_stop(server, pod):
    """Fault 09: seen by who looks at the Lease, too."""
    given = options(
        server,
        leader_endpoints=None,
        kubernetes_events=True,
        grace_sec=0.05,
        **QUICK,
    )
    done = threading.Event()
    with Elector(**given) as elector:
        elector.wait_until_leading(timeout=PATIENCE)

        def work():
            with elector.guard():
                done.wait(PATIENCE)

        worker = threading.Thread(target=work)
        worker.start()
        eventually(lambda: elector._lifecycle.current.work.alive)
        elector._lifecycle.ask_to_step_down(PATIENCE)  # the public one waits for it
        eventually(lambda: "WorkDoesNotStop" in reasons(server))
        done.set()
        worker.join(PATIENCE)
    told = next(e for e in server.events() if e["reason"] == "WorkDoesNotStop")
    assert told["type"] == "Warning"
    assert "is still running" in told["message"]


def test_nothing_is_told_where_nobody_asked(server, pod):
    """Off by default, and off for who only looks."""
    given = options(server, leader_endpoints=None)
    with Elector(**given) as elector:
        elector.wait_until_leading(timeout=PATIENCE)
        assert no_threads()
        watching = options(server, "b", kubernetes_events=True, observe=True)
        with Elector(**watching) as observer:
            observer.wait_for_leader(timeout=PATIENCE)
            assert no_threads()
    assert written_or_read(server) == 0
    assert server.events() == []


def test_outside_a_cluster_nothing_is_told(monkeypatch):
    """There leadership is assumed, and there is nobody to tell."""
    monkeypatch.delenv("POD_IP", raising=False)
    with Elector(
        lease_name="billing",
        leader_endpoints=f"{SERVICE}:8080",
        kubernetes_events=True,
        auto_close=False,
    ) as elector:
        elector.wait_until_leading(timeout=PATIENCE)
        assert no_threads()


def test_thread_that_cannot_be_had_is_no_reason_not_to_lead(server, pod, monkeypatch):
    """Fault 80: the election goes on without it, and says so."""
    start = native.start_thread

    def refused(function, *args, name, **more):
        if name == "leader-election-slice":
            raise RuntimeError("can't start new thread")
        return start(function, *args, name=name, **more)

    monkeypatch.setattr(native, "start_thread", refused)
    log = Log()
    with Elector(**options(server, log=log)) as elector:
        elector.wait_until_leading(timeout=PATIENCE)
        eventually(lambda: log.about("no thread for leader-election-slice"))
    assert addresses(server) is None


@pytest.mark.parametrize("word", ["acquired", "lost", "work_ended"])
def test_defect_of_what_tells_others_ends_no_term(server, pod, monkeypatch, word):
    """Fault 07: logged, and nothing depends on it."""

    def broken(*_):
        raise ValueError("a defect")

    monkeypatch.setattr(Announcer, word, broken)
    log = Log()
    with Elector(**options(server, log=log, **QUICK)) as elector:
        term = elector.wait_until_leading(timeout=PATIENCE)
        before = renewals(server)
        eventually(lambda: renewals(server) > before + 2)
        assert not term.is_lost
    assert server.lease("billing")["spec"].get("holderIdentity", "") == ""
    eventually(lambda: log.about("others could not be told"))
