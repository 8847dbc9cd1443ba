"""Options of the server: TLS, users, manifests, namespaces, state, orders."""

from __future__ import annotations

import json
import os
import ssl
import stat
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pytest
import yaml

from kubernetes_leader_election.errors import ConfigurationError, ProtocolMisuseError
from kubernetes_leader_election.testing import LeaseServer, User

LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"

ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: elector, namespace: default}
rules:
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [payments]
  verbs: [get, create, update, watch]
"""

MANIFESTS = (
    ROLE
    + """
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: payments}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: elector, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: elector}
subjects:
- {kind: ServiceAccount, name: payments}
- {kind: Group, name: operators, apiGroup: rbac.authorization.k8s.io}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
rules:
- {apiGroups: ["*"], resources: ["*"], verbs: [get, list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: readers}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}
subjects: [{kind: User, name: carol, apiGroup: rbac.authorization.k8s.io}]
"""
)


def call(server, method, path, token=None, document=None, raw=None):
    """Make a request and give status and parsed body."""
    context = ssl.create_default_context(cadata=server.ca) if server.ca else None
    data = raw if raw is not None else document and json.dumps(document).encode()
    request = urllib.request.Request(server.url + path, data=data, method=method)  # noqa: S310  # loopback
    if data:
        request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:  # noqa: S310  # loopback
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            body = refused.read()
            return refused.code, json.loads(body) if body[:1] == b"{" else body


def test_tls_is_verified_with_the_servers_authority():
    """TLS: the certificate is good for its authority and for no other."""
    with LeaseServer(tls=True) as server:
        assert server.url.startswith("https://")
        assert call(server, "GET", "/version")[0] == 200
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(server.url + "/version", timeout=30)  # noqa: S310  # loopback


def test_tls_authority_can_be_rotated():
    """TLS: a new authority makes the old one worthless (fault 46)."""
    with LeaseServer(tls=True) as server:
        old = ssl.create_default_context(cadata=server.ca)
        server.rotate_certificates()
        assert call(server, "GET", "/version")[0] == 200
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(server.url + "/version", timeout=30, context=old)  # noqa: S310  # loopback


def test_rotation_needs_tls():
    """TLS: without it there is nothing to rotate."""
    with LeaseServer() as server, pytest.raises(ProtocolMisuseError):
        server.rotate_certificates()


def test_everybody_is_admin_without_users():
    """Users: without any, who asks may do all; a bad token is still bad."""
    with LeaseServer() as server:
        assert call(server, "GET", LEASES.format("default"))[0] == 200
        assert call(server, "GET", LEASES.format("default"), token="bad")[0] == 401


def test_users_have_the_rights_of_their_roles():
    """Users: Roles in YAML, limited by name."""
    users = [User("a", token="ta", roles=(ROLE,)), User("b", token="tb")]
    with LeaseServer(users=users) as server:
        path = LEASES.format("default")
        assert call(server, "GET", path)[0] == 403
        assert call(server, "GET", f"{path}/payments", "ta")[0] == 404
        assert call(server, "GET", f"{path}/other", "ta")[0] == 403
        assert call(server, "GET", f"{path}/payments", "tb")[0] == 403
        admin = server.user("admin").token
        assert call(server, "GET", path, admin)[0] == 200


def test_rights_can_be_taken_and_given_back():
    """Users: set_roles changes rights at once (fault 34)."""
    with LeaseServer(users=[User("a", token="ta", roles=(ROLE,))]) as server:
        path = f"{LEASES.format('default')}/payments"
        server.set_roles("a")
        assert call(server, "GET", path, "ta")[0] == 403
        server.set_roles("a", ROLE)
        assert call(server, "GET", path, "ta")[0] == 404


def test_tokens_can_be_rotated():
    """Users: the old token is 401 from then on (fault 33)."""
    with LeaseServer(users=[User("a", token="ta", roles=(ROLE,))]) as server:
        path = f"{LEASES.format('default')}/payments"
        fresh = server.rotate_token("a")
        assert call(server, "GET", path, "ta")[0] == 401
        assert call(server, "GET", path, fresh)[0] == 404


def test_tokens_do_not_show():
    """Users: a token is in no repr (fault 50)."""
    assert "canary" not in repr(User("a", token="canary"))


def test_manifests_bind_service_accounts_groups_and_users():
    """Manifests: the files one gives to kubectl."""
    users = [
        User("system:serviceaccount:default:payments", token="sa"),
        User("bob", token="tb", groups=("operators",)),
        User("carol", token="tc"),
    ]
    with LeaseServer(users=users, manifests=MANIFESTS) as server:
        path = LEASES.format("default")
        for token in ("sa", "tb"):
            document = {"metadata": {"name": "payments"}}
            status, _ = call(server, "PUT", f"{path}/payments", token, document)
            assert status in {201, 422}
            assert call(server, "GET", path, token)[0] == 403
        assert call(server, "GET", LEASES.format("kube-system"), "tc")[0] == 200
        assert call(server, "DELETE", f"{path}/payments", "tc")[0] == 403


@pytest.mark.parametrize(
    "options",
    [
        {"manifests": "{{{"},
        {"manifests": MANIFESTS.replace("name: elector}", "name: other}")},
        {"users": [User("a", token="t", roles=("kind: Pod",))]},
        {"users": [User("a", token="t", roles=("just text",))]},
    ],
    ids=["broken YAML", "binding of nothing", "no role", "no object"],
)
def test_unusable_roles_are_refused(options):
    """Roles: what cannot be used is refused at once, not ignored."""
    with pytest.raises(ConfigurationError):
        LeaseServer(**options)


def test_unknown_user_is_named():
    """Users: asking for one the server does not have names those it has."""
    with LeaseServer() as server, pytest.raises(ConfigurationError, match="admin"):
        server.kubeconfig("nobody")


def test_kubeconfig_leads_to_the_server(tmp_path):
    """Kubeconfig: address, authority, token and namespace, readable by nobody else."""
    users = [User("a", token="ta")]
    with LeaseServer(tls=True, users=users) as server:
        path = tmp_path / "config"
        text = server.kubeconfig("a", path=path, namespace="jobs")
        document = yaml.safe_load(path.read_text())
        assert path.read_text() == text
        assert document["users"] == [{"name": "a", "user": {"token": "ta"}}]
        assert document["clusters"][0]["cluster"]["server"] == server.url
        assert document["clusters"][0]["cluster"]["certificate-authority-data"]
        assert document["contexts"][0]["context"]["namespace"] == "jobs"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_kubeconfig_has_no_token_where_none_is_needed():
    """Kubeconfig: over plain http, and with everybody let in, there is no token."""
    with LeaseServer() as server:
        document = json.loads(server.kubeconfig())
        assert document["users"][0]["user"] == {}


def test_namespaces_can_be_made_ended_and_removed():
    """Namespaces: given at the start, added, terminating, gone (fault 35)."""
    with LeaseServer(namespaces=["jobs"]) as server:
        document = {"metadata": {"name": "p"}}
        assert call(server, "POST", LEASES.format("jobs"), document=document)[0] == 201
        server.terminate_namespace("jobs")
        status, body = call(
            server, "POST", LEASES.format("jobs"), document={"metadata": {"name": "q"}}
        )
        assert status == 403
        assert body["details"]["causes"][0]["reason"] == "NamespaceTerminating"
        server.remove_namespace("jobs")
        assert server.leases("jobs") == []
        assert call(server, "GET", "/api/v1/namespaces/jobs")[0] == 404
        server.add_namespace("jobs")
        assert call(server, "POST", LEASES.format("jobs"), document=document)[0] == 201


def test_state_survives_a_restart(tmp_path):
    """State: objects, versions and uids are kept in a file."""
    state = tmp_path / "state"
    path = LEASES.format("default")
    with LeaseServer(state=state) as server:
        _, made = call(server, "PUT", f"{path}/p", document={"metadata": {"name": "p"}})
        call(server, "PUT", f"{path}/q", document={"metadata": {"name": "q"}})
        call(server, "DELETE", f"{path}/q")
        revision = server.revision
    with LeaseServer(state=state) as server:
        assert server.lease("p") == made
        assert server.lease("q") is None
        assert server.revision >= revision


def test_state_keeps_what_was_acknowledged_at_any_kill(tmp_path):
    """State: a torn line at the end is dropped, everything before it is kept."""
    state = tmp_path / "state"
    path = LEASES.format("default")
    with LeaseServer(state=state) as server:
        for number in range(5):
            document = {"metadata": {"name": f"p{number}"}}
            call(server, "PUT", f"{path}/p{number}", document=document)
    whole = state.read_bytes()
    state.write_bytes(whole[:-20])
    with LeaseServer(state=state) as server:
        names = [one["metadata"]["name"] for one in server.leases()]
        assert names == ["p0", "p1", "p2", "p3"]


def test_state_is_written_before_the_answer(tmp_path):
    """State: what a client was told is in the file, without any stop."""
    state = tmp_path / "state"
    path = LEASES.format("default")
    with LeaseServer(state=state) as server:
        for number in range(20):
            document = {"metadata": {"name": f"p{number}"}}
            call(server, "PUT", f"{path}/p{number}", document=document)
            assert f'"p{number}"' in state.read_text()


def test_state_of_something_else_is_refused(tmp_path):
    """State: another file is not overwritten."""
    state = tmp_path / "state"
    state.write_text("my novel\n")
    with pytest.raises(ConfigurationError, match="line 1"):
        LeaseServer(state=state).start()
    assert state.read_text() == "my novel\n"


def test_state_follows_a_restore(tmp_path):
    """State: going back to a backup goes back in the file as well."""
    state = tmp_path / "state"
    path = LEASES.format("default")
    with LeaseServer(state=state) as server:
        backup = server.backup()
        call(server, "PUT", f"{path}/p", document={"metadata": {"name": "p"}})
        server.restore(backup)
    with LeaseServer(state=state) as server:
        assert server.lease("p") is None


def test_taken_port_is_an_error():
    """Ports: a taken one is an OSError, and the server can be started elsewhere."""
    with LeaseServer() as server, pytest.raises(OSError, match="in use"):
        LeaseServer(port=server.port).start()


def test_running_server_cannot_be_started():
    """Starting twice is a mistake."""
    with LeaseServer() as server, pytest.raises(ProtocolMisuseError):
        server.start()


def test_stopped_server_can_be_started_again():
    """The port and the objects are kept."""
    server = LeaseServer().start()
    port = server.port
    path = LEASES.format("default")
    call(server, "PUT", f"{path}/p", document={"metadata": {"name": "p"}})
    server.stop()
    with server:
        assert server.port == port
        assert server.lease("p") is not None


def test_orders_are_taken_over_http():
    """Control: faults and orders by request, for administrators only."""
    with LeaseServer(control=True, users=[User("a", token="ta")]) as server:
        admin = server.user("admin").token
        rule = b"answer status=503 times=every"
        assert call(server, "POST", "/control/faults", "ta", raw=rule)[0] == 403
        status, _ = call(server, "POST", "/control/faults", admin, raw=rule)
        assert status == 201
        path = LEASES.format("default")
        assert call(server, "GET", path, admin)[0] == 503
        assert call(server, "DELETE", "/control/faults", admin)[0] == 200
        assert call(server, "GET", path, admin)[0] == 200
        order = b"freeze seconds=0.1"
        assert call(server, "POST", "/control/do", admin, raw=order)[0] == 202
        for bad in (b"bogus", b"freeze bogus=1", b"freeze seconds=x"):
            assert call(server, "POST", "/control/do", admin, raw=bad)[0] == 400
        assert call(server, "POST", "/control/faults", admin, raw=b"bogus")[0] == 400


@pytest.mark.parametrize(
    ("order", "text"),
    [
        ("compact now", "compact takes no options, not 'now'"),
        ("end-watches seconds=1", "end-watches takes no options, not 'seconds=1'"),
        ("freeze bogus=1", "freeze takes seconds=N, in seconds, not 'bogus=1'"),
        ("freeze seconds", "freeze takes seconds=N with 0 to 86400 seconds"),
        ("freeze seconds=1e9", "not 'seconds=1e9'"),
        ("restart down=nan", "restart takes down=N with 0 to 86400 seconds"),
        ("restart down=inf", "not 'down=inf'"),
        ("restart down=-1", "not 'down=-1'"),
        ("", "no such order ''. Known: freeze: "),
    ],
)
def test_orders_that_cannot_be_carried_out_are_refused(order, text):
    """Control: one line says what the order takes, and nothing is done."""
    with LeaseServer(control=True) as server:
        raw = order.encode() or b" "
        status, answer = call(server, "POST", "/control/do", raw=raw)
        assert (status, answer["reason"]) == (400, "BadRequest")
        assert text in answer["message"]
        assert len(answer["message"].splitlines()) == 1
        assert call(server, "GET", "/version")[0] == 200
    assert not [x for x in threading.enumerate() if x.name == "lease-server-order"]


def test_orders_are_not_served_by_default():
    """Control: a server without it answers as a real one."""
    with LeaseServer() as server:
        assert call(server, "GET", "/control/faults") == (404, b"404 page not found\n")


@pytest.mark.slow
def test_command_serves_until_a_signal(tmp_path):
    """Command: prints its address, writes kubeconfigs, ends at SIGTERM with 0."""
    kubeconfig = tmp_path / "config"
    command = [
        sys.executable,
        "-m",
        "kubernetes_leader_election.testing.lease_server",
        "--kubeconfig",
        str(kubeconfig),
        "--user",
        "a=ta",
        "--fault",
        "answer status=503 verb=list",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  # this very package
        line = process.stdout.readline()
        assert line.startswith("Serving Leases on http://127.0.0.1:")
        url = line.split()[-1]
        assert json.loads(kubeconfig.read_text())["clusters"][0]["cluster"] == {
            "server": url
        }
        assert kubeconfig.with_name("config.a").exists()
        with urllib.request.urlopen(f"{url}/version", timeout=30) as answer:  # noqa: S310  # loopback
            assert answer.status == 200
        assert "GET /version 200 system:anonymous" in process.stdout.readline()
        process.terminate()
        assert process.wait(30) == 0


@pytest.mark.slow
def test_command_refuses_what_it_cannot_do():
    """Command: a bad rule is an error with a hint, not a traceback."""
    command = [
        sys.executable,
        "-m",
        "kubernetes_leader_election.testing.lease_server",
        "--fault",
        "bogus",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # this very package
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown fault 'bogus'. There are: delay")


@pytest.mark.slow
def test_missing_aiohttp_is_said_clearly(tmp_path):
    """Import: without aiohttp the message says what to install."""
    (tmp_path / "aiohttp.py").write_text("raise ImportError('not here')")
    program = "from kubernetes_leader_election.testing import LeaseServer"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(  # noqa: S603  # this very package
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert "pip install 'kubernetes-leader-election[testing]'" in done.stderr


def test_gate_makes_the_server_keep_and_judge_strategies():
    """Gate on: unqualified strategy 422, preferredHolder without strategy 422."""
    path = f"{LEASES.format('default')}/p"

    def put(server, **spec):
        document = {"metadata": {"name": "p"}, "spec": spec}
        return call(server, "PUT", path, document=document)

    with LeaseServer(coordinated=True) as server:
        assert put(server, strategy="mine")[0] == 422
        assert put(server, preferredHolder="a")[0] == 422
        spec = {"strategy": "OldestEmulationVersion", "preferredHolder": "a"}
        status, made = put(server, **spec)
        assert (status, made["spec"]) == (201, spec)
