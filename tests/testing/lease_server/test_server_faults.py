"""Faults on a running server, as a client meets them."""

from __future__ import annotations

import http.client
import json
import threading
import time

import pytest
from tests.node_page import PATIENCE, eventually

from kubernetes_leader_election.testing import (
    Answer,
    ApplyLate,
    ApplyThenDrop,
    ApplyThenHang,
    CutWatch,
    Delay,
    DropBefore,
    Fault,
    Hang,
    LagWatch,
    LeaseServer,
    SilenceWatch,
    StaleRead,
    Throttle,
    Timings,
)

LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
HUNG_UP = (http.client.RemoteDisconnected, ConnectionError)


class Client:
    """A client with one connection a request, and watches."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.open: list[http.client.HTTPConnection] = []

    def call(self, method, path, document=None, timeout=PATIENCE, headers=None):
        """Make one request and give status and parsed body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            body = None if document is None else json.dumps(document)
            kind = {"Content-Type": "application/json"} if body else {}
            connection.request(method, path, body, {**kind, **(headers or {})})
            answer = connection.getresponse()
            raw = answer.read()
            self.headers = answer.headers
            return answer.status, json.loads(raw) if raw.startswith(b"{") else raw
        finally:
            connection.close()

    def put(self, holder, name="p", version=None, **options):
        """Put a Lease, on the current version if none is given."""
        metadata = {"name": name}
        status, current = self.call("GET", f"{LEASES}/{name}?resourceVersion=0")
        if status == 200:
            metadata["resourceVersion"] = current["metadata"]["resourceVersion"]
        if version is not None:
            metadata["resourceVersion"] = version
        document = {"metadata": metadata, "spec": {"holderIdentity": holder}}
        return self.call("PUT", f"{LEASES}/{name}", document, **options)

    def watch(self, query=""):
        """Open a watch and give its response."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=PATIENCE
        )
        connection.request("GET", f"{LEASES}?watch=1{query}")
        self.open.append(connection)
        response = connection.getresponse()
        self.open.append(response)
        return response

    def close(self):
        """Close everything."""
        for one in reversed(self.open):
            one.close()


@pytest.fixture
def server():
    """Give a server whose patience is short."""
    with LeaseServer(timings=Timings(write=0.5, read=0.5, health=0.2)) as one:
        yield one


@pytest.fixture
def client(server):
    """Give a client of it."""
    one = Client(server.port)
    yield one
    one.close()


def holder(server, name="p"):
    """Give the holder as it is stored."""
    stored = server.lease(name)
    return stored and stored["spec"].get("holderIdentity")


@pytest.mark.slow
def test_delayed_requests_are_served_late(server, client):
    """Delay: the answer is right, and late (fault 27)."""
    server.faults.add(Fault(Delay(0.3), verb="update"))
    began = time.monotonic()
    assert client.put("a")[0] == 201
    assert time.monotonic() - began >= 0.3


def test_answered_requests_have_no_effect(server, client):
    """Answer: any status, nothing is stored, and the rule is used up (fault 24)."""
    server.faults.add(Fault(Answer(500, "InternalError", "boom"), verb="update"))
    status, body = client.put("a")
    assert (status, body["reason"], body["message"]) == (500, "InternalError", "boom")
    assert holder(server) is None
    assert client.put("a")[0] == 201


def test_answers_can_be_anything(server, client):
    """Answer: a body of one's own, as HTML from a proxy (fault 49)."""
    page = Answer(200, body="<html>hello</html>", content_type="text/html")
    server.faults.add(Fault(page, verb="get"))
    status, body = client.call("GET", f"{LEASES}/p")
    assert (status, body) == (200, b"<html>hello</html>")
    assert client.headers["Content-Type"] == "text/html"


def test_throttled_requests_are_told_when_to_come_again(server, client):
    """Throttle: 429 as text, with Retry-After (fault 32)."""
    server.faults.add(Fault(Throttle(retry_after=7), verb="update"))
    status, body = client.put("a")
    assert (status, client.headers["Retry-After"]) == (429, "7")
    assert body == b"Too many requests, please try again later.\n"


@pytest.mark.slow
def test_hung_requests_are_not_answered(server, client):
    """Hang: silence, no effect, until the client gives up (fault 26)."""
    server.faults.add(Fault(Hang(), verb="update"))
    with pytest.raises(TimeoutError):
        client.put("a", timeout=0.3)
    assert holder(server) is None


def test_hung_requests_are_dropped_in_the_end(server, client):
    """Hang: with a time, the connection is dropped after it."""
    server.faults.add(Fault(Hang(0.2), verb="update"))
    with pytest.raises(HUNG_UP):
        client.put("a")


def test_dropped_requests_have_no_effect(server, client):
    """DropBefore: the connection goes, the Lease does not come (fault 24)."""
    server.faults.add(Fault(DropBefore(), verb="update"))
    with pytest.raises(HUNG_UP):
        client.put("a")
    assert holder(server) is None
    (record,) = server.requests.matching(verb="update")
    assert (record.status, record.fault) == (None, "DropBefore")


def test_applied_and_dropped_requests_have_an_effect(server, client):
    """ApplyThenDrop: the effect is there, the answer is not (faults 28, 30)."""
    server.faults.add(Fault(ApplyThenDrop(), verb="update"))
    with pytest.raises(HUNG_UP):
        client.put("a")
    assert holder(server) == "a"
    assert server.requests.counts()["update"] == 1


@pytest.mark.slow
def test_applied_and_hung_requests_have_an_effect(server, client):
    """ApplyThenHang: applied at once, never answered (fault 28)."""
    server.faults.add(Fault(ApplyThenHang(), verb="update"))
    with pytest.raises(TimeoutError):
        client.put("a", timeout=0.3)
    eventually(lambda: holder(server) == "a")


@pytest.mark.slow
def test_late_requests_meet_the_later_state(server, client):
    """ApplyLate: a write stuck on the way loses against a newer one (fault 29)."""
    for seconds in (0.4, 10.0):  # the longer ones for a machine that is too busy
        client.put("first")
        server.faults.add(Fault(ApplyLate(seconds), verb="update"))
        began = time.monotonic()
        with pytest.raises(HUNG_UP):
            client.put("late")
        between = holder(server)
        status, _ = client.put("second")
        revision = server.revision
        if time.monotonic() - began < seconds:
            break
    assert (between, status) == ("first", 200)
    # The late write has come by then, and leaves no trace to wait for.
    time.sleep(seconds + 0.2)
    assert (holder(server), server.revision) == ("second", revision)


def test_late_requests_are_applied_if_nothing_came_between(server, client):
    """ApplyLate: without a rival the write lands, after its sender gave up."""
    client.put("first")
    server.faults.add(Fault(ApplyLate(0.2), verb="update"))
    with pytest.raises(HUNG_UP):
        client.put("late")
    eventually(lambda: holder(server) == "late")


def test_stale_reads_show_the_past(server, client):
    """StaleRead: GET and LIST as a lagging server gives them (fault 39)."""
    for name in ("a", "b", "c"):
        client.put(name)
    server.faults.add(Fault(StaleRead(versions=2), times=2))
    assert client.call("GET", f"{LEASES}/p")[1]["spec"]["holderIdentity"] == "a"
    (listed,) = client.call("GET", LEASES)[1]["items"]
    assert listed["spec"]["holderIdentity"] == "a"
    assert client.call("GET", f"{LEASES}/p")[1]["spec"]["holderIdentity"] == "c"


def test_stale_reads_reach_before_the_creation(server, client):
    """StaleRead: far enough back there was nothing."""
    client.put("a")
    server.faults.add(Fault(StaleRead(versions=5)))
    assert client.call("GET", f"{LEASES}/p")[0] == 404


def test_cut_watches_end_in_mid_line(server, client):
    """CutWatch: half a line, and no final chunk (fault 40)."""
    server.faults.add(Fault(CutWatch(after_events=1)))
    watch = client.watch()
    client.put("a")
    assert json.loads(watch.readline())["type"] == "ADDED"
    client.put("b")
    with pytest.raises((http.client.IncompleteRead, ConnectionError)) as cut:
        watch.read()
    if isinstance(cut.value, http.client.IncompleteRead):
        assert b"\n" not in cut.value.partial


@pytest.mark.slow
def test_silenced_watches_stay_open(server, client):
    """SilenceWatch: nothing comes, nothing closes (faults 25, 40)."""
    server.faults.add(Fault(SilenceWatch(after_events=1)))
    watch = client.watch()
    client.put("a")
    assert json.loads(watch.readline())["type"] == "ADDED"
    client.put("b")
    assert server.open_watches == 1
    heard = []
    reader = threading.Thread(target=lambda: heard.append(watch.readline()))
    reader.start()
    reader.join(0.3)
    assert heard == []
    server.end_watches()
    reader.join(PATIENCE)
    assert heard == [b""]


@pytest.mark.slow
def test_lagging_watches_are_late_and_in_order(server, client):
    """LagWatch: every event comes, so much later (fault 39)."""
    server.faults.add(Fault(LagWatch(0.3)))
    watch = client.watch()
    began = time.monotonic()
    written = [f"p{number}" for number in range(60)]
    for name in written:
        client.put(name)
    events = [json.loads(watch.readline()) for _ in written]
    waited = time.monotonic() - began
    names = [one["object"]["spec"]["holderIdentity"] for one in events]
    assert names == written
    assert 0.3 <= waited < 60 * 0.3, "what is late does not add up"


def test_faults_hit_one_user_only(server):
    """A rule with a user leaves the others alone."""
    server.add_user("a", token="ta", groups=("system:masters",))
    server.add_user("b", token="tb", groups=("system:masters",))
    server.faults.add(Fault(Answer(503), user="a", times=None))
    client = Client(server.port)
    found = {
        token: client.call("GET", LEASES, headers={"Authorization": f"Bearer {token}"})[
            0
        ]
        for token in ("ta", "tb")
    }
    assert found == {"ta": 503, "tb": 200}


def test_health_is_left_alone(server, client):
    """A rule without verb and path is about objects only."""
    server.faults.add(Fault(Answer(503), times=None))
    assert client.call("GET", "/readyz")[0] == 200
    assert client.call("GET", LEASES)[0] == 503


@pytest.mark.slow
def test_frozen_server_does_nothing(server, client):
    """freeze: no answer and no effect until the thaw (fault 22)."""
    client.put("a")
    server.freeze()
    with pytest.raises(TimeoutError):
        client.call("GET", "/readyz", timeout=0.3)
    server.thaw()
    assert client.call("GET", "/readyz")[0] == 200


@pytest.mark.slow
def test_frozen_server_thaws_by_itself(server, client):
    """freeze(seconds): it goes on in the end."""
    began = time.monotonic()
    server.freeze(0.3)
    assert client.call("GET", "/readyz")[0] == 200
    assert time.monotonic() - began >= 0.25


def test_frozen_server_can_be_stopped():
    """A frozen server stops like another."""
    server = LeaseServer().start()
    server.freeze()
    server.stop()


def test_restart_loses_the_history(server, client):
    """restart: objects stay, connections are cut, watches get 410 (fault 24)."""
    version = client.put("a")[1]["metadata"]["resourceVersion"]
    watch = client.watch(f"&resourceVersion={version}")
    server.restart()
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        watch.read()
    assert holder(server) == "a"
    client.put("b")
    again = client.watch(f"&resourceVersion={version}")
    assert json.loads(again.readline())["object"]["code"] == 410


@pytest.mark.slow
def test_restart_takes_its_time(server, client):
    """restart(down): nobody listens in between."""
    refused = False
    deadline = time.monotonic() + PATIENCE
    while not refused:  # at the first time, unless this thread gets no turn meanwhile
        assert time.monotonic() < deadline
        thread = threading.Thread(target=lambda: server.restart(down=0.5))
        thread.start()
        while thread.is_alive():
            try:
                client.call("GET", "/readyz")
            except ConnectionRefusedError:
                refused = True
            except HUNG_UP:
                pass  # it was under way when the server went
            time.sleep(0.02)  # a look now and then
        thread.join()
    assert client.call("GET", "/readyz")[0] == 200


def test_graceful_restart_ends_watches_cleanly(server, client):
    """restart(graceful): streams end with their final chunk."""
    watch = client.watch()
    client.put("a")
    assert watch.readline()
    server.restart(graceful=True)
    assert watch.read() == b""


def test_compaction_makes_old_versions_too_old(server, client):
    """compact: a watch from before is told 410 in the stream (fault 40)."""
    version = client.put("a")[1]["metadata"]["resourceVersion"]
    client.put("b")
    server.compact()
    event = json.loads(client.watch(f"&resourceVersion={version}").readline())
    assert (event["type"], event["object"]["reason"]) == ("ERROR", "Expired")


def test_restore_goes_back(server, client):
    """restore: objects and versions are those of the backup (fault 41)."""
    client.put("a")
    backup, revision = server.backup(), server.revision
    client.put("b")
    client.put("x", name="q")
    server.restore(backup)
    assert (holder(server), holder(server, "q")) == ("a", None)
    assert server.revision == revision
    assert client.put("c")[1]["metadata"]["resourceVersion"] == str(revision + 1)


def test_dropped_connections_are_reset(server, client):
    """drop_connections: watches are cut, new connections work."""
    watch = client.watch()
    client.put("a")
    watch.readline()
    server.drop_connections()
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        watch.read()
    assert client.put("b")[0] == 200


@pytest.mark.slow
def test_slow_watcher_costs_a_bounded_queue(server, client):
    """A watch nobody reads is cut off; the others hear everything (fault 18)."""
    stuck = client.watch()
    quick = client.watch()
    filler = "x" * 100_000
    heard = []
    for number in range(120):
        client.put(f"{number}-{filler}")
        heard.append(quick.readline())
    assert all(heard)
    lines = stuck.read().splitlines()
    assert 0 < len(lines) < 120


def test_requests_are_recorded(server, client):
    """The record has time, verb, user, agent, path and status of each request."""
    client.put("a", headers={"User-Agent": "elector/1"})
    (record,) = server.requests.matching(verb="update")
    assert (record.method, record.path) == ("PUT", f"{LEASES}/p")
    assert (record.user, record.user_agent) == ("admin", "elector/1")
    assert (record.namespace, record.name, record.status) == ("default", "p", 201)
    assert 0 <= record.answered - record.time < PATIENCE
    assert str(record) == f"PUT {LEASES}/p 201 admin elector/1"


def test_requests_can_be_waited_for(server, client):
    """wait_for blocks until somebody asks, or time is up."""
    asking = threading.Timer(0.1, lambda: client.call("GET", "/version"))
    asking.start()
    record = server.requests.wait_for(
        lambda one: one.path == "/version", timeout=PATIENCE
    )
    asking.join()
    assert record.verb == "get"
    with pytest.raises(TimeoutError):
        server.requests.wait_for(lambda one: one.verb == "none", timeout=0.1)


def test_requests_can_be_forgotten(server, client):
    """Clear starts the counting anew."""
    client.call("GET", LEASES)
    server.requests.clear()
    assert (len(server.requests), list(server.requests)) == (0, [])


@pytest.mark.slow
def test_bookmarks_come_in_their_rhythm():
    """Bookmarks: again and again, once the version moved since the watch began."""
    with LeaseServer(timings=Timings(bookmark=0.1)) as server:
        client = Client(server.port)
        version = client.put("a")[1]["metadata"]["resourceVersion"]
        watch = client.watch(f"&resourceVersion={version}&allowWatchBookmarks=1")
        client.put("b")
        kinds = [json.loads(watch.readline())["type"] for _ in range(4)]
        assert kinds == ["MODIFIED", "BOOKMARK", "BOOKMARK", "BOOKMARK"]
        client.close()


def test_idle_connections_are_closed():
    """Idle connections end after their time, as a load balancer would do it."""
    with LeaseServer(timings=Timings(idle=0.2)) as server:
        connection = http.client.HTTPConnection(
            "127.0.0.1", server.port, timeout=PATIENCE
        )
        connection.request("GET", "/version")
        connection.getresponse().read()
        assert connection.sock.recv(1) == b""
        connection.close()


def test_watch_waits_for_the_storage_and_then_begins():
    """A watch without a version begins late if the storage comes back in time."""
    with LeaseServer() as server:  # one that is patient
        client = Client(server.port)
        client.put("a")
        server.freeze_storage()
        thawing = threading.Timer(0.2, server.thaw_storage)
        thawing.start()
        watch = client.watch()
        assert json.loads(watch.readline())["type"] == "ADDED"
        thawing.join()
        client.close()
