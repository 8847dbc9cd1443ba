"""Credentials of a pod, and the order in which credentials are looked for."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.credentials import (
    Credentials,
    discover,
    explicit,
    in_cluster,
    is_in_cluster,
)
from kubernetes_leader_election.errors import CredentialsError
from kubernetes_leader_election.kube_api.results import Ok

POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}


def test_pod_is_found_from_what_kubernetes_gives_it(mount):
    """Host and port from the variables; token, CA and namespace from the mount."""
    credentials = in_cluster(environ=POD, directory=str(mount()))
    assert credentials.server.url == "https://10.0.0.1:443"
    assert credentials.namespace == "apps"
    assert credentials.headers() == (("Authorization", "Bearer pod-token"),)
    assert credentials.tls_context() is not None
    assert "service account" in credentials.source


def test_fault_47_ipv6_cluster(mount):
    """An IPv6 host is put in brackets."""
    pod = {**POD, "KUBERNETES_SERVICE_HOST": "fd00::1"}
    credentials = in_cluster(environ=pod, directory=str(mount()))
    assert credentials.server.host == "fd00::1"
    assert credentials.server.url == "https://[fd00::1]:443"


def test_pod_without_variables_uses_the_name_of_the_server(mount):
    """Under cron, sudo or `env -i` the variables are gone, the mount is not."""
    credentials = in_cluster(environ={}, directory=str(mount()))
    assert credentials.server.url == "https://kubernetes.default.svc:443"


def test_fault_48_proxy_variables_are_ignored_in_a_cluster(mount):
    """The API server of the own cluster is never behind a proxy."""
    pod = {**POD, "HTTPS_PROXY": "http://proxy:3128", "https_proxy": "socks5://x"}
    assert in_cluster(environ=pod, directory=str(mount())).proxy is None


@pytest.mark.parametrize("missing", ["token", "ca.crt"])
def test_pod_without_service_account_says_what_to_set(mount, missing):
    """automountServiceAccountToken: false is named, not guessed around."""
    directory = mount()
    (directory / missing).unlink()
    with pytest.raises(CredentialsError, match="automountServiceAccountToken"):
        in_cluster(environ=POD, directory=str(directory))


def test_pod_without_namespace_file(mount):
    """The namespace is a convenience: without it somebody else has to name one."""
    directory = mount(namespace=None)
    assert in_cluster(environ=POD, directory=str(directory)).namespace is None


def test_fault_33_kubelet_replaces_the_token(
    serve_lease, connect, call, mount, authority
):
    """A projected volume is switched by a link; the next request has the new token."""
    server = serve_lease(tls=authority.server_context())
    pod = {
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(server.port),
    }
    directory = mount()
    client = connect(in_cluster(environ=pod, directory=str(directory)))
    assert isinstance(client.get("apps", "demo", call=call()), Ok)
    second = directory / "..2026_02_02"
    second.mkdir()
    for name in ("token", "ca.crt", "namespace"):
        (second / name).write_bytes((directory / name).read_bytes())
    (second / "token").write_text("newer-pod-token")
    (directory / "..tmp").symlink_to(second.name)
    (directory / "..tmp").rename(directory / "..data")
    assert isinstance(client.get("apps", "demo", call=call()), Ok)
    tokens = [request.headers["authorization"] for request in server.requests]
    assert tokens == ["Bearer pod-token", "Bearer newer-pod-token"]


# The order of design: options, KUBECONFIG in a cluster, the service account, none -------


def write_kubeconfig(tmp_path):
    """Write the smallest kubeconfig."""
    file = tmp_path / "config"
    file.write_text(
        "{current-context: c, contexts: [{name: c, context: {cluster: k}}],"
        " clusters: [{name: k, cluster: {server: 'https://from.kubeconfig'}}]}"
    )
    return file


def test_outside_a_cluster_there_is_nothing_to_find(tmp_path):
    """No variable, no mount, no options: leadership is assumed, no API is called."""
    nowhere = str(tmp_path / "nowhere")
    assert discover(environ={}, directory=nowhere) is None
    assert not is_in_cluster(environ={}, directory=nowhere)


def test_kubeconfig_alone_does_not_put_a_program_into_an_election(tmp_path):
    """A laptop's shell often has one, for production."""
    variables = {"KUBECONFIG": str(write_kubeconfig(tmp_path))}
    assert discover(environ=variables, directory=str(tmp_path / "nowhere")) is None


def test_kubeconfig_goes_before_the_service_account_in_a_cluster(tmp_path, mount):
    """In a cluster KUBECONFIG is there on purpose."""
    variables = {**POD, "KUBECONFIG": str(write_kubeconfig(tmp_path))}
    found = discover(environ=variables, directory=str(mount()))
    assert found.server.host == "from.kubeconfig"


def test_service_account_is_used_in_a_cluster(mount):
    """Without KUBECONFIG the pod's own account is used."""
    found = discover(environ=POD, directory=str(mount()))
    assert found.server.host == "10.0.0.1"


def test_mounted_service_account_is_a_cluster(mount):
    """Nobody leads by accident because a variable got lost."""
    found = discover(environ={}, directory=str(mount()))
    assert found.server.host == "kubernetes.default.svc"


def test_cluster_without_service_account_is_an_error(tmp_path):
    """In a cluster nobody assumes leadership because a mount is missing."""
    with pytest.raises(CredentialsError):
        discover(environ=POD, directory=str(tmp_path / "nowhere"))


def test_options_go_before_everything(tmp_path, mount):
    """What is given is used, in a cluster or not; options that are None are not given."""
    variables = {**POD, "KUBECONFIG": str(write_kubeconfig(tmp_path))}
    found = discover(
        environ=variables, directory=str(mount()), server="https://given", token=None
    )
    assert found.server.host == "given"


def test_credentials_given_are_used_as_they_are():
    """Credentials made before are taken as they are."""
    given = explicit(server="https://given")
    assert discover(given, environ=POD) is given


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        (explicit(server="https://x"), {"server": "https://y"}, "not both"),
        (None, {"token": "t"}, "no server"),
        (object(), {}, "does not know object objects"),
    ],
    ids=["credentials and options", "a token alone", "something else"],
)
def test_options_that_do_not_fit_are_refused(given, options, said):
    """Half of a way to log in is an error, never a fall back to another way."""
    with pytest.raises(CredentialsError, match=said):
        discover(given, environ=POD, **options)


# Explicit parts --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"server": "ftp://x"}, "not a URL"),
        ({"server": "https://"}, "not a URL"),
        ({"server": "https://x:99999"}, "not a URL"),
        ({"server": "https://x y"}, "not a URL"),
        ({"server": "https://x/?a=b"}, "not a URL"),
        ({"server": "https://user:pass@x"}, "user name or a password"),
        ({"server": "https://x", "token": " "}, "empty"),
        ({"server": "https://x", "token": "a", "token_file": "b"}, "not both"),
        (
            {"server": "https://x", "ca_file": "a", "insecure_skip_tls_verify": True},
            "contradict",
        ),
    ],
)
def test_explicit_parts_that_do_not_fit_are_refused(options, said):
    """What is wrong is said when the credentials are made."""
    with pytest.raises(CredentialsError, match=said) as caught:
        explicit(**options)
    assert "pass@" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ca_file": "/no/such/file"}, "/no/such/file"),
        ({"ca_data": "not PEM"}, "PEM"),
        ({"client_certificate": "/no/such/file"}, "key is missing"),
        ({"client_key": "/no/such/file"}, "certificate is missing"),
    ],
)
def test_certificates_that_cannot_be_read_are_named(options, said):
    """A wrong file is said by name, when it is needed."""
    credentials = explicit(server="https://x", **options)
    with pytest.raises(CredentialsError, match=said):
        credentials.tls_context()


def test_certificate_and_key_of_different_pairs_are_refused(authority):
    """What does not belong together is said in words."""
    certificate, _ = authority.issue("one")
    _, key = authority.issue("two")
    credentials = explicit(
        server="https://x", client_certificate=certificate, client_key=key
    )
    with pytest.raises(CredentialsError, match="belong together"):
        credentials.tls_context()


def test_context_is_the_same_until_a_file_changes(authority, tmp_path):
    """Reading files again costs nothing while they stay the same."""
    ca = tmp_path / "ca.crt"
    ca.write_bytes(authority.ca_file.read_bytes())
    credentials = explicit(server="https://x", ca_file=ca)
    first = credentials.tls_context()
    assert credentials.tls_context() is first
    ca.write_bytes(authority.ca_file.read_bytes() + "# Käse\n".encode())
    second = credentials.tls_context()
    assert second is not first
    ca.unlink()
    assert credentials.tls_context() is second  # what worked goes on working


def test_host_and_port_alone_mean_https():
    """A server may be given as host:port."""
    credentials = explicit(server="api.internal:6443")
    assert credentials.server.url == "https://api.internal:6443"
    assert isinstance(credentials, Credentials)
