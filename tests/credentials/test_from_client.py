"""Credentials of clients that applications have: each one with the real package."""

from __future__ import annotations

import asyncio
import base64
import ssl
import warnings

import pytest
import yaml

from kubernetes_leader_election.credentials import from_client
from kubernetes_leader_election.errors import CredentialsError
from kubernetes_leader_election.kube_api.results import Ok

with warnings.catch_warnings():
    # What other people's packages warn about is theirs.
    warnings.simplefilter("ignore")
    import kr8s
    import kubernetes.client
    import kubernetes.config
    import kubernetes_asyncio.client
    import kubernetes_asyncio.config
    import lightkube
    import lightkube.config.kubeconfig
    from kr8s._async_utils import as_sync_func
    from kr8s._auth import KubeAuth

    try:
        import kubernetes.aio.client
        import kubernetes.aio.config
    except ImportError:
        AIO = None
    else:
        AIO = kubernetes.aio

aio_only = pytest.mark.skipif(
    AIO is None, reason="this kubernetes has no kubernetes.aio"
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:(kubernetes|kr8s).*"
)


@pytest.fixture
def server(serve, authority, lease):
    """Give a server that wants a client certificate, and answers everything."""
    context = authority.server_context(asks_clients=ssl.CERT_OPTIONAL)

    def handle(peer):
        while (request := peer.read()) is not None:
            if request.target.startswith("/version"):
                peer.reply(200, {"major": "1", "minor": "34", "gitVersion": "v1.34.1"})
            else:
                peer.reply(200, lease())

    return serve(handle, tls=context)


@pytest.fixture
def config(server, authority, tmp_path):
    """Write a kubeconfig for the server; give its path."""

    def make(user=None, cluster=None):
        value = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "x",
            "contexts": [
                {
                    "name": "x",
                    "context": {"cluster": "c", "user": "u", "namespace": "apps"},
                }
            ],
            "clusters": [
                {
                    "name": "c",
                    "cluster": {
                        "server": server.url,
                        "certificate-authority-data": base64.b64encode(
                            authority.ca_file.read_bytes()
                        ).decode(),
                        **(cluster or {}),
                    },
                }
            ],
            "users": [{"name": "u", "user": user or {"token": "from-config"}}],
        }
        file = tmp_path / "config"
        file.write_text(yaml.safe_dump(value))
        return str(file)

    return make


@pytest.fixture
def pod(mount, server, monkeypatch):
    """Be a pod whose API server is the test's; give the mounted directory."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    return mount()


@pytest.fixture
def ask(server, connect, call):
    """Make a request with credentials; give the Authorization header it had."""

    def make(credentials, client=None):
        client = client or connect(credentials)
        assert isinstance(client.get("apps", "demo", call=call()), Ok)
        return server.requests[-1].headers.get("authorization")

    return make


def certificate_user(authority):
    """Make a user entry with a client certificate as data."""
    certificate, key = authority.issue("client")
    return {
        "client-certificate-data": base64.b64encode(certificate.read_bytes()).decode(),
        "client-key-data": base64.b64encode(key.read_bytes()).decode(),
    }


def peer_of(server):
    """Give the name in the client certificate that the server has seen, if any."""
    shown = server.peers[-1].sock.getpeercert()
    return shown and dict(part[0] for part in shown["subject"])["commonName"]


# kubernetes ---------------------------------------------------------------------------


def official(file):
    """Load a kubeconfig with the official client."""
    configuration = kubernetes.client.Configuration()
    kubernetes.config.load_kube_config(file, client_configuration=configuration)
    return kubernetes.client.ApiClient(configuration)


@pytest.mark.parametrize(
    "kind", ["ApiClient", "an API", "Configuration"], ids=lambda kind: kind
)
def test_kubernetes_client(config, ask, kind):
    """A client, one of its APIs, or its configuration: all lead to the same."""
    client = official(config())
    match kind:
        case "an API":
            client = kubernetes.client.CoordinationV1Api(client)
        case "Configuration":
            client = client.configuration
    credentials = from_client(client)
    assert ask(credentials) == "Bearer from-config"
    assert "kubernetes client" in credentials.source


def test_kubernetes_client_with_a_certificate(config, ask, authority, server):
    """A client certificate of the configuration is shown to the server."""
    credentials = from_client(official(config(certificate_user(authority))))
    assert ask(credentials) is None
    assert peer_of(server) == "client"


def test_kubernetes_client_that_renews_its_token(config, ask, connect):
    """The client's own hook is asked before each request."""
    client = official(config())
    tokens = iter(["one", "two"])

    def renew(configuration):
        configuration.api_key["BearerToken"] = f"Bearer {next(tokens)}"

    client.configuration.refresh_api_key_hook = renew
    credentials = from_client(client)
    mine = connect(credentials)
    assert ask(credentials, mine) == "Bearer one"
    assert ask(credentials, mine) == "Bearer two"


def test_kubernetes_client_whose_renewal_fails(config):
    """An error of the client is one of credentials, and names the client."""
    client = official(config())

    def renew(_configuration):
        raise RuntimeError("no luck")

    client.configuration.refresh_api_key_hook = renew
    with pytest.raises(CredentialsError, match=r"kubernetes client.*RuntimeError"):
        from_client(client).headers()


def test_kubernetes_client_in_a_pod_uses_the_file_itself(pod, ask, connect):
    """Proves fault 33: the client reads the token once a minute, we when it changes."""
    configuration = kubernetes.client.Configuration()
    loader = kubernetes.config.incluster_config.InClusterConfigLoader(
        str(pod / "token"), str(pod / "ca.crt")
    )
    loader.load_and_set(configuration)
    credentials = from_client(kubernetes.client.ApiClient(configuration))
    mine = connect(credentials)
    assert ask(credentials, mine) == "Bearer pod-token"
    (pod / "token").write_text("rotated-token")
    assert ask(credentials, mine) == "Bearer rotated-token"


def test_kubernetes_client_with_headers_of_its_own(config, ask, server):
    """Impersonation set on the client goes along, and so does its Authorization."""
    client = official(config())
    client.set_default_header("Impersonate-User", "jane")
    client.set_default_header("Authorization", "Bearer mine")
    assert ask(from_client(client)) == "Bearer mine"
    assert server.requests[-1].headers["impersonate-user"] == "jane"


def test_kubernetes_client_with_ca_and_name_and_without_verifying(
    server, ask, authority
):
    """CA as data, another name, no verifying: what is configured is done."""
    configuration = kubernetes.client.Configuration(host=server.url)
    configuration.ca_cert_data = authority.ca_file.read_text()
    assert ask(from_client(configuration)) is None
    pem = authority.ca_file.read_text()
    configuration.ca_cert_data = ssl.PEM_cert_to_DER_cert(pem)
    configuration.tls_server_name = "localhost"
    assert ask(from_client(configuration)) is None
    blind = kubernetes.client.Configuration(host=server.url, verify_ssl=False)
    assert ask(from_client(blind)) is None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("assert_hostname", False, "assert_hostname"),
        ("proxy_headers", {"X": "y"}, "proxy_headers"),
        ("proxy_ssl_context", object(), "proxy_ssl_context"),
        ("proxy", "socks5://p:1", "socks5"),
    ],
)
def test_kubernetes_client_with_what_is_not_supported(name, value, said):
    """What we would leave out is refused by name."""
    configuration = kubernetes.client.Configuration(host="https://one")
    setattr(configuration, name, value)
    with pytest.raises(CredentialsError, match=said):
        from_client(configuration)


def test_fault_48_kubernetes_client_with_a_proxy():
    """The client's own proxy and exceptions count."""
    configuration = kubernetes.client.Configuration(host="https://one")
    configuration.proxy = "http://p:1"
    assert from_client(configuration).proxy.authority == "p:1"
    configuration.no_proxy = "one"
    assert from_client(configuration).proxy is None


# kubernetes_asyncio, kubernetes.aio ------------------------------------------------------


def asynchronous(package, file):
    """Load a kubeconfig with a client for asyncio; its loop is over afterwards."""

    async def load():
        configuration = package.client.Configuration()
        await package.config.load_kube_config(file, client_configuration=configuration)
        async with package.client.ApiClient(configuration) as client:
            return client

    return asyncio.run(load())


PACKAGES = pytest.mark.parametrize(
    "package",
    [
        pytest.param(kubernetes_asyncio, id="kubernetes_asyncio"),
        pytest.param(AIO, id="kubernetes.aio", marks=aio_only),
    ],
)


@PACKAGES
def test_asyncio_client(package, config, ask):
    """The same for the clients for asyncio, whether or not their loop runs."""
    credentials = from_client(asynchronous(package, config()))
    assert ask(credentials) == "Bearer from-config"
    assert package.__name__ in credentials.source


@PACKAGES
def test_asyncio_client_with_a_certificate(package, config, ask, authority, server):
    """A client certificate of the configuration is shown to the server."""
    client = asynchronous(package, config(certificate_user(authority)))
    assert ask(from_client(client)) is None
    assert peer_of(server) == "client"


@PACKAGES
def test_asyncio_client_whose_hook_is_a_coroutine(package, config, ask):
    """A hook that must be awaited is, on a loop that disturbs nobody's."""
    client = asynchronous(package, config())

    async def renew(configuration):
        await asyncio.sleep(0)
        configuration.api_key["BearerToken"] = "Bearer awaited"

    client.configuration.refresh_api_key_hook = renew
    credentials = from_client(client)
    assert ask(credentials) == "Bearer awaited"

    async def inside():
        return credentials.headers()

    assert asyncio.run(inside()) == (("Authorization", "Bearer awaited"),)


@PACKAGES
def test_asyncio_client_whose_hook_hangs(package, config):
    """A hook that never ends is given up after the time of the request."""
    client = asynchronous(package, config())

    async def renew(_configuration):
        await asyncio.Event().wait()

    client.configuration.refresh_api_key_hook = renew
    with pytest.raises(CredentialsError, match="TimeoutError"):
        from_client(client).headers(timeout=0.1)


@PACKAGES
def test_asyncio_client_in_a_pod_uses_the_file_itself(package, pod, ask, connect):
    """Proves fault 33, as with the synchronous client."""
    configuration = package.client.Configuration()
    loader = package.config.incluster_config.InClusterConfigLoader(
        token_filename=str(pod / "token"), cert_filename=str(pod / "ca.crt")
    )
    loader.load_and_set(configuration)
    credentials = from_client(configuration)
    mine = connect(credentials)
    assert ask(credentials, mine) == "Bearer pod-token"
    (pod / "token").write_text("rotated-token")
    assert ask(credentials, mine) == "Bearer rotated-token"


# lightkube -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["Client", "AsyncClient", "KubeConfig", "SingleConfig"]
)
def test_lightkube_client(config, ask, kind):
    """A client of either kind, or the configuration of one."""
    client = lightkube.KubeConfig.from_file(config())
    match kind:
        case "SingleConfig":
            client = client.get()
        case "Client" | "AsyncClient":
            client = getattr(lightkube, kind)(config=client)
    credentials = from_client(client)
    assert ask(credentials) == "Bearer from-config"
    assert credentials.namespace == "apps"
    if kind == "Client":
        client.close()
    if kind == "AsyncClient":
        asyncio.run(client.close())


def test_lightkube_client_with_a_certificate(config, ask, authority, server):
    """A client certificate of the configuration is shown to the server."""
    client = lightkube.KubeConfig.from_file(config(certificate_user(authority)))
    assert ask(from_client(client)) is None
    assert peer_of(server) == "client"


def test_lightkube_client_with_a_plugin(config, ask, tmp_path):
    """An exec plugin is run by us, with our bounds."""
    (tmp_path / "plugin.sh").write_text(
        "#!/bin/sh\n"
        'echo "{\\"apiVersion\\":\\"client.authentication.k8s.io/v1beta1\\",'
        '\\"kind\\":\\"ExecCredential\\",\\"status\\":{\\"token\\":\\"$A-$1\\"}}"\n'
    )
    (tmp_path / "plugin.sh").chmod(0o755)
    settings = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "./plugin.sh",
        "args": ["b"],
        "env": [{"name": "A", "value": "a"}],
    }
    client = lightkube.KubeConfig.from_file(config({"exec": settings}))
    assert ask(from_client(client)) == "Bearer a-b"


def test_lightkube_client_in_a_pod_uses_the_file_itself(pod, ask, connect):
    """Proves fault 33: the file is read when it changes, not at the first 401."""
    client = lightkube.KubeConfig.from_service_account(pod)
    credentials = from_client(client)
    mine = connect(credentials)
    assert ask(credentials, mine) == "Bearer pod-token"
    (pod / "token").write_text("rotated-token")
    assert ask(credentials, mine) == "Bearer rotated-token"


def test_lightkube_client_with_an_auth_provider(config):
    """What Kubernetes has taken out is refused by name."""
    user = {"auth-provider": {"name": "gcp"}}
    client = lightkube.KubeConfig.from_file(config(user))
    with pytest.raises(CredentialsError, match="auth-provider"):
        from_client(client)


# kr8s ----------------------------------------------------------------------------------


def test_kr8s_client(config, ask):
    """A synchronous kr8s client that is set up."""
    api = kr8s.api(kubeconfig=config())
    credentials = from_client(api)
    assert ask(credentials) == "Bearer from-config"
    assert credentials.namespace == "apps"
    as_sync_func(api._session.aclose)()  # kr8s leaves it to the collector


def test_kr8s_client_of_a_running_loop(config, ask):
    """An asynchronous kr8s client, from inside its own loop and beside it."""

    async def inside():
        api = await kr8s.asyncio.api(kubeconfig=config())
        try:
            return await asyncio.to_thread(ask, from_client(api))
        finally:
            await api._session.aclose()

    assert asyncio.run(inside()) == "Bearer from-config"


def test_kr8s_client_that_nobody_has_awaited(config, ask):
    """Credentials that kr8s has not read yet are read for us."""
    assert ask(from_client(KubeAuth(kubeconfig=config()))) == "Bearer from-config"


def test_kr8s_client_with_a_certificate(config, ask, authority, server):
    """A client certificate of the configuration is shown to the server."""
    auth = KubeAuth(kubeconfig=config(certificate_user(authority)))
    assert ask(from_client(auth)) is None
    assert peer_of(server) == "client"


def test_kr8s_client_is_asked_again_at_a_401(
    serve, authority, config, connect, call, lease, status
):
    """Proves fault 33: its sources are gone through once more, by a copy of it."""

    def handle(peer):
        while (request := peer.read()) is not None:
            if request.headers.get("authorization") == "Bearer newer":
                peer.reply(200, lease())
            else:
                config({"token": "newer"}, {"server": own.url})
                peer.reply(401, status(401, "Unauthorized", "Unauthorized"))

    own = serve(handle, tls=authority.server_context())
    auth = KubeAuth(kubeconfig=config({"token": "older"}, {"server": own.url}))
    result = connect(from_client(auth)).get("apps", "demo", call=call())
    assert isinstance(result, Ok)
    assert len(own.requests) == 2


def test_kr8s_client_in_a_pod_uses_the_file_itself(pod, ask, connect, tmp_path):
    """Proves fault 33: kr8s reads the token anew at a 401 only."""
    auth = KubeAuth(kubeconfig=str(tmp_path / "none"), serviceaccount=str(pod))
    credentials = from_client(auth)
    mine = connect(credentials)
    assert ask(credentials, mine) == "Bearer pod-token"
    (pod / "token").write_text("rotated-token")
    assert ask(credentials, mine) == "Bearer rotated-token"


def test_kr8s_client_without_credentials(tmp_path):
    """A kr8s client that finds nothing is an error of credentials."""
    auth = KubeAuth(
        kubeconfig=str(tmp_path / "none"), serviceaccount=str(tmp_path / "none")
    )
    with pytest.raises(CredentialsError, match="kr8s client"):
        from_client(auth)


# None of them ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "thing",
    [None, "https://x", kubernetes, kubernetes.client.V1Lease(), kr8s.objects.Pod],
    ids=["None", "text", "a module", "a model", "a class"],
)
def test_what_is_no_client_is_refused_with_a_list(thing):
    """The message says what is taken, or that this is no client of the package."""
    with pytest.raises(CredentialsError, match=r"It takes a client|is no client"):
        from_client(thing)
