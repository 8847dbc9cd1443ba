"""
Kubeconfigs that kubectl 1.37 takes, however odd: each was tried with it.

What it refuses, and we take, is not here: to be more lenient does no harm.
"""

from __future__ import annotations

import base64
import json
import logging

import pytest
import yaml

from kubernetes_leader_election.credentials import kubeconfig
from kubernetes_leader_election.credentials.base import Server
from kubernetes_leader_election.errors import CredentialsError

LATIN = "# für Böblingen\n".encode("latin-1")
PLUGIN = {
    "apiVersion": "client.authentication.k8s.io/v1",
    "command": "true",
    "interactiveMode": "Never",
}


def config(cluster=None, user=None, context=None, **rest):
    """Make a kubeconfig with one of everything; the token is t."""
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
        "users": [{"name": "u", "user": {"token": "t", **(user or {})}}],
        **rest,
    }


def beside(kind, item):
    """Make a kubeconfig with one more entry of a kind, which nobody uses."""
    value = config()
    value[kind].append(item)
    return value


TEXT = yaml.safe_dump(config(), sort_keys=False)

TAKEN = {
    "auth-provider: null": config(user={"auth-provider": None}),
    "exec: null": config(user={"exec": None}),
    "exec beside a token, which goes first": config(user={"exec": PLUGIN}),
    "exec with keys nobody knows": config(user={"exec": {**PLUGIN, "zzz": 1}}),
    "an unknown cluster key": config(cluster={"pin": "x"}),
    "a cluster key in another case": config(cluster={"Server": "https://two"}),
    "an unknown user key": config(user={"tokenfile": "x"}),
    "an unknown context key": config(context={"colour": "x"}),
    "an unknown key at the top": config(zzz={"a": 1}),
    "null for all that may be": config(
        cluster={"proxy-url": None, "tls-server-name": None, "extensions": None},
        user={
            "as": None,
            "as-uid": None,
            "as-groups": None,
            "as-user-extra": None,
            "tokenFile": None,
            "username": None,
            "client-certificate-data": None,
            "client-key": None,
        },
        preferences=None,
        extensions=None,
    ),
    **{
        f"{kind}: {what}": beside(kind, item)
        for kind in ("contexts", "clusters", "users")
        for what, item in {
            "an entry without a name": {kind[:-1]: {"namespace": "x"}},
            "a name that is null": {"name": None, kind[:-1]: {}},
            "a name that is empty": {"name": "", kind[:-1]: {}},
            "an item that is null": None,
            "an entry that is null": {"name": "other", kind[:-1]: None},
        }.items()
    },
    "two documents": f"{TEXT}---\n{TEXT.replace('one', 'two')}",
    "two documents, the second broken": f"{TEXT}---\n{{[\n",
    "three dots and rubbish": f"{TEXT}\n...\n---\nfoo: [\n",
    "a directive": f"%YAML 1.1\n---\n{TEXT}",
    "a comment before the document": f"# mine\n---\n{TEXT}",
    "no kind and no version": {
        key: value
        for key, value in config().items()
        if key not in {"kind", "apiVersion"}
    },
    "JSON": json.dumps(config()),
    "JSON with tabs": json.dumps(config(), indent="\t"),
    "a byte order mark": b"\xef\xbb\xbf" + TEXT.encode(),
    "UTF-16": TEXT.encode("utf-16"),
    "lines as on Windows": TEXT.replace("\n", "\r\n"),
    "a date that is none": f"{TEXT}when: 2026-99-99\n",
    "a tag nobody knows": f"{TEXT}x: !vault |\n  abc\n",
    "a tag of Python": f"{TEXT}x: !!python/name:os.system ''\n",
    "a list of an unknown tag": f"{TEXT}x: !a [!b {{c: d}}]\n",
    "an equals sign": f"{TEXT}x: =\n",
    "an anchor": f"{TEXT}x: &a [1]\ny: *a\n",
    "a key twice": f"{TEXT}kind: Config\n",
    "text of an unknown tag where text is needed": TEXT.replace(
        "server: ", "server: !url "
    ),
    "a key without a certificate": config(user={"client-key-data": "eA=="}),
    "a query": config(cluster={"server": "https://one:6443/?x=1"}),
    "a fragment": config(cluster={"server": "https://one:6443#top"}),
}


@pytest.fixture
def write(tmp_path):
    """Write a kubeconfig; give its path."""

    def make(value):
        file = tmp_path / "config"
        if not isinstance(value, bytes):
            value = (
                value
                if isinstance(value, str)
                else yaml.safe_dump(value, sort_keys=False)
            ).encode()
        file.write_bytes(value)
        return file

    return make


@pytest.mark.parametrize("value", TAKEN.values(), ids=TAKEN.keys())
def test_kubeconfig_that_kubectl_takes_is_taken(write, value):
    """The same server and the same user as with kubectl."""
    credentials = kubeconfig(write(value), environ={})
    assert credentials.server.url == "https://one:6443"
    assert credentials.headers() == (("Authorization", "Bearer t"),)
    assert credentials.tls_context() is not None


WARNED = {
    "cluster": (config(cluster={"pin": "7"}), "cluster 'c': the setting 'pin'"),
    "user": (config(user={"tokenfile": "7"}), "Did you mean 'tokenFile'?"),
    "plugin": (
        config(user={"token": None, "exec": {**PLUGIN, "zzz": "7"}}),
        "user 'u': exec: the setting 'zzz'",
    ),
    "exec beside a token": (
        config(user={"exec": PLUGIN}),
        "exec is not used, token goes before it",
    ),
}


@pytest.mark.parametrize(("value", "said"), WARNED.values(), ids=WARNED.keys())
def test_setting_that_is_left_out_is_warned_of_without_its_value(
    write, caplog, value, said
):
    """It is left out by kubectl as well, silently; it may hold a secret (fault 50)."""
    with caplog.at_level(logging.WARNING, "kubernetes_leader_election"):
        kubeconfig(write(value), environ={})
    (line,) = caplog.messages
    assert said in line
    assert "7" not in line.replace(str(write(value)), "")


def test_usual_kubeconfig_warns_of_nothing(write, caplog):
    """A warning is for what is odd."""
    kubeconfig(write(config()), environ={})
    assert not caplog.messages


INSECURE = {"insecure-skip-tls-verify": True}
NO_SCHEME = {
    "nothing speaks of TLS": ("one:6443", {}, {}, "http://one:6443"),
    "no port": ("one", {}, {}, "http://one:80"),
    "a slash at the end": ("one:6443/", {}, {}, "http://one:6443"),
    "an address": ("[fd00::1]:6443", {}, {}, "http://[fd00::1]:6443"),
    "a CA": ("one", {"certificate-authority": "ca.pem"}, {}, "https://one:443"),
    "a CA as data": (
        "one",
        {"certificate-authority-data": "eA=="},
        {},
        "https://one:443",
    ),
    "no check": ("one:6443", INSECURE, {}, "https://one:6443"),
    "a client certificate": (
        "one",
        {},
        {"client-certificate": "me"},
        "https://one:443",
    ),
    "a key alone": ("one", {}, {"client-key": "me"}, "http://one:80"),
}


@pytest.mark.parametrize(
    ("address", "cluster", "user", "url"), NO_SCHEME.values(), ids=NO_SCHEME.keys()
)
def test_server_without_a_scheme_is_understood_as_by_kubectl(
    write, caplog, address, cluster, user, url
):
    """TLS where a certificate is spoken of, else none, which is warned of."""
    value = config(cluster={"server": address, **cluster}, user={"token": None, **user})
    assert kubeconfig(write(value), environ={}).server.url == url
    assert ("without TLS" in caplog.text) == url.startswith("http:")


def test_token_is_not_sent_without_tls_where_a_scheme_is_missing(write):
    """Anybody on the way could read it; kubectl sends it all the same."""
    with pytest.raises(CredentialsError, match="plain http, where anybody"):
        kubeconfig(write(config(cluster={"server": "one:6443"})), environ={})


@pytest.mark.parametrize("address", ["one:6443/api", "//one:6443"])
def test_server_without_a_scheme_has_no_path(write, address):
    """As with kubectl, which wants a URL or a host and a port."""
    with pytest.raises(
        CredentialsError, match="has a path and no scheme: write http://"
    ):
        kubeconfig(write(config(cluster={"server": address})), environ={})


def b64(data):
    """Encode as a kubeconfig does."""
    return base64.b64encode(data).decode()


BROKEN = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
AROUND = {
    "a comment in latin-1": (LATIN, b""),
    "rubbish behind": (b"", b"rubbish \xff\xfe\n"),
    "a broken certificate before": (BROKEN, b""),
    "a broken certificate behind": (b"", BROKEN),
    "a private key before": (BROKEN.replace(b"CERTIFICATE", b"PRIVATE KEY"), b""),
    "empty lines before": (b"\n\n  \n", b""),
}


@pytest.mark.parametrize("as_file", [True, False], ids=["file", "data"])
@pytest.mark.parametrize(("before", "behind"), AROUND.values(), ids=AROUND.keys())
def test_ca_counts_whatever_stands_beside_it(
    write, authority, tmp_path, before, behind, as_file
):
    """Go looks for certificates and skips the rest."""
    text = before + authority.ca_file.read_bytes() + behind
    (tmp_path / "odd.crt").write_bytes(text)
    entry = (
        {"certificate-authority": "odd.crt"}
        if as_file
        else {"certificate-authority-data": b64(text)}
    )
    context = kubeconfig(write(config(cluster=entry)), environ={}).tls_context()
    assert len(context.get_ca_certs()) == 1


@pytest.mark.parametrize("text", [BROKEN, b"rubbish", "ü".encode("utf-16"), b"\0" * 9])
def test_ca_without_any_certificate_is_refused(write, text):
    """Nobody is believed because nothing could be read."""
    value = config(cluster={"certificate-authority-data": b64(text)})
    with pytest.raises(CredentialsError, match="CA"):
        kubeconfig(write(value), environ={}).tls_context()


@pytest.mark.parametrize("as_file", [True, False], ids=["file", "data"])
def test_client_certificate_counts_whatever_stands_beside_it(
    write, authority, tmp_path, as_file
):
    """Comments in a client certificate and its key may be of any encoding."""
    certificate, key = (LATIN + file.read_bytes() for file in authority.issue("client"))
    (tmp_path / "odd.crt").write_bytes(certificate)
    (tmp_path / "odd.key").write_bytes(key)
    user = (
        {"client-certificate": "odd.crt", "client-key": "odd.key"}
        if as_file
        else {"client-certificate-data": b64(certificate), "client-key-data": b64(key)}
    )
    assert kubeconfig(write(config(user=user)), environ={}).tls_context() is not None


@pytest.mark.parametrize(("word", "insecure"), [("y", True), ("N", False)])
def test_one_letter_is_true_or_false(write, word, insecure):
    """YAML 1.1 has them, and kubectl goes by that."""
    text = TEXT.replace("server:", f"insecure-skip-tls-verify: {word}\n    server:")
    context = kubeconfig(write(text), environ={}).tls_context()
    assert context.check_hostname is not insecure


ADDRESSES = {
    "https://[fe80::1%25eth0]": (
        "fe80::1%eth0", "https://[fe80::1%25eth0]:443", "[fe80::1]", "fe80::1",
    ),
    "https://[fe80::1%25eth0]:6443/x": (
        "fe80::1%eth0", "https://[fe80::1%25eth0]:6443/x", "[fe80::1]:6443", "fe80::1",
    ),
    "https://[::ffff:10.0.0.1]:6443": (
        "::ffff:10.0.0.1", "https://[::ffff:10.0.0.1]:6443",
        "[::ffff:10.0.0.1]:6443", "10.0.0.1",
    ),
    "https://[fd00::1]": ("fd00::1", "https://[fd00::1]:443", "[fd00::1]", "fd00::1"),
    "https://10.0.0.1": ("10.0.0.1", "https://10.0.0.1:443", "10.0.0.1", "10.0.0.1"),
    "https://a.example/": ("a.example", "https://a.example:443", "a.example", "a.example"),
}  # fmt: skip


@pytest.mark.parametrize("url", ADDRESSES)
def test_address_is_connected_to_shown_and_certified(url):
    """Fault 47: the zone says which way to go, and is nothing to the server."""
    server = Server.parse(url, source="here")
    found = server.host, server.url, server.host_header, server.certified_name
    assert found == ADDRESSES[url]
    assert Server.parse(server.url, source="here") == server
