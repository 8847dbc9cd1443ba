"""A kubeconfig as kubectl reads it, and what is refused by name."""

from __future__ import annotations

import base64
import os
import ssl

import pytest
import yaml

from kubernetes_leader_election.credentials import kubeconfig
from kubernetes_leader_election.errors import CredentialsError
from kubernetes_leader_election.kube_api.results import Ok

CANARY = "canary-c2VjcmV0"


def config(cluster=None, user=None, context=None, **rest):
    """Make a kubeconfig with one of everything."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [
            {
                "name": "here",
                "context": {"cluster": "c", "user": "u", **(context or {})},
            }
        ],
        "clusters": [
            {"name": "c", "cluster": {"server": "https://one:6443", **(cluster or {})}}
        ],
        "users": [{"name": "u", "user": user or {}}],
        **rest,
    }


@pytest.fixture
def write(tmp_path):
    """Write a kubeconfig; give its path."""

    def make(value, name="config"):
        file = tmp_path / name
        file.write_text(value if isinstance(value, str) else yaml.safe_dump(value))
        return file

    return make


def b64(data):
    """Encode as a kubeconfig does."""
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


def test_current_context_is_used(write):
    """Server, token and namespace come from the current context."""
    file = write(config(user={"token": "t"}, context={"namespace": "apps"}))
    credentials = kubeconfig(file, environ={})
    assert credentials.server.url == "https://one:6443"
    assert credentials.headers() == (("Authorization", "Bearer t"),)
    assert credentials.namespace == "apps"
    assert str(file) in credentials.source
    assert "'here'" in credentials.source


def test_context_can_be_chosen(write):
    """Another context is used when it is named; its namespace is `default` if unset."""
    value = config()
    value["clusters"].append({"name": "d", "cluster": {"server": "https://two"}})
    value["contexts"].append({"name": "there", "context": {"cluster": "d"}})
    credentials = kubeconfig(write(value), "there", environ={})
    assert credentials.server.host == "two"
    assert credentials.namespace == "default"
    assert credentials.headers() == ()


def test_files_are_merged_the_first_one_wins(write, tmp_path):
    """KUBECONFIG may list several files; missing ones are left out, as in kubectl."""
    one = write({"current-context": "here", "contexts": config()["contexts"]}, "one")
    two = write({**config(user={"token": "two"}), "current-context": "other"}, "two")
    three = write(config(cluster={"server": "https://three"}), "three")
    listed = [one, tmp_path / "missing", two, three]
    variables = {"KUBECONFIG": ":".join(map(str, listed))}
    credentials = kubeconfig(environ=variables)
    assert credentials.server.host == "one"
    assert credentials.headers() == (("Authorization", "Bearer two"),)


def test_default_file_is_in_the_home(write, tmp_path):
    """Without KUBECONFIG it is ~/.kube/config."""
    (tmp_path / ".kube").mkdir()
    write(config(), ".kube/config")
    assert kubeconfig(environ={"HOME": str(tmp_path)}).server.host == "one"


def test_files_named_are_relative_to_the_kubeconfig(
    serve_lease, connect, call, authority, tmp_path
):
    """CA, certificate, key and token files are found beside the kubeconfig."""
    context = authority.server_context(asks_clients=ssl.CERT_REQUIRED)
    server = serve_lease(tls=context)
    certificate, key = authority.issue("client")
    value = config(
        cluster={"server": server.url, "certificate-authority": "ca.crt"},
        user={
            "client-certificate": certificate.name,
            "client-key": key.name,
            "tokenFile": "pki/token",
        },
    )
    (authority.directory / "pki").mkdir(exist_ok=True)
    (authority.directory / "pki" / "token").write_text("from-file")
    file = authority.directory / "kubeconfig"
    file.write_text(yaml.safe_dump(value))
    client = connect(kubeconfig(file, environ={}))
    assert isinstance(client.get("apps", "demo", call=call()), Ok)
    assert server.requests[0].headers["authorization"] == "Bearer from-file"


def test_certificates_as_data(serve_lease, connect, call, authority, write):
    """The same as base64 inside the kubeconfig, which goes before files."""
    context = authority.server_context("api.internal", asks_clients=ssl.CERT_REQUIRED)
    server = serve_lease(tls=context)
    certificate, key = authority.issue("client")
    value = config(
        cluster={
            "server": server.url,
            "certificate-authority": "no-such-file",
            "certificate-authority-data": b64(authority.ca_file.read_bytes()),
            "tls-server-name": "api.internal",
            "extensions": [{"name": "x", "extension": {}}],
        },
        user={
            "client-certificate-data": b64(certificate.read_bytes()),
            "client-key-data": b64(key.read_bytes()),
        },
    )
    client = connect(kubeconfig(write(value), environ={}))
    assert isinstance(client.get("apps", "demo", call=call()), Ok)


def test_insecure_skip_tls_verify(serve_lease, connect, call, other_authority, write):
    """Any server is believed if the kubeconfig says so."""
    server = serve_lease(tls=other_authority.server_context("x"))
    value = config(cluster={"server": server.url, "insecure-skip-tls-verify": True})
    client = connect(kubeconfig(write(value), environ={}))
    assert isinstance(client.get("apps", "demo", call=call()), Ok)


def test_user_name_and_password(write):
    """Basic authentication is sent as it always was."""
    user = {"username": "u", "password": "p"}
    credentials = kubeconfig(write(config(user=user)), environ={})
    assert credentials.headers() == (("Authorization", f"Basic {b64('u:p')}"),)


def test_token_file_goes_before_the_token(write, tmp_path):
    """The file is the newer one; the token is there for when it cannot be read."""
    (tmp_path / "token").write_text("file")
    user = {"tokenFile": "token", "token": "text"}
    credentials = kubeconfig(write(config(user=user)), environ={})
    assert credentials.headers() == (("Authorization", "Bearer file"),)
    (tmp_path / "token").unlink()
    fresh = kubeconfig(tmp_path / "config", environ={})
    assert fresh.headers() == (("Authorization", "Bearer text"),)


def test_impersonation_is_sent_along(write):
    """as, as-uid, as-groups and as-user-extra become headers, groups one each."""
    user = {
        "token": "t",
        "as": "jane",
        "as-uid": "7",
        "as-groups": ["a", "b"],
        "as-user-extra": {"example.org/reason": ["x", "y"]},
    }
    credentials = kubeconfig(write(config(user=user)), environ={})
    assert credentials.headers() == (
        ("Authorization", "Bearer t"),
        ("Impersonate-User", "jane"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
        ("Impersonate-Extra-example.org%2Freason", "x"),
        ("Impersonate-Extra-example.org%2Freason", "y"),
    )


# Proxies -------------------------------------------------------------------------------

PROXIED = [
    ({}, {"HTTPS_PROXY": "http://p:1"}, "p:1"),
    ({}, {"https_proxy": "http://small:1", "HTTPS_PROXY": "http://p:1"}, "small:1"),
    ({}, {"HTTP_PROXY": "http://p:1", "ALL_PROXY": "http://p:1"}, None),
    ({"proxy-url": "http://own:3128"}, {"HTTPS_PROXY": "http://p:1"}, "own:3128"),
    ({"proxy-url": "http://own"}, {"NO_PROXY": "*"}, "own:80"),
    ({}, {"HTTPS_PROXY": "p:1", "NO_PROXY": "two,one"}, None),
    ({}, {"HTTPS_PROXY": "p:1", "NO_PROXY": "one:443"}, "p:1"),
    ({}, {"HTTPS_PROXY": "p:1", "NO_PROXY": "one:6443"}, None),
    ({"server": "https://a.b.c"}, {"HTTPS_PROXY": "p:1", "NO_PROXY": "b.c"}, None),
    ({"server": "https://a.b.c"}, {"HTTPS_PROXY": "p:1", "no_proxy": ".b.c"}, None),
    ({"server": "https://a.b.c"}, {"HTTPS_PROXY": "p:1", "no_proxy": "*.b.c"}, None),
    ({"server": "https://ab.c"}, {"HTTPS_PROXY": "p:1", "no_proxy": "b.c"}, "p:1"),
    ({"server": "https://10.1.2.3"}, {"HTTPS_PROXY": "p:1", "NO_PROXY": "10.0.0.0/8"}, None),
    ({"server": "https://11.1.2.3"}, {"HTTPS_PROXY": "p:1", "NO_PROXY": "10.0.0.0/8"}, "p:1"),
    ({"server": "https://[fd00::1]"}, {"HTTPS_PROXY": "p:1", "NO_PROXY": "fd00::/8"}, None),
    ({"server": "https://127.0.0.1"}, {"HTTPS_PROXY": "p:1"}, None),
    ({"server": "https://localhost."}, {"HTTPS_PROXY": "p:1"}, None),
    ({"server": "https://a.b.c."}, {"HTTPS_PROXY": "p:1", "NO_PROXY": ".b.c"}, None),
]  # fmt: skip


@pytest.mark.parametrize(("cluster", "variables", "expected"), PROXIED)
def test_fault_48_proxy_of_a_kubeconfig(write, cluster, variables, expected):
    """proxy-url, else the variables, with the exceptions that Go knows."""
    credentials = kubeconfig(write(config(cluster=cluster)), environ=variables)
    proxy = credentials.proxy
    assert expected == (None if proxy is None else proxy.authority)


def test_fault_48_proxy_with_a_password(write):
    """User and password of a proxy are sent to it, and never shown."""
    url = f"http://user:{CANARY}%21@p:1"
    credentials = kubeconfig(write(config(cluster={"proxy-url": url})), environ={})
    assert credentials.proxy.authorization == f"Basic {b64(f'user:{CANARY}!')}"
    assert CANARY not in repr(credentials.proxy)
    assert b64(f"user:{CANARY}!") not in repr(credentials.proxy)


@pytest.mark.parametrize(
    "url", ["socks5://p:1", "https://p:1", "ftp://p:1", "http://", "http://p:x"]
)
def test_fault_48_unsupported_proxy_is_refused(write, url):
    """No silent detour around a proxy that cannot be used."""
    with pytest.raises(CredentialsError, match="proxy-url") as caught:
        kubeconfig(write(config(cluster={"proxy-url": url})), environ={})
    assert "'c'" in str(caught.value)
    with pytest.raises(CredentialsError, match="HTTPS_PROXY"):
        kubeconfig(write(config()), environ={"HTTPS_PROXY": url})


# Refusals --------------------------------------------------------------------------------

REFUSED = {
    "no server": (config(cluster={"server": ""}), "no server"),
    "an odd server": (config(cluster={"server": "gopher://x"}), "not a URL"),
    "plain http with a token": (
        config(cluster={"server": "http://x"}, user={"token": CANARY}),
        "plain http",
    ),
    "no such cluster": (config(context={"cluster": "z"}), "no cluster 'z'"),
    "no such user": (config(context={"user": "z"}), "no user 'z'"),
    "no cluster named": (config(context={"cluster": None}), "no cluster ''"),
    "no such context": ({**config(), "current-context": "z"}, "no context 'z'"),
    "no current context": ({**config(), "current-context": ""}, "no current-context"),
    "auth-provider": (config(user={"auth-provider": {"name": "gcp"}}), "auth-provider"),
    "two ways to log in": (
        config(user={"token": CANARY, "username": "u"}),
        "contradict",
    ),
    "CA and insecure": (
        config(
            cluster={"certificate-authority": "x", "insecure-skip-tls-verify": True}
        ),
        "contradict",
    ),
    "insecure as text": (
        config(cluster={"insecure-skip-tls-verify": "yes"}),
        "neither true nor false",
    ),
    "a token that is a number": (config(user={"token": 7}), "token is not text"),
    "a key that is no base64": (
        config(user={"client-key-data": f"{CANARY}%"}),
        "client-key-data",
    ),
    "groups without a user": (config(user={"as-groups": ["a"]}), "need as"),
    "groups that are text": (config(user={"as": "x", "as-groups": "a"}), "as-groups"),
    "odd extras": (config(user={"as": "x", "as-user-extra": {"a": "b"}}), "extra"),
    "a list": ([1], "not a mapping"),
    "clusters that are text": ({**config(), "clusters": "x"}, "clusters is not a list"),
    "a name that is a number": ({**config(), "users": [{"name": 5}]}, "no name"),
    "an entry that is a list": ({**config(), "users": [[]]}, "no name"),
    "an entry that is text": (
        {**config(), "users": [{"name": "u", "user": "x"}]},
        "not a mapping",
    ),
    "not YAML": (f"users: [{CANARY}\n  : {{", "line"),
    "a YAML object": ("!!python/object/apply:os.system ['true']", "not a mapping"),
    "binary": ("\x00", "not YAML"),
    "empty": ("", "no current-context"),
    "an odd number": ("a: !!int x", "not YAML"),
}


@pytest.mark.parametrize(("value", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_kubeconfig_that_cannot_be_used_is_refused_by_name(write, value, said):
    """The file is named, what is wrong is said, and no secret is (fault 50)."""
    file = write(value)
    with pytest.raises(CredentialsError, match=said) as caught:
        kubeconfig(file, environ={})
    assert str(file) in str(caught.value)
    error = caught.value
    while error is not None:
        assert CANARY not in f"{error} {error.args}"
        error = error.__cause__ or error.__context__


def test_missing_kubeconfig_is_named(tmp_path):
    """A file that is not there is said by name, also the default one."""
    with pytest.raises(CredentialsError, match="nothing-here"):
        kubeconfig(tmp_path / "nothing-here", environ={})
    with pytest.raises(CredentialsError, match=r"\.kube/config"):
        kubeconfig(environ={"HOME": str(tmp_path)})
    with pytest.raises(CredentialsError, match="gone"):
        kubeconfig(environ={"KUBECONFIG": str(tmp_path / "gone")})


@pytest.mark.parametrize("path", [None, "~/kubeconfig", "~nobody-of-that-name/config"])
def test_user_without_a_home_is_told_what_to_set(monkeypatch, path):
    """A container's uid often has no entry in passwd, and no HOME."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as with no entry
    with pytest.raises(CredentialsError, match=rf"(?s)uid {os.getuid()}.*KUBECONFIG"):
        kubeconfig(path, environ={})


def test_unused_entries_may_be_anything(write):
    """Only the context in use has to be understood."""
    value = config()
    value["users"].append({"name": "other", "user": {"auth-provider": {"name": "gcp"}}})
    assert kubeconfig(write(value), environ={})
