"""
Every trouble that a person has to mend, met by a real elector on the embedded server.

Each is told in one readable line and an error event, tried again with backoff, never a
crash and never a hot loop; once mended, the elector leads without being started anew.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import queue
import re
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from kubernetes_leader_election import EVENTS, Elector
from kubernetes_leader_election.credentials import explicit, kubeconfig
from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.sync import Elector as SyncElector
from kubernetes_leader_election.testing import LeaseServer
from kubernetes_leader_election.testing.faults import Answer, Delay, Fault
from kubernetes_leader_election.testing.lease_server.api.access import User
from kubernetes_leader_election.testing.tcp_proxy import TcpProxy
from tests.node_page import PATIENCE, eventually, start_until_it_says_why

TOKEN = "a-token-that-nobody-may-see"
RHYTHM = {"renew_interval_ms": 1000, "lease_duration_sec": 20, "auto_close": False}
ROLE = """
kind: Role
apiVersion: rbac.authorization.k8s.io/v1
metadata: {name: elector, namespace: default}
rules: [%s]
"""
RULE = (
    "{apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [demo], "
    "verbs: [get, create, update, watch]}"
)
BOB = User("bob", token=TOKEN, roles=(ROLE % RULE,))


class Lines:
    """A log that keeps what it is told."""

    def __init__(self):
        self.lines = queue.SimpleQueue()
        self.seen = []

    def _keep(self, level, text, *args):
        line = (level, text % args if args else text)
        self.seen.append(line)
        self.lines.put(line)

    def debug(self, text, *args):
        """Keep a line."""
        self._keep("debug", text, *args)

    def info(self, text, *args):
        """Keep a line."""
        self._keep("info", text, *args)

    def warning(self, text, *args):
        """Keep a line."""
        self._keep("warning", text, *args)

    def error(self, text, *args):
        """Keep a line."""
        self._keep("error", text, *args)

    def wait_for(self, part):
        """Wait for a line with a text in it."""
        while True:
            line = self.lines.get(timeout=PATIENCE)
            if part in line[1]:
                return line

    @property
    def loud(self):
        """Give the lines that a person is to act upon."""
        return [text for level, text in self.seen if level in ("warning", "error")]


@dataclasses.dataclass
class Trouble:
    """Something wrong, what is said about it, and how it is mended."""

    options: dict
    says: tuple[str, ...]
    mend: Callable[[], object]
    requests: Callable[[], int] = lambda: 0


def no_token(stack, _path, _monkeypatch):
    """A token that the server does not know."""
    server = stack.enter_context(LeaseServer(users=[User("jane", token="other")]))
    return Trouble(
        {"credentials": explicit(server=server.url, token=TOKEN)},
        ("401 Unauthorized", "the token given", "expired, revoked"),
        lambda: server.add_user("bob", token=TOKEN, roles=(ROLE % RULE,)),
        lambda: len(server.requests),
    )


def no_rights(stack, _path, _monkeypatch):
    """A user without a Role."""
    user = User("system:serviceaccount:default:app", token=TOKEN)
    server = stack.enter_context(LeaseServer(users=[user]))
    return Trouble(
        {"credentials": explicit(server=server.url, token=TOKEN)},
        ("403", 'The verb "get" is missing', f"- {RULE}", f"bound to {user.name}"),
        lambda: server.set_roles(user.name, ROLE % RULE),
        lambda: len(server.requests),
    )


def no_right_to_create(stack, _path, _monkeypatch):
    """A Role that forgot a verb."""
    almost = ROLE % RULE.replace("create, ", "")
    server = stack.enter_context(
        LeaseServer(users=[User("bob", token=TOKEN, roles=(almost,))])
    )
    return Trouble(
        {"credentials": explicit(server=server.url, token=TOKEN)},
        ("Could not create", 'The verb "create" is missing', f"- {RULE}"),
        lambda: server.set_roles("bob", ROLE % RULE),
        lambda: len(server.requests),
    )


def not_logged_in(stack, _path, _monkeypatch):
    """No token where one is needed."""
    server = stack.enter_context(LeaseServer(users=[User("bob", token=TOKEN)]))
    everybody = ROLE % RULE
    return Trouble(
        {"credentials": explicit(server=server.url)},
        ("403", "no token and no client certificate", "does not know who asks"),
        lambda: server.add_user("system:anonymous", roles=(everybody,)),
        lambda: len(server.requests),
    )


def no_namespace(stack, _path, _monkeypatch):
    """Fault 35: a namespace that is not there."""
    server = stack.enter_context(LeaseServer())
    return Trouble(
        {"credentials": explicit(server=server.url), "namespace": "shop"},
        ("404", "Namespace shop does not exist: create it"),
        lambda: server.add_namespace("shop"),
        lambda: len(server.requests),
    )


def dying_namespace(stack, _path, _monkeypatch):
    """Fault 35: a namespace that is being deleted."""
    server = stack.enter_context(LeaseServer(namespaces=["shop"]))
    server.terminate_namespace("shop")

    def mend():
        server.remove_namespace("shop")
        server.add_namespace("shop")

    return Trouble(
        {"credentials": explicit(server=server.url), "namespace": "shop"},
        ("403", "Namespace shop is being deleted"),
        mend,
        lambda: len(server.requests),
    )


def no_server(stack, _path, _monkeypatch):
    """Fault 24: nothing listens there."""
    server = stack.enter_context(LeaseServer())
    proxy = stack.enter_context(TcpProxy(server.url))
    proxy.lane().refuse()
    return Trouble(
        {"credentials": explicit(server=proxy.url)},
        ("nothing listens at 127.0.0.1", "connection refused", "Nothing was sent"),
        proxy.lane().accept,
    )


def no_name(stack, _path, monkeypatch):
    """Fault 45: a name that cannot be looked up."""
    server = stack.enter_context(LeaseServer())
    tries = []

    def look_up(host, *args, **more):
        tries.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    url = server.url.replace("127.0.0.1", "localhost")
    return Trouble(
        {"credentials": explicit(server=url)},
        ("the name localhost cannot be looked up", "Name or service not known"),
        monkeypatch.undo,
        lambda: len(tries),
    )


def wrong_ca(stack, path, _monkeypatch):
    """Fault 46: a certificate of a CA that is not the one named."""
    server = stack.enter_context(LeaseServer(tls=True, users=[BOB]))
    other = stack.enter_context(LeaseServer(tls=True))
    ca = path / "ca.crt"
    ca.write_text(other.ca)
    return Trouble(
        {"credentials": explicit(server=server.url, token=TOKEN, ca_file=ca)},
        ("certificate is not accepted", "Check the CA"),
        lambda: ca.write_text(server.ca),
    )


def no_tls(stack, _path, _monkeypatch):
    """An http server behind an https address."""
    server = stack.enter_context(LeaseServer())
    proxy = stack.enter_context(TcpProxy(server.url))
    secure = stack.enter_context(LeaseServer(tls=True, users=[BOB]))
    behind = explicit(
        server=proxy.url.replace("http:", "https:"), token=TOKEN, ca_data=secure.ca
    )

    def mend():
        proxy.target = ("127.0.0.1", secure.port)

    return Trouble({"credentials": behind}, ("does not speak TLS", "http://"), mend)


def no_token_file(stack, path, _monkeypatch):
    """Fault 33: a token file that is not there yet."""
    server = stack.enter_context(LeaseServer(users=[BOB]))
    file = path / "token"
    return Trouble(
        {"credentials": explicit(server=server.url, token_file=file)},
        (f"token file {file} cannot be read", "No such file"),
        lambda: file.write_text(TOKEN),
        lambda: len(server.requests),
    )


def broken_kubeconfig(stack, path, monkeypatch):
    """A kubeconfig, named by the variable in a pod, that is no YAML."""
    server = stack.enter_context(LeaseServer())
    file = path / "kubeconfig"
    file.write_text(f"users: [{{token: {TOKEN}\n")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBECONFIG", str(file))
    return Trouble(
        {},
        (f"kubeconfig {file}", "not YAML (line"),
        lambda: server.kubeconfig(path=file),
    )


def failing_plugin(stack, path, _monkeypatch):
    """An exec plugin that fails, and says why."""
    server = stack.enter_context(LeaseServer(users=[User("bob", token=TOKEN)]))
    plugin, config = path / "plugin", path / "kubeconfig"
    plugin.write_text("#!/bin/sh\necho 'log in again' >&2\nexit 3\n")
    plugin.chmod(0o700)
    version = "client.authentication.k8s.io/v1"
    entries = yaml.safe_load(server.kubeconfig())
    entries["users"][0]["user"] = {
        "exec": {
            "apiVersion": version,
            "command": "./plugin",
            "interactiveMode": "Never",
        }
    }
    config.write_text(yaml.safe_dump(entries))

    def mend():
        answer = {
            "kind": "ExecCredential",
            "apiVersion": version,
            "status": {"token": server.user("admin").token},
        }
        plugin.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")

    return Trouble(
        {"credentials": kubeconfig(config)},
        ("exec plugin ./plugin failed with exit code 3", "It said: log in again"),
        mend,
        lambda: len(server.requests),
    )


def sick_server(stack, _path, _monkeypatch):
    """Fault 24: a server that answers nothing but 500."""
    server = stack.enter_context(LeaseServer())
    server.faults.add(
        Fault(Answer(500, reason="InternalError", message="etcd is down"), times=None)
    )
    return Trouble(
        {"credentials": explicit(server=server.url)},
        ("Could not get Lease default/demo", "500 etcd is down"),
        server.faults.clear,
        lambda: len(server.requests),
    )


def slow_webhook(stack, _path, _monkeypatch):
    """Fault 27: an admission webhook that takes longer than a write may."""
    server = stack.enter_context(LeaseServer())
    server.faults.add(Fault(Delay(60.0), verb="update", times=None))
    return Trouble(
        {
            "credentials": explicit(server=server.url),
            "lease_duration_sec": 10,
            "request_timeout_sec": 1.5,
        },
        ("request_timeout_sec", "1.5"),
        server.faults.clear,
        lambda: len(server.requests),
    )


def strict_webhook(stack, _path, _monkeypatch):
    """Fault 34: a 403 that is no missing right."""
    server = stack.enter_context(LeaseServer())
    said = 'admission webhook "owners.example" denied the request: no owner'
    server.faults.add(Fault(Answer(403, message=said), verb="update", times=None))
    return Trouble(
        {"credentials": explicit(server=server.url)},
        (f"403 {said}", 'admission webhook "owners.example" refuses it'),
        server.faults.clear,
        lambda: len(server.requests),
    )


TROUBLES = {
    "unknown token": no_token,
    "no Role": no_rights,
    "a verb forgotten": no_right_to_create,
    "not logged in": not_logged_in,
    "namespace missing": no_namespace,
    "namespace terminating": dying_namespace,
    "connection refused": no_server,
    "name unknown": no_name,
    "another CA": wrong_ca,
    "no TLS": no_tls,
    "token file missing": no_token_file,
    "kubeconfig broken": broken_kubeconfig,
    "exec plugin fails": failing_plugin,
    "server error": sick_server,
    "webhook slow": slow_webhook,
    "webhook refuses": strict_webhook,
}


@pytest.fixture(params=TROUBLES.values(), ids=TROUBLES.keys())
def trouble(request, tmp_path, monkeypatch):
    """Give each trouble, set up."""
    with ExitStack() as stack:
        yield request.param(stack, tmp_path, monkeypatch)


@pytest.mark.slow
def test_elector_tells_a_trouble_in_one_line_and_leads_once_it_is_mended(trouble):
    """Faults 24, 33, 34, 35, 45, 46: one line, one error, backoff, and no restart."""
    log, errors = Lines(), queue.SimpleQueue()
    elector = SyncElector(
        lease_name="demo", identity="a", log=log, **(RHYTHM | trouble.options)
    )
    elector.on(EVENTS.ERROR, lambda event: errors.put(event.error))
    elector.start()
    try:
        first = errors.get(timeout=PATIENCE)
        with pytest.raises(TimeoutError) as caught:
            elector.wait_for_leader(timeout=1.0)
        assert str(caught.value.__cause__) == str(first)
        assert elector.state.last_error is not None
        assert not elector.current_leader
        for part in trouble.says:
            assert part in str(first)
        assert trouble.requests() < 20
        eventually(lambda: log.loud)  # a thread of its own writes it
        lines = list(log.loud)
        assert lines == [str(first)], "one line for one trouble"
        assert lines[0].isprintable()
        assert TOKEN not in repr((lines, first, first.__cause__))
        trouble.mend()
        assert elector.wait_until_leading(PATIENCE).fencing_token
        log.wait_for("recovered after")
    finally:
        elector.stop(PATIENCE)


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
@pytest.mark.slow
def test_elector_with_default_options_asks_a_sick_server_a_few_times_only(status):
    """Fault 24: never a hot loop: the pauses grow from a tenth of a second to five."""
    with LeaseServer() as server:
        server.faults.add(Fault(Answer(status), times=None))
        elector = SyncElector(
            lease_name="demo", credentials=explicit(server=server.url), auto_close=False
        )
        elector.start()
        try:
            with pytest.raises(TimeoutError):
                elector.wait_for_leader(timeout=2.0)
            eventually(lambda: len(server.requests) >= 2)
            assert len(server.requests) <= 8
        finally:
            elector.stop(PATIENCE)


def test_threads_start_raises_the_trouble_that_it_waited_with():
    """``wait_for_leadership`` with a timeout: TimeoutError, and why."""
    with LeaseServer(users=[User("bob", token=TOKEN)]) as server:

        def start(timeout):
            elector = SyncElector(
                lease_name="demo",
                wait_for_leadership=True,
                credentials=explicit(server=server.url, token="unknown"),
                auto_close=False,
            )
            try:
                elector.start(timeout=timeout)
            finally:
                elector.stop(PATIENCE)

        failed = start_until_it_says_why(start)
        assert "default/demo" in str(failed)
        assert isinstance(failed.__cause__, LeaseApiError)
        assert failed.__cause__.status == 401


def test_asyncio_start_raises_the_trouble_that_it_waited_with():
    """``wait_for_leadership`` with a timeout: TimeoutError, and why."""

    async def main(server, seconds):
        elector = Elector(
            lease_name="demo",
            namespace="nowhere",
            wait_for_leadership=True,
            credentials=explicit(server=server.url),
            auto_close=False,
        )
        try:
            await elector.start(timeout=seconds)
        finally:
            await elector.stop(PATIENCE)

    with LeaseServer() as server:
        failed = start_until_it_says_why(lambda s: asyncio.run(main(server, s)))
    assert "nowhere/demo" in str(failed)
    assert "Namespace nowhere does not exist" in str(failed.__cause__)


def test_observer_is_advised_the_rights_of_an_observer():
    """Who never contends need not be let write."""
    errors = queue.SimpleQueue()
    with LeaseServer(users=[User("bob", token=TOKEN)]) as server:
        elector = SyncElector(
            lease_name="demo",
            observe=True,
            credentials=explicit(server=server.url, token=TOKEN),
            auto_close=False,
        )
        elector.on(EVENTS.ERROR, lambda event: errors.put(event.error))
        elector.start()
        try:
            assert "verbs: [get, watch]" in str(errors.get(timeout=PATIENCE))
        finally:
            elector.stop(PATIENCE)


@pytest.mark.slow
def test_leader_without_rights_leads_until_its_deadline_and_again_when_they_are_back():
    """Fault 34: removed while leading: failed tries until L, told with the verb."""
    roles = ROLE % RULE
    with LeaseServer(users=[User("bob", token=TOKEN, roles=(roles,))]) as server:
        log, lost = Lines(), threading.Event()
        elector = SyncElector(
            lease_name="demo",
            credentials=explicit(server=server.url, token=TOKEN),
            log=log,
            auto_close=False,
            renew_interval_ms=300,  # so that a first refusal leaves most of the term
            lease_duration_sec=4,
        )
        reasons = []
        elector.on(EVENTS.LEADERSHIP_LOST, lambda event: reasons.append(event.reason))
        elector.on(EVENTS.LEADERSHIP_LOST, lambda _: lost.set())
        with elector:
            elector.wait_until_leading(PATIENCE)
            server.set_roles("bob", ROLE % RULE.replace("update, ", ""))
            line = log.wait_for("403")
            assert 'The verb "update" is missing' in line[1]
            assert elector.current_leader, "one refusal does not end a term"
            assert lost.wait(PATIENCE)
            assert reasons == ["renew_deadline"]
            before = len(server.requests)
            assert before < 60
            server.set_roles("bob", roles)
            elector.wait_until_leading(PATIENCE)


@pytest.mark.slow
def test_candidate_that_may_not_watch_says_so_once_and_polls():
    """Fault 34, rule 16: where watching is not permitted, the Lease is polled."""
    roles = ROLE % RULE.replace(", watch", "")
    with LeaseServer(
        users=[
            User("bob", token=TOKEN, roles=(roles,)),
            User("eve", token="eve-token", roles=(roles,)),
        ]
    ) as server:
        log = Lines()

        def elector(token, **more):
            return SyncElector(
                lease_name="demo",
                credentials=explicit(server=server.url, token=token),
                **RHYTHM,
                **more,
            )

        with elector(TOKEN, identity="a") as first:
            first.wait_until_leading(PATIENCE)
            with elector("eve-token", identity="b", log=log) as second:
                assert second.wait_for_leader(PATIENCE) == "a"
                line = log.wait_for("403")
                assert 'The verb "watch" is missing' in line[1]
                first.stop(PATIENCE)
                second.wait_until_leading(PATIENCE)
                refused = [text for text in log.loud if "403" in text]
                assert len(refused) == 1


def test_every_trouble_above_is_listed():
    """The table is whole: each function that makes a trouble is in it."""
    makers = re.findall(
        r"^def (\w+)\(stack, ", Path(__file__).read_text(), re.MULTILINE
    )
    assert [maker.__name__ for maker in TROUBLES.values()] == makers
