"""Exec plugins: asked, waited for, remembered, and asked again."""

from __future__ import annotations

import json
import os
import ssl
import sys
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from kubernetes_leader_election.credentials import kubeconfig
from kubernetes_leader_election.credentials.exec_plugin import ExecLogin, Plugin
from kubernetes_leader_election.credentials.redaction import REDACTED
from kubernetes_leader_election.errors import CredentialsError
from kubernetes_leader_election.kube_api.call import Call, boottime
from kubernetes_leader_election.kube_api.results import NotSent, Ok, Refused

CANARY = "canary-ZXhlYw"
V1 = "client.authentication.k8s.io/v1"
V1BETA1 = "client.authentication.k8s.io/v1beta1"


def credential(version=V1, **status):
    """Make what a plugin prints."""
    return json.dumps(
        {"apiVersion": version, "kind": "ExecCredential", "status": status}
    )


@pytest.fixture
def plugin(tmp_path):
    """Write a plugin as a shell script that counts its runs; give its settings."""

    def make(script, **settings):
        file = tmp_path / "plugin.sh"
        file.write_text(f"#!/bin/sh\necho run >> '{tmp_path}/runs'\n{script}\n")
        file.chmod(0o755)
        return {"apiVersion": V1, "command": "./plugin.sh", **settings}

    return make


@pytest.fixture
def runs(tmp_path):
    """Count how often the plugin ran."""

    def count():
        file = tmp_path / "runs"
        return len(file.read_text().split()) if file.exists() else 0

    return count


@pytest.fixture
def load(tmp_path):
    """Load a kubeconfig that has the plugin."""

    def make(settings, *, environ=None, cluster=None):
        value = {
            "current-context": "x",
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [
                {"name": "c", "cluster": {"server": "https://one", **(cluster or {})}}
            ],
            "users": [{"name": "u", "user": {"exec": settings}}],
        }
        file = tmp_path / "config"
        file.write_text(yaml.safe_dump(value))
        variables = {"PATH": os.environ["PATH"]} if environ is None else environ
        return kubeconfig(file, environ=variables)

    return make


@pytest.mark.parametrize("version", [V1, V1BETA1])
def test_plugin_gives_a_token_that_is_kept(plugin, load, runs, version):
    """One run for many requests, in both versions of the protocol."""
    said = credential(version, token="t\n")
    credentials = load(plugin(f"printf %s '{said}'", apiVersion=version))
    assert runs() == 0  # nothing runs before it is needed
    for _ in range(3):
        assert credentials.headers() == (("Authorization", "Bearer t"),)
    assert runs() == 1


def test_plugin_is_told_what_it_may_know(plugin, load, tmp_path):
    """Arguments, variables, and the question in KUBERNETES_EXEC_INFO."""
    settings = plugin(
        f"""
        echo "$KUBERNETES_EXEC_INFO" > {tmp_path}/info
        echo "$1|$2|$MINE|$HERS|$(cat)" > {tmp_path}/said
        echo '{credential(token="t")}'
        """,
        args=["--a", "b c"],
        env=[{"name": "MINE", "value": "1"}],
        interactiveMode="IfAvailable",
        provideClusterInfo=True,
    )
    variables = {"PATH": os.environ["PATH"], "HERS": "2", "MINE": "0"}
    cluster = {
        "certificate-authority-data": "WA==",
        "tls-server-name": "api",
        "extensions": [
            {"name": "client.authentication.k8s.io/exec", "extension": {"k": 1}}
        ],
    }
    load(settings, environ=variables, cluster=cluster).headers()
    assert (tmp_path / "said").read_text() == "--a|b c|1|2|\n"
    assert json.loads((tmp_path / "info").read_text()) == {
        "apiVersion": V1,
        "kind": "ExecCredential",
        "spec": {
            "interactive": False,
            "cluster": {
                "server": "https://one",
                "tls-server-name": "api",
                "certificate-authority-data": "WA==",
                "config": {"k": 1},
            },
        },
    }


def test_plugin_is_not_told_of_the_cluster_unless_it_asks(plugin, load, tmp_path):
    """Without provideClusterInfo there is nothing about the cluster in the question."""
    settings = plugin(
        f'echo "$KUBERNETES_EXEC_INFO" > {tmp_path}/info\n'
        f"echo '{credential(token='t')}'"
    )
    load(settings).headers()
    assert "cluster" not in json.loads((tmp_path / "info").read_text())["spec"]


def test_plugin_is_found_by_name_on_the_path(plugin, load, tmp_path):
    """A bare name is looked up as a shell does."""
    settings = plugin(f"echo '{credential(token='t')}'", command="plugin.sh")
    path = f"{tmp_path}:{os.environ['PATH']}"
    assert load(settings, environ={"PATH": path}).headers()
    with pytest.raises(CredentialsError, match=r"not installed\. Get it at x\.org\."):
        load(
            {**settings, "command": "no-such", "installHint": "Get it\nat x.org."}
        ).headers()


def test_plugin_gives_a_client_certificate(
    serve_lease, connect, call, authority, plugin, load, tmp_path
):
    """A certificate instead of a token, and both together."""
    context = authority.server_context(asks_clients=ssl.CERT_REQUIRED)
    server = serve_lease(tls=context)
    certificate, key = authority.issue("from-plugin")
    pair = {
        "clientCertificateData": certificate.read_text(),
        "clientKeyData": key.read_text(),
    }
    (tmp_path / "answer").write_text(credential(**pair))
    cluster = {"server": server.url, "certificate-authority": str(authority.ca_file)}
    client = connect(load(plugin(f"cat {tmp_path}/answer"), cluster=cluster))
    assert isinstance(client.get("apps", "demo", call=call()), Ok)
    assert "authorization" not in server.requests[0].headers


def make_login(plugin_settings, tmp_path, **options):
    """Make a login of its own, with a wall clock that the test moves."""
    return ExecLogin(
        Plugin(
            place="test",
            api_version=V1,
            command=plugin_settings["command"],
            directory=tmp_path,
        ),
        **options,
    )


@pytest.mark.parametrize(
    "given",
    [
        {"arguments": ("--token", "plainword")},
        {"arguments": ("--token=plainword",)},
        {"variables": {"DB_PASSWORD": "plainword"}},
    ],
    ids=["an option and its value", "an option with a value", "a variable"],
)
def test_plugin_that_repeats_its_secret_is_shown_without_it(tmp_path, given):
    """Fault 50: known as it was given, though nothing in the text tells what it is."""
    file = tmp_path / "plugin"
    file.write_text("#!/bin/sh\necho refused: plainword >&2; exit 1\n")
    file.chmod(0o700)
    known = Plugin(
        place="x", api_version=V1, command=str(file), directory=tmp_path, **given
    )
    with pytest.raises(CredentialsError) as failed:
        ExecLogin(known).headers(timeout=30)
    assert str(failed.value).endswith(f"It said: refused: {REDACTED}")


@pytest.fixture
def wall():
    """Give a wall clock that the test moves."""

    class Wall:
        now = datetime(2026, 1, 1, tzinfo=UTC)

        def __call__(self):
            return self.now

        def pass_by(self, seconds):
            self.now += timedelta(seconds=seconds)

    return Wall()


def test_plugin_is_asked_again_when_its_answer_expires(plugin, tmp_path, runs, wall):
    """An expired token is never sent."""
    said = credential(token="t", expirationTimestamp="2026-01-01T01:00:00Z")
    login = make_login(plugin(f"echo '{said}'"), tmp_path, wall=wall)
    login.headers(timeout=30)
    wall.pass_by(3500)
    login.headers(timeout=30)
    assert runs() == 1
    wall.pass_by(200)
    with pytest.raises(CredentialsError, match="expired already"):
        login.headers(timeout=30)
    assert runs() == 2


def test_plugin_is_asked_ahead_of_time_beside_the_requests(
    plugin, tmp_path, runs, wall, eventually
):
    """In the last minute the next token is fetched while the old one goes on."""
    (tmp_path / "answer").write_text(
        credential(token="old", expirationTimestamp="2026-01-01T01:00:00Z")
    )
    go, slow = tmp_path / "go", f"until test -e {tmp_path}/go; do sleep 0.02; done"
    go.touch()
    login = make_login(plugin(f"{slow}; cat {tmp_path}/answer"), tmp_path, wall=wall)
    assert login.headers(timeout=30) == (("Authorization", "Bearer old"),)
    go.unlink()
    (tmp_path / "answer").write_text(
        credential(token="new", expirationTimestamp="2026-01-01T02:00:00Z")
    )
    login._asked_at -= 3600
    wall.pass_by(3570)
    assert login.headers(timeout=30) == (("Authorization", "Bearer old"),)
    go.touch()  # which nobody has waited for
    eventually(lambda: login.headers(timeout=30) == (("Authorization", "Bearer new"),))
    assert runs() == 2


def test_plugin_that_gives_the_same_token_to_its_end_is_not_asked_all_the_time(
    plugin, tmp_path, runs, wall
):
    """Asking ahead of time is no hot loop."""
    said = credential(token="t", expirationTimestamp="2026-01-01T00:00:30Z")
    login = make_login(plugin(f"echo '{said}'"), tmp_path, wall=wall)
    for _ in range(20):
        login.headers(timeout=30)
    assert runs() == 1


def test_fault_33_plugin_is_asked_again_at_a_401(
    serve, connect, call, lease, status, authority, plugin, load, runs, tmp_path
):
    """A refused token is replaced and the request tried once more."""

    def handle(peer):
        while (request := peer.read()) is not None:
            if request.headers["authorization"] == "Bearer run-2":
                peer.reply(200, lease())
            else:
                peer.reply(401, status(401, "Unauthorized", "Unauthorized"))

    server = serve(handle, tls=authority.server_context())
    said = credential(token="run-%d")
    settings = plugin(f"printf '{said}' $(wc -l < '{tmp_path}/runs')")
    cluster = {"server": server.url, "certificate-authority": str(authority.ca_file)}
    client = connect(load(settings, cluster=cluster))
    assert isinstance(client.get("apps", "demo", call=call()), Ok)
    assert runs() == 2


def test_fault_33_plugin_whose_new_token_is_refused_too(
    serve, connect, call, lease, status, authority, plugin, load, runs
):
    """One retry at most; the answer names the plugin."""

    def handle(peer):
        while peer.read() is not None:
            peer.reply(401, status(401, "Unauthorized", "Unauthorized"))

    server = serve(handle, tls=authority.server_context())
    cluster = {"server": server.url, "certificate-authority": str(authority.ca_file)}
    client = connect(
        load(plugin(f"echo '{credential(token=CANARY)}'"), cluster=cluster)
    )
    result = client.get("apps", "demo", call=call())
    assert isinstance(result, Refused)
    assert result.error.status == 401
    assert "the plugin ./plugin.sh" in str(result.error)
    assert CANARY not in str(result.error)
    assert len(server.requests) == 1  # the same token again is no second try
    assert runs() == 2


def test_slow_plugin_outlives_the_request_that_wanted_it(
    connect, plugin, load, runs, eventually, tmp_path
):
    """Plugins take seconds and requests have less: the next one finds the answer."""
    go = tmp_path / "go"
    slow = f"until test -e {go}; do sleep 0.02; done"
    credentials = load(plugin(f"{slow}; echo '{credential(token='t')}'"))
    client = connect(credentials)
    result = client.get("apps", "demo", call=Call(deadline=boottime() + 0.1))
    assert isinstance(result, NotSent)
    assert "has given no answer yet" in str(result.error)
    go.touch()  # which the request has not waited for

    def answered():
        try:
            return credentials.headers(timeout=0.05)
        except CredentialsError:
            return None

    eventually(answered)
    assert runs() == 1


def test_plugin_that_hangs_is_ended_with_its_children(plugin, tmp_path, eventually):
    """A plugin cannot hang for ever, nor leave a child that holds its pipes."""
    settings = plugin(f"sleep 300 & echo $! > {tmp_path}/child; wait")
    said = tmp_path / "child"
    for longest in (0.3, 2.0, 20.0):  # the shell may need its time to come so far
        login = make_login(settings, tmp_path, longest_run=longest)
        with pytest.raises(CredentialsError, match=rf"no answer within {longest:g} s"):
            login.headers(timeout=None)
        if said.exists() and said.read_text().endswith("\n"):
            break
    child = int(said.read_text())

    def gone():
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return True
        state = Path(f"/proc/{child}/stat").read_text()
        return state.rpartition(")")[2].split()[0] == "Z"

    eventually(gone)


ODD = {
    "not JSON": ("echo oops", "ExecCredential"),
    "nothing": ("true", "ExecCredential"),
    "another kind": ("echo '{}'", "ExecCredential"),
    "another version": (
        f"echo '{credential(V1BETA1, token=CANARY)}'",
        "another version",
    ),
    "no status": (f"echo '{credential()}'", "neither a token"),
    "an empty token": (f"echo '{credential(token=' ')}'", "neither a token"),
    "a token that is a number": (
        f"echo '{credential(token=7)}'",
        "token that is no text",
    ),
    "half a pair": (f"echo '{credential(clientKeyData=CANARY)}'", "not both"),
    "an odd expiry": (
        f"echo '{credential(token=CANARY, expirationTimestamp='soon')}'",
        "no time",
    ),
    "an expiry without zone": (
        f"echo '{credential(token=CANARY, expirationTimestamp='2026-01-01T00:00:00')}'",
        "no time",
    ),
    "a failure": ("echo 'please log in' >&2; exit 3", "exit code 3. It said: please"),
    "deep JSON": (
        f"{sys.executable} -c \"print('[' * 100000)\"",
        "ExecCredential",
    ),
}


@pytest.mark.parametrize(("script", "said"), ODD.values(), ids=ODD.keys())
def test_plugin_that_fails_is_named_with_its_place(plugin, load, script, said):
    """File, entry and plugin are named; what it printed is not shown (fault 50)."""
    credentials = load(plugin(f"{script} # {CANARY}"))
    with pytest.raises(CredentialsError, match=said) as caught:
        credentials.headers()
    text = "".join(traceback.format_exception(caught.value))
    assert "user 'u'" in str(caught.value)
    assert "plugin.sh" in str(caught.value)
    assert CANARY not in text


def test_plugin_is_tried_again_after_a_failure(plugin, load, tmp_path):
    """A failure is not remembered: the next request asks again."""
    settings = plugin(f"test -e {tmp_path}/ready && echo '{credential(token='t')}'")
    credentials = load(settings)
    with pytest.raises(CredentialsError):
        credentials.headers()
    (tmp_path / "ready").touch()
    assert credentials.headers()


REFUSED = {
    "v1alpha1": ({"apiVersion": "client.authentication.k8s.io/v1alpha1"}, "v1alpha1"),
    "no version": ({"apiVersion": None}, "apiVersion None"),
    "no command": ({"command": ""}, "no command"),
    "an odd mode": ({"interactiveMode": "Sometimes"}, "Sometimes"),
    "odd arguments": ({"args": [1]}, "args"),
    "odd variables": ({"env": [{"name": "A", "value": 1}]}, "env"),
    "variables that are text": ({"env": "A=1"}, "env"),
}


@pytest.mark.parametrize(("change", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_plugin_settings_that_are_not_supported_are_refused(plugin, load, change, said):
    """What would be left out is refused when the kubeconfig is read."""
    with pytest.raises(CredentialsError, match=said) as caught:
        load({**plugin("true"), **change})
    assert "user 'u'" in str(caught.value)


def test_plugin_settings_that_are_no_mapping_are_refused(load):
    """An exec entry that is text is refused."""
    with pytest.raises(CredentialsError, match="not a mapping"):
        load("aws")


def test_plugin_that_needs_a_terminal_is_refused_without_one(plugin, load, runs):
    """InteractiveMode Always: there is nobody to type, and that is said."""
    credentials = load(plugin("true", interactiveMode="Always"))
    with pytest.raises(CredentialsError, match="needs a terminal"):
        credentials.headers()
    assert runs() == 0


def test_command_that_cannot_be_started_is_said(plugin, load, tmp_path):
    """Not executable, not there: named as the system names it."""
    settings = plugin("true")
    (tmp_path / "plugin.sh").chmod(0o644)
    with pytest.raises(CredentialsError, match="could not be started"):
        load(settings).headers()


def test_child_after_a_fork_asks_anew(plugin, tmp_path):
    """A run of the parent's is none of the child's: its thread is not there."""
    login = make_login(plugin(f"echo '{credential(token='t')}'"), tmp_path)
    login._running = object()  # as a fork in mid-run would leave it
    login.drop_after_fork()
    assert login.headers(timeout=30)
