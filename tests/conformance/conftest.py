"""
One suite for two servers: the embedded Lease API, and a real kube-apiserver.

Without further ado the embedded one is started. ``CONFORMANCE_KUBECONFIG`` names a
kubeconfig whose current user may do everything in a cluster; the suite then runs
there, in namespaces of its own. Users with few rights are users of that kubeconfig
(``alice``, ``bob``, ``nobody``) if it has them, else service accounts made on the fly.
``CONFORMANCE_ETCD_PID`` lets the tests freeze the storage, ``CONFORMANCE_FORGET`` (a
socket to connect to) lets them empty its history; ``python tests/e2e/controlplane`` sets
all three. With ``CI`` set a skipped test is a failed one.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

# Tests are imported one by one, without their folder: this makes the client findable.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from conformance_client import Api, Patience, Target
from tests.e2e.controlplane.processes import freeze

from kubernetes_leader_election.testing import LeaseServer, Timings

USERS = ("alice", "bob", "nobody")
SHORT = Timings(write=1.2, read=1.6, future=0.4, health=0.3, bookmark_before_end=0.5)
"""The embedded server's patience in this suite, where waiting is all a test does."""


class EmbeddedTarget(Target):
    """The server of this package, in this process."""

    embedded = True

    def __init__(self, server: LeaseServer) -> None:
        tokens = {name: server.user(name).token for name in ("admin", *USERS)}
        super().__init__(server.url, None, tokens)
        self.server = server
        self.patience = Patience(
            write=SHORT.write,
            read=SHORT.read,
            future=SHORT.future,
            bookmark=SHORT.bookmark_before_end,
        )
        self.subjects = {name: name for name in USERS}

    @contextlib.contextmanager
    def granted(self, user, rules, namespace):
        """Give a user rights, for as long as the block runs."""
        role = {"kind": "Role", "metadata": {"namespace": namespace}, "rules": rules}
        self.server.set_roles(user, role)
        try:
            yield
        finally:
            self.server.set_roles(user)

    @contextlib.contextmanager
    def frozen_storage(self):
        """Let the storage hang for as long as the block runs."""
        self.server.freeze_storage(apply_late=True)
        try:
            yield
        finally:
            self.server.thaw_storage()

    def forget_history(self):
        """Make every version known so far too old to watch from."""
        self.server.compact()


class RealTarget(Target):
    """A cluster reached by a kubeconfig."""

    embedded = False

    def __init__(self, kubeconfig: Path) -> None:
        import yaml

        document = yaml.safe_load(kubeconfig.read_text())
        users = {one["name"]: one["user"] for one in document["users"]}
        context = next(
            one["context"]
            for one in document["contexts"]
            if one["name"] == document["current-context"]
        )
        cluster = next(
            one["cluster"]
            for one in document["clusters"]
            if one["name"] == context["cluster"]
        )
        tokens = {"admin": users[context["user"]]["token"]}
        super().__init__(cluster["server"], _ca_file(cluster), tokens)
        self.patience = Patience(write=34.0, read=60.0, future=3.0)
        self.subjects = {}
        admin = Api(self, "kube-system")
        for name in USERS:
            if name in users and "token" in users[name]:
                tokens[name] = users[name]["token"]
                self.subjects[name] = name
            else:
                account = f"conformance-{name}-{secrets.token_hex(3)}"
                tokens[name] = _service_account(admin, account)
                self.subjects[name] = f"system:serviceaccount:kube-system:{account}"
        admin.close()

    @contextlib.contextmanager
    def granted(self, user, rules, namespace):
        """Give a user rights, for as long as the block runs."""
        admin = Api(self, namespace)
        base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
        name = f"conformance-{secrets.token_hex(4)}"
        role = {"metadata": {"name": name}, "rules": rules}
        binding = {
            "metadata": {"name": name},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "Role",
                "name": name,
            },
            "subjects": [
                {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "User",
                    "name": self.subjects[user],
                }
            ],
        }
        assert admin.request("POST", f"{base}/roles", role).status == 201
        assert admin.request("POST", f"{base}/rolebindings", binding).status == 201
        self._await_rights(user, rules, namespace)
        try:
            yield
        finally:
            admin.request("DELETE", f"{base}/rolebindings/{name}")
            admin.request("DELETE", f"{base}/roles/{name}")
            admin.close()

    def _await_rights(self, user, rules, namespace):
        """Wait until the authorizer, which has a cache, knows the rule."""
        rule = rules[0]
        attributes = {
            "verb": rule["verbs"][0],
            "group": rule["apiGroups"][0],
            "resource": rule["resources"][0],
            "namespace": namespace,
            "name": rule.get("resourceNames", [""])[0],
        }
        review = {"spec": {"resourceAttributes": attributes}}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        asker = Api(self, namespace, user=user)
        for _ in range(500):
            if asker.request("POST", path, review).json["status"]["allowed"]:
                asker.close()
                return
        raise AssertionError(f"the rights of {user} do not arrive")

    @contextlib.contextmanager
    def frozen_storage(self):
        """Let etcd hang for as long as the block runs."""
        process = os.environ.get("CONFORMANCE_ETCD_PID")
        if process is None:
            pytest.skip("this cluster's etcd is out of reach: no CONFORMANCE_ETCD_PID")
        freeze(int(process), name="etcd")
        try:
            yield
        finally:
            os.kill(int(process), signal.SIGCONT)

    def forget_history(self):
        """Have the servers restarted by those who started them."""
        path = os.environ.get("CONFORMANCE_FORGET")
        if path is None:
            pytest.skip("this cluster forgets nothing on order: no CONFORMANCE_FORGET")
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(120)
            caller.connect(path)
            assert caller.recv(100) == b"forgotten\n"


def _ca_file(cluster):
    if "certificate-authority" in cluster:
        return cluster["certificate-authority"]
    if "certificate-authority-data" not in cluster:
        return None
    data = base64.b64decode(cluster["certificate-authority-data"])
    with tempfile.NamedTemporaryFile(suffix=".crt", delete=False) as file:
        file.write(data)
    return file.name


def _service_account(admin, name):
    base = "/api/v1/namespaces/kube-system/serviceaccounts"
    made = admin.request("POST", base, {"metadata": {"name": name}})
    assert made.status == 201, made
    token = admin.request("POST", f"{base}/{name}/token", {"spec": {}})
    assert token.status == 201, token
    return token.json["status"]["token"]


@pytest.fixture(scope="session")
def target() -> Iterator[Target]:
    """Give the server under test."""
    kubeconfig = os.environ.get("CONFORMANCE_KUBECONFIG")
    if kubeconfig:
        yield RealTarget(Path(kubeconfig))
        return
    from kubernetes_leader_election.testing import User

    users = [User(name, token=secrets.token_hex(8)) for name in USERS]
    with LeaseServer(users=users, timings=SHORT) as server:
        yield EmbeddedTarget(server)


@pytest.fixture(scope="session")
def namespaces(target: Target) -> Iterator[list[str]]:
    """Collect the namespaces tests made, and delete them in the end."""
    made: list[str] = []
    yield made
    admin = Api(target, "default")
    for name in made:
        admin.request("DELETE", f"/api/v1/namespaces/{name}")
    admin.close()


@pytest.fixture
def api(target: Target, namespaces: list[str]) -> Iterator[Api]:
    """Give a client with all rights, in a namespace of its own."""
    name = f"conformance-{secrets.token_hex(5)}"
    client = Api(target, name)
    namespaces.append(name)
    answer = client.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    assert answer.status == 201, answer
    yield client
    client.close()


@pytest.fixture
def as_user(target: Target, api: Api) -> Iterator:
    """Give a function that gives clients of other users, in the same namespace."""
    made: list[Api] = []

    def client(user: str | None) -> Api:
        one = Api(target, api.namespace, user=user)
        made.append(one)
        return one

    yield client
    for one in made:
        one.close()


@pytest.fixture
def embedded(target: Target) -> LeaseServer:
    """Give the embedded server; tests that use it are left out on a real one."""
    assert isinstance(target, EmbeddedTarget)
    return target.server


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out, on a real server, what needs one that fails on order."""
    if "CONFORMANCE_KUBECONFIG" not in os.environ:
        return
    on_order = [item for item in items if "embedded" in item.fixturenames]
    if on_order:
        config.hook.pytest_deselected(items=on_order)
        items[:] = [item for item in items if item not in on_order]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[
    None, pytest.TestReport, pytest.TestReport
]:
    """Let nothing be skipped in CI on a real server."""
    report = yield
    if report.skipped and os.environ.get("CI") and "CONFORMANCE_FORGET" in os.environ:
        report.outcome = "failed"
    return report


@pytest.fixture
def two_apis(api: Api, target: Target) -> Iterator[tuple[Api, Api]]:
    """Give two clients in one namespace, under two names."""
    other = Api(target, api.namespace, agent="other/1.0")
    yield api, other
    other.close()
