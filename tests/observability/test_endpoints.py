"""What the endpoints answer, without any socket."""

from __future__ import annotations

import json
import re

import pytest

from kubernetes_leader_election import ConfigurationError
from kubernetes_leader_election.leadership import Role
from kubernetes_leader_election.observability.endpoints import Endpoints, event_of
from tests.observability.fakes import FakeElector


def ask(endpoints, target):
    """Give status and body of a GET."""
    answer = endpoints.answer("GET", target)
    return answer.status, answer.body


def test_endpoints_answer_each_for_itself():
    """A replica that waits is alive and ready, and not the leader."""
    endpoints = Endpoints(FakeElector())
    paths = ("/livez", "/readyz?verbose", "/leaderz", "/", "/metrics", "/sse", "/else")
    statuses = [ask(endpoints, path)[0] for path in paths]
    assert statuses == [200, 200, 503, 200, 200, 200, 404]
    assert ask(endpoints, "/") == (200, '{"name": ""}\n')


def test_endpoints_say_what_is_wrong():
    """Who is woken by an alert reads it in the events of the pod."""
    elector = FakeElector()
    endpoints = Endpoints(elector)
    elector.problem, elector.absence = "it hangs", "stopping"
    assert ask(endpoints, "/livez") == (503, "it hangs\n")
    assert ask(endpoints, "/healthz") == (503, "it hangs\n")
    assert ask(endpoints, "/readyz") == (503, "stopping\n")
    assert ask(endpoints, "/leaderz") == (503, "this replica does not lead\n")
    elector.role = Role.LEADER
    assert ask(endpoints, "/leaderz") == (200, "ok\n")


def test_endpoints_say_what_else_is_wrong_with_the_process():
    """`run` has a loop and a health check of its own."""
    endpoints = Endpoints(
        FakeElector(), problem=lambda: "the loop", absence=lambda: "unfit"
    )
    assert ask(endpoints, "/livez") == (503, "the loop\n")
    assert ask(endpoints, "/readyz") == (503, "unfit\n")


def test_leader_is_named_as_side_cars_do_and_since_when():
    """{"name": ...} of kubernetes/contrib, and last_update of nais/elector."""
    elector = FakeElector()
    endpoints = Endpoints(elector)
    elector.see("ada")
    answer = endpoints.answer("GET", "/")
    assert answer.content_type == "application/json"
    leader = json.loads(answer.body)
    assert list(leader) == ["name", "last_update"]
    assert leader["name"] == "ada"
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", leader["last_update"])
    elector.see(None)
    assert json.loads(ask(endpoints, "/")[1])["name"] == ""


def test_last_update_stays_while_the_leader_does():
    """It is the time of the change, not that of the answer."""
    elector = FakeElector()
    endpoints = Endpoints(elector)
    elector.see("ada")
    (watch,) = endpoints._watches
    watch._since = watch._since.replace(year=2020)
    assert '"last_update": "2020-' in ask(endpoints, "/")[1]
    elector.leader = "eve"  # no handler has said so yet
    assert '"last_update": "2020-' not in ask(endpoints, "/")[1]


def test_stream_has_the_same_in_events():
    """One object an event, by itself: `data:` and an empty line."""
    elector = FakeElector()
    answer = Endpoints(elector).answer("GET", "/sse")
    assert answer.content_type == "text/event-stream"
    assert json.loads(answer.stream()) == {"name": ""}
    elector.see("a\nb")
    assert event_of(answer.stream()).count("\n") == 2, "no name can forge an event"


def test_several_electors_are_all_well_or_it_is_said_which_is_not():
    """A process is one pod: what one of its electors lacks is lacking."""
    billing, mail = FakeElector(), FakeElector(lease_name="mail")
    endpoints = Endpoints([billing, mail])
    assert ask(endpoints, "/livez")[0] == ask(endpoints, "/readyz")[0] == 200
    mail.problem = mail.absence = "mail hangs"
    billing.role = Role.LEADER
    assert ask(endpoints, "/livez") == (503, "mail hangs\n")
    assert ask(endpoints, "/leaderz") == (503, "this replica does not lead mail\n")
    assert ask(endpoints, "/leaderz?lease=billing") == (200, "ok\n")
    mail.see("eve")
    leaders = json.loads(ask(endpoints, "/")[1])
    assert {name: leader["name"] for name, leader in leaders.items()} == {
        "billing": "",
        "mail": "eve",
    }
    assert json.loads(ask(endpoints, "/?lease=mail")[1])["name"] == "eve"
    assert ask(endpoints, "/?lease=male") == (
        404,
        "no such Lease here; there are: billing, mail\n",
    )


def test_leases_of_one_name_are_told_apart_by_their_namespace():
    """Two Leases billing are two."""
    one, other = FakeElector(), FakeElector()
    other.namespace = "test"
    leaders = json.loads(ask(Endpoints([one, other]), "/")[1])
    assert set(leaders) == {"shop/billing", "test/billing"}


@pytest.mark.parametrize(
    "query", ["lease=", "lease=%00", "lease=a&" * 50, "lease=" + "%" * 500]
)
def test_odd_query_is_no_failure(query):
    """Anybody can send one."""
    endpoints = Endpoints([FakeElector(), FakeElector(lease_name="mail")])
    assert ask(endpoints, f"/?{query}")[0] == 404


@pytest.mark.parametrize("method", ["POST", "DELETE", "get", "OPTIONS"])
def test_methods_that_change_things_are_refused(method):
    """There is nothing to change here."""
    answer = Endpoints(FakeElector()).answer(method, "/livez")
    assert (answer.status, answer.headers) == (405, (("Allow", "GET, HEAD"),))


@pytest.mark.parametrize("given", [None, [], FakeElector, "elector", object()])
def test_what_is_no_elector_is_refused(given):
    """At the call, and not at the first probe of the pod."""
    with pytest.raises(ConfigurationError, match=r"[Gg]ive"):
        Endpoints(given)


def test_elector_is_given_once():
    """Twice would be twice in the metrics, which Prometheus refuses as a whole."""
    elector = FakeElector()
    with pytest.raises(ConfigurationError, match="once"):
        Endpoints([elector, elector])


def test_forgotten_electors_have_no_handlers_left():
    """A handle that is closed leaves nothing behind."""
    elector = FakeElector()
    endpoints = Endpoints(elector)
    assert elector.handlers.count("leader_changed") == 2
    endpoints.forget()
    endpoints.forget()
    assert elector.handlers.count("leader_changed") == 0


def test_streams_are_limited():
    """Each costs a connection for as long as it likes."""
    endpoints = Endpoints(FakeElector())
    wakers = [lambda n=n: n for n in range(20)]
    assert [endpoints.subscribe(waker) for waker in wakers] == [True] * 16 + [False] * 4
    endpoints.unsubscribe(wakers[0])
    assert endpoints.subscribe(wakers[-1])
