"""The client and the embedded Lease API: a life of one Lease, with its troubles."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.node_page import PATIENCE, eventually

from kubernetes_leader_election.credentials import explicit, kubeconfig
from kubernetes_leader_election.kube_api.call import Call, boottime
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.kube_api.results import (
    Answered,
    Conflict,
    Listed,
    NotFound,
    NotSent,
    Ok,
    Refused,
    Unknown,
)
from kubernetes_leader_election.testing.faults import (
    Answer,
    ApplyThenDrop,
    ApplyThenHang,
    CutWatch,
    DropBefore,
    Fault,
    Hang,
    Throttle,
)
from kubernetes_leader_election.testing.lease_server import LeaseServer

ROLE = """
kind: Role
apiVersion: rbac.authorization.k8s.io/v1
metadata: {name: elector, namespace: default}
rules:
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [demo]
  verbs: [get, create, update, watch]
"""


def soon(seconds=PATIENCE):
    """Make a call with a deadline."""
    return Call(deadline=boottime() + seconds)


def new(name="demo", **spec):
    """Make a Lease to create."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15, **spec},
    }


def held_by(lease, holder):
    """Make the next version of a Lease."""
    return {**lease, "spec": {**lease["spec"], "holderIdentity": holder}}


@pytest.fixture
def server():
    """Give an embedded Lease API."""
    with LeaseServer() as server:
        yield server


PATH = "/apis/coordination.k8s.io/v1/namespaces/default/leases"


def delete(client):
    """Delete the Lease, as somebody else does; an election never does so."""
    deleted = client.request("DELETE", f"{PATH}/demo", call=soon())
    assert isinstance(deleted, Answered)


@pytest.fixture
def client(server):
    """Give a client of it."""
    client = LeaseClient(explicit(server=server.url))
    yield client
    client.close()
    assert client.open_sockets == 0


def test_lease_is_created_renewed_and_deleted(client):
    """Every verb, in the order of a Lease's life."""
    assert isinstance(client.get("default", "demo", call=soon()), NotFound)
    created = client.replace("default", "demo", new(), call=soon())
    assert isinstance(created, Ok)
    late = client.replace("default", "demo", new(), call=soon())
    assert isinstance(late, Conflict)
    written = client.replace(
        "default", "demo", held_by(created.lease, "b"), call=soon()
    )
    assert written.lease["spec"]["holderIdentity"] == "b"
    stale = client.replace("default", "demo", held_by(created.lease, "c"), call=soon())
    assert isinstance(stale, Conflict)
    listed = client.list("default", call=soon())
    assert isinstance(listed, Listed)
    assert [lease["metadata"]["name"] for lease in listed.items] == ["demo"]
    delete(client)
    assert isinstance(client.get("default", "demo", call=soon()), NotFound)


def test_write_on_another_object_of_the_name_is_a_conflict(client):
    """G5: the uid goes along, so a re-created Lease is never written by mistake."""
    first = client.replace("default", "demo", new(), call=soon()).lease
    delete(client)
    gone = client.replace("default", "demo", held_by(first, "b"), call=soon())
    assert isinstance(gone, Conflict)
    client.replace("default", "demo", new(), call=soon())
    other = client.replace("default", "demo", held_by(first, "b"), call=soon())
    assert isinstance(other, Conflict)


def test_invalid_lease_is_invalid(client):
    """What the server does not accept is told from a conflict."""
    result = client.replace("default", "demo", new(leaseDurationSeconds=0), call=soon())
    assert isinstance(result, Refused)
    bad = client.replace("default", "demo", new(renewTime="yesterday"), call=soon())
    assert isinstance(bad, Refused)


def test_fault_35_namespace_that_is_missing_or_terminating(server, client):
    """Rule 4: neither of them means "free"."""
    result = client.replace("nowhere", "demo", _in("nowhere"), call=soon())
    assert isinstance(result, Refused)
    assert "Namespace nowhere does not exist" in str(result.error)
    server.add_namespace("ending")
    server.terminate_namespace("ending")
    result = client.replace("ending", "demo", _in("ending"), call=soon())
    assert isinstance(result, Refused)
    assert "Namespace ending is being deleted" in str(result.error)


def _in(namespace):
    lease = new()
    lease["metadata"]["namespace"] = namespace
    return lease


def test_watch_brings_what_happens(client):
    """Changes and deletion arrive, from just after the version named."""
    first = client.replace("default", "demo", new(), call=soon()).lease
    call, seen, ready = Call(), [], threading.Event()

    def note(kind, thing):
        seen.append((kind, thing["spec"].get("holderIdentity")))
        if kind == "DELETED":
            ready.set()

    version = first["metadata"]["resourceVersion"]
    thread = threading.Thread(
        target=client.watch,
        args=("default", "demo", version),
        kwargs={"call": call, "on_event": note},
        daemon=True,
    )
    thread.start()
    client.replace("default", "other", new("other"), call=soon())
    client.replace("default", "demo", held_by(first, "b"), call=soon())
    delete(client)
    assert ready.wait(PATIENCE)
    call.abandon()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    changes = [event for event in seen if event[0] != "BOOKMARK"]
    assert changes == [("MODIFIED", "b"), ("DELETED", "b")]


def test_fault_40_watch_from_an_old_version_says_410(server, client):
    """The 410 inside the 200 stream is a 410."""
    first = client.replace("default", "demo", new(), call=soon()).lease
    client.replace("default", "demo", held_by(first, "b"), call=soon())
    server.restart()
    error = client.watch(
        "default",
        "demo",
        "1",
        call=soon(),
        on_event=lambda *_: None,
    )
    assert error.status == 410


def test_fault_40_watch_that_is_cut_in_mid_line(server, client):
    """A cut is an error, not a clean end."""
    first = client.replace("default", "demo", new(), call=soon()).lease
    server.faults.add(Fault(CutWatch(), verb="watch"))
    client.replace("default", "demo", held_by(first, "b"), call=soon())
    version = first["metadata"]["resourceVersion"]
    error = client.watch(
        "default", "demo", version, call=soon(), on_event=lambda *_: None
    )
    assert "cut" in str(error) or "closed" in str(error)


@pytest.mark.parametrize(
    ("action", "expected", "applied"),
    [
        (ApplyThenDrop(), Unknown, True),
        (ApplyThenHang(), Unknown, True),
        (DropBefore(), Unknown, False),
        (Hang(), Unknown, False),
        (Answer(503), Unknown, False),
        (Throttle(retry_after=2), Refused, False),
    ],
    ids=[
        "applied, then dropped",
        "applied, then hung",
        "dropped",
        "hung",
        "refused with 503",
        "throttled",
    ],
)
def test_fault_30_outcome_of_a_write_is_what_can_be_known(
    server, client, action, expected, applied
):
    """Faults 23, 28: applied or not, the same is known, and one PUT went out."""
    first = client.replace("default", "demo", new(), call=soon()).lease
    before = server.requests.counts()["update"]
    server.faults.add(Fault(action, verb="update"))
    call = soon()

    def holder():
        return server.lease("demo")["spec"]["holderIdentity"]

    with ThreadPoolExecutor(1) as pool:
        write = pool.submit(
            client.replace, "default", "demo", held_by(first, "b"), call=call
        )
        eventually(lambda: server.requests.counts()["update"] > before)
        if isinstance(action, Hang | ApplyThenHang):
            eventually(lambda: not applied or holder() == "b")
            call.abandon()  # as at a deadline
        result = write.result(PATIENCE)
    assert type(result) is expected
    assert server.requests.counts()["update"] == before + 1
    assert ("b" if applied else "a") == holder()


@pytest.fixture
def secured():
    """Give an embedded Lease API with TLS and tokens."""
    with LeaseServer(tls=True, open_access=False) as server:
        yield server


def test_role_of_an_election_is_enough(secured):
    """Rule 6: get, create, update, watch on the one name; nothing more is asked for."""
    user = secured.add_user("web", roles=(ROLE,))
    client = LeaseClient(
        explicit(server=secured.url, token=user.token, ca_data=secured.ca)
    )
    created = client.replace("default", "demo", new(), call=soon())
    assert isinstance(created, Ok)
    assert isinstance(client.get("default", "demo", call=soon()), Ok)
    written = client.replace(
        "default", "demo", held_by(created.lease, "b"), call=soon()
    )
    assert isinstance(written, Ok)
    version = created.lease["metadata"]["resourceVersion"]
    call, events = Call(), []

    def note(kind, _thing):
        events.append(kind)
        call.abandon()

    client.watch("default", "demo", version, call=call, on_event=note)
    assert events == ["MODIFIED"]
    posted = client.request("POST", PATH, body=new(), call=soon())
    assert isinstance(posted, Refused)
    assert posted.error.status == 403
    other = client.get("default", "other", call=soon())
    assert isinstance(other, Refused)
    assert other.error.status == 403
    assert 'The verb "get" is missing' in str(other.error)
    assert "bound to web" in str(other.error)
    client.close()


def test_fault_34_watch_that_is_not_permitted_says_403(secured):
    """Who may not watch is told so, to poll instead."""
    role = ROLE.replace(", watch", "")
    user = secured.add_user("web", roles=(role,))
    client = LeaseClient(
        explicit(server=secured.url, token=user.token, ca_data=secured.ca)
    )
    error = client.watch("default", "demo", "1", call=soon(), on_event=print)
    assert error.status == 403
    client.close()


def test_fault_33_rotated_token(secured, tmp_path):
    """The server forgets the old token; the client finds the new one in its file."""
    user = secured.add_user("web", roles=(ROLE,))
    file = tmp_path / "token"
    file.write_text(user.token)
    client = LeaseClient(
        explicit(server=secured.url, token_file=file, ca_data=secured.ca)
    )
    assert isinstance(client.replace("default", "demo", new(), call=soon()), Ok)
    fresh = secured.rotate_token("web")
    refused = client.get("default", "demo", call=soon())
    assert isinstance(refused, Refused)
    assert refused.error.status == 401
    file.write_text(fresh)
    assert isinstance(client.get("default", "demo", call=soon()), Ok)
    client.close()


def test_fault_46_rotated_certificates(secured, tmp_path):
    """A new CA and certificate: the client reads its CA file again."""
    user = secured.add_user("web", roles=(ROLE,))
    ca = tmp_path / "ca.crt"
    ca.write_text(secured.ca)
    client = LeaseClient(explicit(server=secured.url, token=user.token, ca_file=ca))
    assert isinstance(client.replace("default", "demo", new(), call=soon()), Ok)
    secured.rotate_certificates()
    client.close()  # so that the next request meets the new certificate
    assert isinstance(client.get("default", "demo", call=soon()), NotSent)
    ca.write_text(secured.ca)
    assert isinstance(client.get("default", "demo", call=soon()), Ok)
    client.close()


def test_kubeconfig_of_the_server_works(secured, tmp_path):
    """The kubeconfig that the server writes for kubectl serves us too."""
    secured.kubeconfig(path=tmp_path / "config")
    client = LeaseClient(kubeconfig(tmp_path / "config", environ={}))
    assert isinstance(client.replace("default", "demo", new(), call=soon()), Ok)
    version = client.request("GET", "/version", call=soon())
    assert "gitVersion" in version.body
    client.close()


def test_fault_24_restarted_server_is_found_again(server, client):
    """After a restart the first request goes out on a fresh connection."""
    assert isinstance(client.replace("default", "demo", new(), call=soon()), Ok)
    for graceful in (True, False):
        server.restart(graceful=graceful)
        first = client.get("default", "demo", call=soon())
        # A request may cross the close on its way; after it all is well again.
        assert isinstance(first, Ok | Unknown)
        assert isinstance(client.get("default", "demo", call=soon()), Ok)
