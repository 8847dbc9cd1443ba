"""
Fault 50: a canary for a secret, in every place that may show one.

An elector meets each trouble with the canary for a token or a password. Whatever a
person could read of it is searched: log lines at DEBUG with their tracebacks, standard
output and error, events, states, settings, credentials.
"""

from __future__ import annotations

import json
import logging
import threading
import traceback
from contextlib import ExitStack

import pytest
import yaml

from kubernetes_leader_election import EVENTS, ConfigurationError
from kubernetes_leader_election.credentials import explicit, kubeconfig
from kubernetes_leader_election.errors import CredentialsError
from kubernetes_leader_election.sync import Elector
from kubernetes_leader_election.testing import LeaseServer
from kubernetes_leader_election.testing.faults import Answer, Fault
from kubernetes_leader_election.testing.lease_server.api.access import User
from tests.node_page import PATIENCE

pytestmark = pytest.mark.slow
CANARY = "canary-7Qx-Zm9vYmFy"
EXEC = "client.authentication.k8s.io/v1"


def chain(error):
    """Give all texts of an error and of those behind it."""
    texts = ["".join(traceback.format_exception(error))]
    while error is not None:
        texts += [repr(error), str(error), repr(error.args), repr(vars(error))]
        error = error.__cause__ or error.__context__
    return texts


class Play:
    """What a trouble needs: a server, a folder, variables."""

    def __init__(self, stack, path, monkeypatch):
        self.stack, self.path, self.monkeypatch = stack, path, monkeypatch

    def server(self, **options):
        """Run an embedded server until the test is over."""
        return self.stack.enter_context(LeaseServer(**options))

    def write(self, name, text, mode=0o600):
        """Write a file and give its path."""
        file = self.path / name
        file.write_text(text)
        file.chmod(mode)
        return file

    def kubeconfig(self, base, user, **cluster):
        """Write a kubeconfig with this user, and give its path."""
        entries = yaml.safe_load(base.kubeconfig())
        entries["users"][0]["user"] = user
        entries["clusters"][0]["cluster"].update(cluster)
        return self.write("kubeconfig", yaml.safe_dump(entries))

    def plugin(self, server, script):
        """Give the credentials of an exec plugin that knows the canary."""
        self.write("plugin", f"#!/bin/sh\n{script}\n", 0o700)
        user = {
            "exec": {
                "apiVersion": EXEC,
                "command": "./plugin",
                "args": ["--token", CANARY, f"--client-secret={CANARY}"],
                "env": [{"name": "LOGIN_TOKEN", "value": CANARY}],
                "interactiveMode": "Never",
            }
        }
        return {"credentials": kubeconfig(self.kubeconfig(server, user))}


def answer(**status):
    """Give what a plugin prints."""
    return json.dumps({"kind": "ExecCredential", "apiVersion": EXEC, "status": status})


def leads(play):
    """Nothing is wrong."""
    role = """
        kind: Role
        apiVersion: rbac.authorization.k8s.io/v1
        metadata: {name: all, namespace: default}
        rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]
        """
    server = play.server(users=[User("bob", token=CANARY, roles=(role,))])
    return {"credentials": explicit(server=server.url, token=CANARY)}


def unauthorised(play):
    """A 401."""
    server = play.server(users=[User("bob", token="other")])
    return {"server": server.url, "token": CANARY}


def forbidden(play):
    """A 403."""
    server = play.server(users=[User("bob", token=CANARY)])
    return {"server": server.url, "token_file": play.write("token", CANARY)}


def echo(play):
    """A server whose error repeats what it was sent."""
    server = play.server()
    server.faults.add(
        Fault(Answer(500, message=f"cannot parse: Bearer {CANARY}"), times=None)
    )
    return {"server": server.url, "token": CANARY}


def broken_yaml(play):
    """A kubeconfig that is cut off behind its token; found in a pod."""
    file = play.write("kubeconfig", f"users: [{{user: {{token: {CANARY}\n")
    play.monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    play.monkeypatch.setenv("KUBECONFIG", str(file))
    return {}


def refused_user(play):
    """A user entry with two ways to log in."""
    user = {"token": CANARY, "username": "bob", "password": CANARY}
    return {"credentials": kubeconfig(play.kubeconfig(play.server(), user))}


def unknown_setting(play):
    """A user entry with what is not supported."""
    user = {"auth-provider": {"config": {"access-token": CANARY}}}
    return {"credentials": kubeconfig(play.kubeconfig(play.server(), user))}


def odd_text(play):
    """A token that is a list."""
    user = {"token": [CANARY]}
    return {"credentials": kubeconfig(play.kubeconfig(play.server(), user))}


def odd_key(play):
    """A client key that is no base64."""
    user = {"client-certificate-data": "WA==", "client-key-data": f"{CANARY}!"}
    return {"credentials": kubeconfig(play.kubeconfig(play.server(), user))}


def plugin_fails(play):
    """A plugin that prints the token on both streams, and fails."""
    said = answer(token=CANARY)
    script = f"echo '{said}'; echo '{said}' >&2; echo {CANARY} >&2; exit 3"
    return play.plugin(play.server(), script)


def plugin_mumbles(play):
    """A plugin whose answer is no ExecCredential."""
    return play.plugin(play.server(), f"echo {CANARY}; echo {CANARY} >&2")


def plugin_gives_what_is_refused(play):
    """A plugin whose token the server does not take."""
    server = play.server(users=[User("bob", token="other")])
    said = answer(token=CANARY)
    return play.plugin(server, f"echo '{said}'; echo {CANARY} >&2")


def proxy(play):
    """A proxy with a password that does not answer as one."""
    server = play.server()
    url = server.url.replace("http://", f"http://bob:{CANARY}@")
    config = play.kubeconfig(
        server, {}, server="https://api.example.org", **{"proxy-url": url}
    )
    return {"credentials": kubeconfig(config)}


def odd_proxy(play):
    """A proxy of a kind that is not supported."""
    play.monkeypatch.setenv("HTTPS_PROXY", f"socks5://bob:{CANARY}@127.0.0.1:1")
    config = play.kubeconfig(play.server(), {}, server="https://api.example.org")
    return {"credentials": kubeconfig(config)}


def password_in_url(play):
    """A server's URL with a password."""
    return {"server": f"https://bob:{CANARY}@10.0.0.1:6443"}


def token_in_url(play):
    """A server's URL with a token in its query."""
    return {"server": f"https://10.0.0.1:6443/?token={CANARY}"}


def broken_url(play):
    """A server's URL that no library can take apart."""
    return {"server": f"https://bob:{CANARY}@[fd00:::"}


def plain_http(play):
    """A token over plain http."""
    return {"server": "http://10.0.0.1:8080", "token": CANARY}


def odd_token(play):
    """A token that would break out of its header."""
    return {"server": play.server().url, "token": f"{CANARY}\nX-Evil: {CANARY}"}


def binary_token(play):
    """A token file that is no text."""
    file = play.path / "token"
    file.write_bytes(CANARY.encode() + b"\xff")
    return {"server": play.server().url, "token_file": file}


def misspelt(play):
    """An option that there is not."""
    return {"server": play.server().url, "tokens": CANARY}


PLAYS = [
    leads,
    unauthorised,
    forbidden,
    echo,
    broken_yaml,
    refused_user,
    unknown_setting,
    odd_text,
    odd_key,
    plugin_fails,
    plugin_mumbles,
    plugin_gives_what_is_refused,
    proxy,
    odd_proxy,
    password_in_url,
    token_in_url,
    broken_url,
    plain_http,
    odd_token,
    binary_token,
    misspelt,
]


@pytest.mark.parametrize(
    "trouble", PLAYS, ids=lambda play: play.__name__.replace("_", " ")
)
def test_canary_is_in_nothing_that_a_person_can_read(
    trouble, tmp_path, monkeypatch, caplog, capfd
):
    """Fault 50: whatever goes wrong, it is told, and without the secret."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    shown, met = [], threading.Event()

    def hear(event):
        shown.extend([repr(event), str(event)])
        if event.name == EVENTS.ERROR:
            shown.extend(chain(event.error))
        if event.name in (EVENTS.ERROR, EVENTS.LEASE_RENEWED):
            met.set()

    with ExitStack() as stack:
        try:
            options = trouble(Play(stack, tmp_path, monkeypatch))
            rhythm = {"renew_interval_ms": 100, "lease_duration_sec": 2}
            elector = Elector(lease_name="x", auto_close=False, **rhythm, **options)
        except (CredentialsError, ConfigurationError) as error:
            shown.extend(chain(error))
        else:
            for name in EVENTS:
                elector.on(name, hear)
            elector.start()
            assert met.wait(PATIENCE)
            lifecycle = elector._lifecycle
            shown += [repr(elector), repr(elector.state), str(elector.state)]
            shown += [repr(lifecycle.settings), repr(options.get("credentials"))]
            shown += [
                repr(vars(lifecycle)),
                repr(vars(lifecycle._connector.given or object)),
            ]
            elector.stop(PATIENCE)
    told = list(shown)
    for record in caplog.records:
        shown += [record.getMessage(), record.exc_text or ""]
    shown += [caplog.text, *capfd.readouterr()]
    assert told, "nothing was told at all"
    assert not [text for text in shown if CANARY in text]
