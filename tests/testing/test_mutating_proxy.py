"""The mutating proxy: what each mutation looks like to a client, and to an elector."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import socket
import threading
import time
from pathlib import Path

import pytest
from tests.node_page import PATIENCE, eventually

from kubernetes_leader_election import sync
from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.errors import ConfigurationError, ProtocolMisuseError
from kubernetes_leader_election.testing import (
    LeaseServer,
    Mutate,
    Mutated,
    MutatingProxy,
    Mutation,
    User,
)
from kubernetes_leader_election.testing.mutations import (
    EVENT_MUTATIONS,
    MutationPlan,
    Occasion,
)

LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
DEMO = f"{LEASES}/demo"
UPDATE, GET = "update", "get"


@pytest.fixture
def server():
    """Give an embedded Lease API."""
    with LeaseServer() as one:
        yield one


@pytest.fixture
def proxy(server):
    """Give a proxy in front of it, with chance that is always the same."""
    with MutatingProxy(server.url, chance=random.Random(7)) as one:  # noqa: S311
        yield one


class Client:
    """A plain HTTP client with one connection."""

    def __init__(self, port, headers=()):
        self.connection = http.client.HTTPConnection(
            "127.0.0.1", port, timeout=PATIENCE
        )
        self.headers = dict(headers)

    def ask(self, method, path, body=None):
        """Send a request, and give status and decoded body."""
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": "application/json", **self.headers}
        self.connection.request(method, path, data, headers)
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())

    def put(self, holder, seen=None):
        """Write the Lease, on the state seen if one is given."""
        metadata = {"name": "demo", "namespace": "default"}
        if seen is not None:
            metadata["resourceVersion"] = seen["metadata"]["resourceVersion"]
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15},
        }
        return self.ask("PUT", DEMO, lease)

    def close(self):
        """Close the connection."""
        self.connection.close()


@pytest.fixture
def client(proxy):
    """Give a client of the proxy's default lane."""
    one = Client(proxy.port)
    yield one
    one.close()


@pytest.fixture
def other(proxy):
    """Give a client of another lane."""
    one = Client(proxy.lane("other").port)
    yield one
    one.close()


class Watch:
    """A watch through the proxy, whose events are read one by one."""

    def __init__(self, port, version):
        self.connection = http.client.HTTPConnection(
            "127.0.0.1", port, timeout=PATIENCE
        )
        self.connection.request("GET", f"{LEASES}?watch=true&resourceVersion={version}")
        self.answer = self.connection.getresponse()

    def event(self):
        """Give type and holder (of a bookmark the version) of the next event."""
        line = self.answer.readline()
        if not line:
            return None
        event = json.loads(line)
        if event["type"] in {"BOOKMARK", "ERROR"}:
            thing = event["object"]
            return event["type"], thing.get("code") or thing["metadata"].get(
                "resourceVersion"
            )
        return event["type"], event["object"]["spec"]["holderIdentity"]

    def rest(self):
        """Give all that comes until the stream ends."""
        return self.answer.read()

    def close(self):
        """Close the connection."""
        self.answer.close()
        self.connection.close()


@pytest.fixture
def watch(client, proxy):
    """Give a watch that began after the Lease was created by "a"."""
    _, seen = client.put("a")
    one = Watch(proxy.port, seen["metadata"]["resourceVersion"])
    yield one
    one.close()


def holder(server):
    """Give the holder that the server has stored."""
    lease = server.lease("demo")
    return lease and lease["spec"]["holderIdentity"]


def change(client, *holders):
    """Write the Lease once for each holder."""
    for name in holders:
        _, seen = client.ask("GET", DEMO)
        assert client.put(name, seen)[0] == 200


# Requests and answers -------------------------------------------------------------


def test_without_a_rule_everything_passes(client, server, proxy):
    """A proxy that was told nothing changes nothing."""
    assert client.put("a")[0] == 201
    assert client.ask("GET", DEMO)[1] == server.lease("demo")
    assert client.ask("GET", f"{LEASES}/none")[0] == 404
    assert proxy.log == []


def test_dropped_request_never_reaches_the_server(client, server, proxy):
    """drop-request: a reset, and nothing was done."""
    proxy.add(Mutate(Mutation.DROP_REQUEST, verb=UPDATE))
    with pytest.raises(ConnectionError):
        client.put("a")
    assert holder(server) is None
    assert client.put("b")[0] == 201


def test_held_request_is_applied_though_its_client_has_left(client, server, proxy):
    """hold-request: it lands late, judged by the state it meets."""
    proxy.add(Mutate(Mutation.HOLD_REQUEST, verb=UPDATE, seconds=0.3))
    client.connection.timeout = 0.05
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        client.put("late")
    client.close()
    assert holder(server) is None or time.monotonic() - began >= 0.3
    eventually(lambda: holder(server) == "late")


def test_request_that_is_sent_twice_is_answered_by_the_second(client, server, proxy):
    """send-twice: the write was applied, and the client is told of a conflict."""
    _, seen = client.put("a")
    proxy.add(Mutate(Mutation.SEND_TWICE, verb=UPDATE))
    status, body = client.put("b", seen)
    assert (status, body["reason"]) == (409, "Conflict")
    assert holder(server) == "b"
    assert server.requests.counts()["update"] == 3


def test_request_that_is_resent_comes_again_later(client, server, proxy):
    """resend-later: the server gets the same request once more."""
    proxy.add(Mutate(Mutation.RESEND_LATER, verb=UPDATE, seconds=0.05))
    assert client.put("a")[0] == 201
    eventually(lambda: server.requests.counts()["update"] == 2)


def test_dropped_answer_was_applied(client, server, proxy):
    """drop-answer: a reset, and it was done."""
    proxy.add(Mutate(Mutation.DROP_ANSWER, verb=UPDATE))
    with pytest.raises(ConnectionError):
        client.put("a")
    assert holder(server) == "a"


def test_held_answer_comes_late(client, server, proxy):
    """hold-answer: done at once, told later."""
    proxy.add(Mutate(Mutation.HOLD_ANSWER, verb=UPDATE, seconds=0.3))
    began = time.monotonic()
    assert client.put("a")[0] == 201
    assert time.monotonic() - began >= 0.3


def test_duplicated_answer_stays_in_the_connection(client, proxy):
    """duplicate-answer: bytes that answer nothing are there to be read."""
    client.put("a")
    proxy.add(Mutate(Mutation.DUPLICATE_ANSWER, verb=GET))
    with socket.create_connection(("127.0.0.1", proxy.port), PATIENCE) as plain:
        plain.sendall(f"GET {DEMO} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        read = b""
        while read.count(b"HTTP/1.1 200") < 2 or read.count(b"holderIdentity") < 2:
            read += plain.recv(65536)


def test_replayed_answer_is_the_last_one_of_the_same_kind(client, server, proxy):
    """replay-answer: done, and answered with what was true before."""
    client.put("a")
    first = client.ask("GET", DEMO)[1]
    change(client, "b")
    client.ask("GET", DEMO)
    proxy.add(Mutate(Mutation.REPLAY_ANSWER, verb=UPDATE))
    status, body = client.put("c", server.lease("demo"))
    assert (status, body["spec"]["holderIdentity"]) == (200, "b")
    assert holder(server) == "c"
    assert first["spec"]["holderIdentity"] == "a"


def test_swapped_answer_is_that_of_another_request(client, other, server, proxy):
    """swap-answer: done, and answered with what another client was told."""
    client.put("a")
    seen = server.lease("demo")
    assert other.put("b", seen)[0] == 200
    proxy.add(Mutate(Mutation.SWAP_ANSWER, verb=UPDATE, lane="default"))
    status, body = client.put("c", seen)
    assert (status, body["spec"]["holderIdentity"]) == (200, "b")
    assert holder(server) == "b"


def test_stale_read_shows_an_older_state(client, server, proxy):
    """stale-read: a GET is answered with what was, and the server is not asked."""
    client.put("a")
    change(client, "b")
    asked = server.requests.counts()["get"]
    proxy.add(Mutate(Mutation.STALE_READ))
    assert client.ask("GET", DEMO)[1]["spec"]["holderIdentity"] == "a"
    assert server.requests.counts()["get"] == asked
    assert client.ask("GET", DEMO)[1]["spec"]["holderIdentity"] == "b"


def test_rule_waits_until_there_is_something_to_replay(client, proxy):
    """What is impossible is not counted as done."""
    (active,) = proxy.add(Mutate(Mutation.STALE_READ))
    client.put("a")
    assert client.ask("GET", DEMO)[0] == 200
    assert active.hits == 0
    change(client, "b")
    assert active.hits == 0
    client.ask("GET", DEMO)
    assert active.hits == 1


def test_truncated_answer_breaks_off(client, server, proxy):
    """truncate-answer: done, and half of the answer comes."""
    proxy.add(Mutate(Mutation.TRUNCATE_ANSWER, verb=UPDATE))
    with pytest.raises(http.client.IncompleteRead):
        client.put("a")
    assert holder(server) == "a"


def test_oversized_answer_is_far_too_large(client, proxy):
    """oversize-answer: right, with 16 MiB of blanks."""
    proxy.add(Mutate(Mutation.OVERSIZE_ANSWER, verb=UPDATE))
    client.connection.request("PUT", DEMO, json.dumps({"metadata": {"name": "demo"}}))
    assert len(client.connection.getresponse().read()) > 16 << 20


def test_foreign_answer_shows_another_object(client, server, proxy):
    """foreign-answer: done, and the answer is about something else."""
    proxy.add(Mutate(Mutation.FOREIGN_ANSWER, verb=UPDATE))
    assert client.put("a")[1]["metadata"]["name"] == "demo-other"
    assert holder(server) == "a"


@pytest.mark.parametrize("status", [404, 409, 429, 500, 504])
def test_failure_after_it_was_applied(client, server, proxy, status):
    """fail-after-apply: done, and told as a failure in the words of an API server."""
    proxy.add(Mutate(Mutation.FAIL_AFTER_APPLY, verb=UPDATE, status=status))
    code, body = client.put("a")
    assert (code, body["code"], body["kind"]) == (status, status, "Status")
    assert holder(server) == "a"


def test_request_goes_to_the_server_once_even_if_it_hangs_up(proxy):
    """The proxy's own client repeats nothing, as HTTP libraries like to do."""
    accepted = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                accepted.append(connection.recv(65536))
                connection.close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        with MutatingProxy(f"http://127.0.0.1:{port}") as own:
            one = Client(own.port)
            with pytest.raises(ConnectionError):
                one.put("a")
            one.close()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE)
    assert len(accepted) == 1


# Watches --------------------------------------------------------------------------


def test_watch_passes_events_on(watch, client):
    """Without a rule a watch is a watch."""
    change(client, "b", "c")
    assert watch.event() == ("MODIFIED", "b")
    assert watch.event() == ("MODIFIED", "c")


@pytest.mark.parametrize(
    ("mutation", "expected"),
    [
        (Mutation.DROP_EVENT, [("MODIFIED", "c")]),
        (Mutation.DOUBLE_EVENT, [("MODIFIED", "b")] * 2 + [("MODIFIED", "c")]),
        (Mutation.REORDER_EVENTS, [("MODIFIED", "c"), ("MODIFIED", "b")]),
        (Mutation.HOLD_EVENT, [("MODIFIED", "b"), ("MODIFIED", "c")]),
    ],
    ids=str,
)
def test_events_of_a_watch_are_changed(watch, client, proxy, mutation, expected):
    """Events are left out, doubled, put in another order, or late."""
    seconds = 0.1 if mutation is Mutation.HOLD_EVENT else None
    proxy.add(Mutate(mutation, seconds=seconds))
    change(client, "b", "c")
    assert [watch.event() for _ in expected] == expected


def test_silent_watch_stays_open(watch, client, proxy):
    """silence-watch: no event, and no end."""
    proxy.add(Mutate(Mutation.SILENCE_WATCH))
    change(client, "b", "c")
    watch.answer.fp.raw._sock.settimeout(0.2)
    with pytest.raises(TimeoutError):
        watch.event()


def test_watch_is_cut_in_the_middle_of_an_event(watch, client, proxy):
    """cut-watch: half a line, and the end."""
    proxy.add(Mutate(Mutation.CUT_WATCH))
    change(client, "b")
    rest = watch.rest()
    assert rest.startswith(b'{"')
    assert not rest.endswith(b"\n")


def test_event_says_a_wrong_type(watch, client, proxy):
    """wrong-event-type: a change that claims to be a deletion."""
    proxy.add(Mutate(Mutation.WRONG_EVENT_TYPE, event_type="DELETED"))
    change(client, "b")
    assert watch.event() == ("DELETED", "b")


def test_error_comes_inside_the_stream(watch, client, proxy):
    """error-event: a 410 inside the 200, then the end."""
    proxy.add(Mutate(Mutation.ERROR_EVENT))
    change(client, "b")
    assert watch.event() == ("ERROR", 410)
    assert watch.event() is None


def test_bookmark_goes_backward(watch, client, proxy, server):
    """old-bookmark: a version that is older than what was shown."""
    proxy.add(Mutate(Mutation.OLD_BOOKMARK))
    change(client, "b")
    kind, version = watch.event()
    assert kind == "BOOKMARK"
    now = int(server.lease("demo")["metadata"]["resourceVersion"])
    assert 0 < int(version) < now
    assert watch.event() == ("MODIFIED", "b")


# Rules, chance and the log --------------------------------------------------------


def test_rules_choose_by_verb_lane_skip_and_times(client, other, proxy):
    """A rule acts on what it names, as often as it says."""
    (active,) = proxy.add(
        Mutate(
            Mutation.FAIL_AFTER_APPLY,
            verb=GET,
            lane="default",
            skip=1,
            times=2,
            status=500,
        )
    )
    client.put("a")
    assert [other.ask("GET", DEMO)[0] for _ in range(2)] == [200, 200]
    assert [client.ask("GET", DEMO)[0] for _ in range(4)] == [200, 500, 500, 200]
    assert active.hits == 2


def test_health_checks_are_left_alone(client, proxy):
    """What is not about objects is mutated only by a rule that names its path."""
    proxy.at_random(1.0, weights={Mutation.FAIL_AFTER_APPLY: 1})
    client.connection.request("GET", "/readyz")
    assert client.connection.getresponse().read() == b"ok"
    proxy.add(Mutate(Mutation.DROP_ANSWER, path="/readyz"))
    with pytest.raises(ConnectionError):
        client.ask("GET", "/readyz")


def plan_of(seed):
    """Give a plan that leaves half to chance."""
    plan = MutationPlan(random.Random(seed))  # noqa: S311
    plan.at_random(0.5)
    return plan


def occasions():
    """Give requests and events of two lanes."""
    for number, lane in itertools.product(range(1, 60), ("a", "b")):
        yield Occasion(lane, str(number), UPDATE, DEMO)
        yield Occasion(lane, f"{number}.1", "watch", LEASES)


def test_same_seed_gives_the_same_mutations_in_any_order():
    """What is done to a request depends on seed, lane and number alone."""
    first, second = plan_of(3), plan_of(3)
    forward = {one: first.pick(one) for one in occasions()}
    backward = {one: second.pick(one) for one in reversed(list(occasions()))}
    assert forward == backward
    assert {one: plan_of(4).pick(one) for one in occasions()} != forward
    chosen = {rule.mutation for rule in forward.values() if rule is not None}
    assert len(chosen) > 15


def test_log_can_be_done_again(server):
    """What one run did at random, another one does by its log."""
    outcomes, log = [], []
    for again in (False, True):
        with MutatingProxy(server.url, chance=random.Random(1)) as proxy:  # noqa: S311
            if again:
                proxy.replay(log)
            else:
                proxy.at_random(
                    0.5,
                    weights={Mutation.FAIL_AFTER_APPLY: 3, Mutation.FOREIGN_ANSWER: 1},
                )
            one = Client(proxy.port)
            one.put("a")
            outcomes.append([one.ask("GET", DEMO)[0] for _ in range(30)])
            one.close()
            log = [done.to_json() for done in proxy.log]
    assert outcomes[0] == outcomes[1]
    assert set(outcomes[0]) > {200}
    assert [Mutated.from_json(line).to_json() for line in log] == log


def test_mutations_are_told_as_they_happen(server):
    """on_mutation hears of each one, with the lane and the number."""
    heard = []
    with MutatingProxy(server.url, on_mutation=heard.append) as proxy:
        proxy.add(Mutate(Mutation.FOREIGN_ANSWER))
        one = Client(proxy.lane("x").port)
        one.put("a")
        one.close()
    assert [(x.lane, x.number, x.mutation) for x in heard] == [
        ("x", "1", Mutation.FOREIGN_ANSWER)
    ]


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"mutation": "nonsense"}, "mutation"),
        ({"verb": "eat"}, "verb"),
        ({"verb": ()}, "verb"),
        ({"mutation": Mutation.DROP_EVENT, "verb": GET}, "verb"),
        ({"mutation": Mutation.STALE_READ, "verb": UPDATE}, "verb"),
        ({"share": 0.0}, "share"),
        ({"times": 0}, "times"),
        ({"skip": -1}, "skip"),
        ({"seconds": -1.0, "mutation": Mutation.HOLD_ANSWER}, "seconds"),
        ({"seconds": 1.0}, "seconds"),
        ({"status": 200, "mutation": Mutation.FAIL_AFTER_APPLY}, "status"),
        ({"status": 500}, "status"),
        ({"event_type": "X"}, "event_type"),
    ],
    ids=str,
)
def test_rule_that_makes_no_sense_is_refused(options, option):
    """What would never act, or is no value, gets an error that names the option."""
    given = {"mutation": Mutation.SEND_TWICE, **options}
    with pytest.raises(ConfigurationError) as caught:
        Mutate(**given)
    assert caught.value.option == option


def test_chance_that_makes_no_sense_is_refused(proxy):
    """Shares, weights and times are checked before anything changes."""
    for arguments, option in (
        ({"share": 1.5}, "share"),
        ({"share": 0.5, "weights": {Mutation.SEND_TWICE: -1}}, "weights"),
        ({"share": 0.5, "weights": {"nonsense": 1}}, "mutation"),
        ({"share": 0.5, "hold": (2, 1)}, "hold"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            proxy.at_random(**arguments)
        assert caught.value.option == option


def test_log_that_is_none_is_refused(proxy):
    """A replay says which line it cannot read."""
    with pytest.raises(ConfigurationError, match="no line of a mutation log"):
        proxy.replay(["{}"])


def test_target_that_is_none_is_refused():
    """An address without a scheme, and https without a CA, are errors at once."""
    with pytest.raises(ProtocolMisuseError):
        MutatingProxy("127.0.0.1:80")
    with pytest.raises(ConfigurationError, match="give ca="):
        MutatingProxy("https://127.0.0.1:80")


def test_proxy_is_started_once_and_stopped_twice(server):
    """Life as that of the other parts of the kit."""
    proxy = MutatingProxy(server.url)
    with pytest.raises(ProtocolMisuseError):
        proxy.lane("a")
    with proxy:
        with pytest.raises(ProtocolMisuseError):
            proxy.start()
        assert proxy.lane("a") is proxy.lane("a")
    proxy.stop()


# Electors behind it ---------------------------------------------------------------


def elector(proxy, name, token=None):
    """Make an elector in a hurry, on a lane of its own."""
    return sync.Elector(
        lease_name="demo",
        namespace="default",
        identity=name,
        credentials=explicit(server=proxy.lane(name).url, token=token),
        lease_duration_sec=2,
        renew_interval_ms=200,
        request_timeout_sec=0.3,
        stop_budget_sec=0.2,
    )


def test_token_of_an_elector_passes_to_a_server_with_tls():
    """The client side is plain, the server side is TLS, and the login is the elector's."""
    user = User("alice", token="secret", groups=("system:masters",))
    with LeaseServer(tls=True, users=[user]) as server:
        with (
            MutatingProxy(server.url, ca=server.ca) as proxy,
            elector(proxy, "a", token="secret") as one,
        ):
            one.wait_until_leading(PATIENCE)
        with MutatingProxy(server.url, ca=server.ca, token="secret") as proxy:
            client = Client(proxy.port)
            assert client.ask("GET", DEMO)[0] == 200
            client.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_electors_behind_it_never_lead_both(server, seed):
    """G1: whatever is done to what three electors say and hear, one leads at most."""
    chance = random.Random(seed)  # noqa: S311
    leaders = 0
    with MutatingProxy(server.url, chance=chance) as proxy:
        proxy.at_random(0.25, hold=(0.05, 1.5))
        electors = [elector(proxy, name) for name in ("a", "b", "c")]
        try:
            for one in electors:
                one.start()
            begun = time.monotonic()
            # On a busy machine it takes longer until enough has happened to be judged.
            while (gone := time.monotonic() - begun) < 2.5 or (
                gone < 90.0 and (leaders <= 20 or len(proxy.log) <= 5)
            ):
                # Both orders: who stops believing between two questions is no overlap.
                first = [one.current_leader for one in electors]
                second = [one.current_leader for one in reversed(electors)][::-1]
                both = [x and y for x, y in zip(first, second, strict=True)]
                assert sum(both) <= 1, [x.to_json() for x in proxy.log]
                leaders += sum(both)
                time.sleep(0.002)
        finally:
            proxy.clear()
            for one in electors:
                one.stop()
    assert len(proxy.log) > 5
    assert leaders > 20


def test_every_mutation_is_tested_here():
    """A mutation without a test of what a client sees is one that nobody can use."""
    text = Path(__file__).read_text(encoding="utf-8")
    body, _, _ = text.partition("# Rules, chance and the log")
    missing = [one for one in Mutation if f"Mutation.{one.name}" not in body]
    assert missing == []
    assert set(Mutation) > EVENT_MUTATIONS
