"""
Credentials taken from a Kubernetes client that the application has set up already.

No client is imported here: an object is known by the package its class comes from.
What a client would do and this package does not is refused by name.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from kubernetes_leader_election.credentials.base import (
    Credentials,
    Headers,
    Login,
    Proxy,
    Server,
    StaticLogin,
)
from kubernetes_leader_election.credentials.kubeconfig_file import (
    Entry,
    login_of,
    trust_of,
)
from kubernetes_leader_election.credentials.proxies import (
    parse_proxy,
    proxy_from_variables,
)
from kubernetes_leader_election.credentials.tokens import TokenFile
from kubernetes_leader_election.credentials.trust import Trust, read_pem, read_text
from kubernetes_leader_election.errors import CredentialsError
from kubernetes_leader_election.process import native

__all__ = ["adapt"]

_LONGEST_RENEWAL = 60.0
"""Seconds a client may take to renew its token where the call has no deadline."""


def adapt(client: Any) -> Credentials:
    """
    Take the credentials of a client; see :func:`..credentials.from_client`.

    Raises:
        CredentialsError: it is of no kind that is known, or uses something that is not
            supported.
    """
    for kind in type(client).__mro__:
        adapter = _ADAPTERS.get(kind.__module__.partition(".")[0])
        if adapter is not None:
            return adapter(client)
    raise CredentialsError(
        f"from_client() does not know {type(client).__qualname__} objects. It takes a "
        "client, or a configuration, of kubernetes, kubernetes.aio, kubernetes_asyncio, "
        "lightkube or kr8s.",
        source="from_client()",
    )


# kubernetes, kubernetes.aio, kubernetes_asyncio -------------------------------------


def _adapt_generated(client: Any) -> Credentials:
    """Adapt one of the clients that are generated from the API's description."""
    package = type(client).__module__.partition(".client")[0]
    source = f"the {package} client"
    api_client = getattr(client, "api_client", client)
    configuration = getattr(api_client, "configuration", api_client)
    if not hasattr(configuration, "api_key") or not hasattr(configuration, "host"):
        raise _unsupported(source, f"a {type(client).__qualname__} is no client of it")
    server = Server.parse(configuration.host, source=source)
    headers = getattr(api_client, "default_headers", None) or {}
    return Credentials(
        server=server,
        source=source,
        login=_generated_login(configuration, headers, source),
        trust=_generated_trust(configuration, source),
        proxy=_generated_proxy(configuration, server, source, package),
        impersonation=[
            (name, str(value))
            for name, value in headers.items()
            if name.lower().startswith("impersonate-")
        ],
    )


def _generated_trust(configuration: Any, source: str) -> Trust:
    hostname = getattr(configuration, "assert_hostname", None)
    if hostname is False:
        raise _unsupported(source, "assert_hostname=False; set tls_server_name")
    if getattr(configuration, "proxy_ssl_context", None) is not None:
        raise _unsupported(source, "proxy_ssl_context")
    data = getattr(configuration, "ca_cert_data", None)
    if isinstance(data, bytes):
        data = ssl.DER_cert_to_PEM_cert(data)
    name = getattr(configuration, "tls_server_name", None)
    return Trust(
        ca_file=configuration.ssl_ca_cert,
        ca_data=data,
        insecure=not configuration.verify_ssl,
        server_name=name or (hostname if isinstance(hostname, str) else None),
        certificate_file=configuration.cert_file,
        key_file=configuration.key_file,
    )


def _generated_proxy(
    configuration: Any, server: Server, source: str, package: str
) -> Proxy | None:
    headers = getattr(configuration, "proxy_headers", None)
    if headers:
        raise _unsupported(source, "proxy_headers; put user and password in the proxy")
    url = configuration.proxy
    exceptions = getattr(configuration, "no_proxy", None) or ""
    if url:
        variables = {f"{server.scheme}_proxy": url, "no_proxy": exceptions}
        if exceptions and proxy_from_variables(server, variables) is None:
            return None
        return parse_proxy(url, source=f"{source}, proxy")
    # The others go by the variables, the synchronous client only by what it is told.
    return None if package == "kubernetes" else proxy_from_variables(server, os.environ)


def _generated_login(configuration: Any, headers: Any, source: str) -> Login:
    for name, value in headers.items():
        if name.lower() == "authorization":
            fixed = (("Authorization", str(value)),)
            return StaticLogin(fixed, description=f"the default header of {source}")
    token_file = _service_account_token(configuration)
    if token_file is not None:
        return TokenFile(token_file)

    def authorization(timeout: float | None) -> str:
        hook = configuration.refresh_api_key_hook
        if hook is not None:
            renewed = hook(configuration)
            if asyncio.iscoroutine(renewed):
                _run_apart(lambda: renewed, timeout, source)
        return _api_key(configuration)

    return _AskedLogin(authorization, description=f"the token of {source}")


def _api_key(configuration: Any) -> str:
    for name in ("BearerToken", "authorization"):
        key = configuration.api_key.get(name)
        if key:
            prefix = configuration.api_key_prefix.get(name)
            return f"{prefix} {key}" if prefix else str(key)
    return ""


def _service_account_token(configuration: Any) -> str | None:
    """
    Return the file of the token, if the client has it from a service account.

    These clients read it once a minute, and not at a 401; the file itself is better.
    """
    ca_file = configuration.ssl_ca_cert
    if not ca_file or os.path.basename(ca_file) != "ca.crt":  # noqa: PTH119 - text in, text out
        return None
    path = Path(ca_file).with_name("token")
    try:
        token = read_text(str(path)).strip()
    except OSError:
        return None
    same = token and _api_key(configuration).rpartition(" ")[2].strip() == token
    return str(path) if same else None


class _AskedLogin(Login):
    """Ask the client for its token before each request."""

    def __init__(
        self, authorization: Callable[[float | None], str], *, description: str
    ) -> None:
        self._authorization = authorization
        self.description = description

    def headers(self, *, timeout: float | None) -> Headers:
        """
        Return the header that the client would send.

        Raises:
            CredentialsError: the client cannot renew its token.
        """
        try:
            value = self._authorization(timeout).strip()
        except CredentialsError:
            raise
        except Exception as error:
            raise _failed(self.description, error) from error
        return (("Authorization", value),) if value else ()

    @property
    def is_secret(self) -> bool:
        """A client may get a token at any time."""
        return True


# lightkube ----------------------------------------------------------------------------


def _adapt_lightkube(client: Any) -> Credentials:
    source = "the lightkube client"
    config = getattr(client, "config", client)
    if hasattr(config, "contexts"):
        config = config.get()
    if not hasattr(config, "cluster"):
        raise _unsupported(source, f"a {type(client).__qualname__} is no client of it")
    file = Path(config.fname).absolute() if config.fname else Path("/lightkube")
    cluster = Entry(
        kind="cluster",
        name=config.context.cluster,
        file=file,
        values=_lightkube_values(config.cluster, _LIGHTKUBE_CLUSTER),
    )
    user = Entry(
        kind="user",
        name=config.context.user or "",
        file=file,
        values={} if config.user is None else _lightkube_user(config.user),
    )
    if "auth-provider" in user.values:
        raise user.refuse("auth-provider is not supported.")
    server = Server.parse(config.cluster.server, source=source)
    return Credentials(
        server=server,
        source=f"{source}, context {config.context_name!r}",
        login=login_of(user, cluster, os.environ),
        trust=trust_of(cluster, user),
        namespace=getattr(client, "namespace", None) or config.namespace,
        proxy=proxy_from_variables(server, os.environ),
    )


_LIGHTKUBE_CLUSTER = {
    "server": "server",
    "certificate_auth": "certificate-authority",
    "certificate_auth_data": "certificate-authority-data",
    "insecure": "insecure-skip-tls-verify",
}
_LIGHTKUBE_USER = {
    "username": "username",
    "password": "password",
    "token": "token",
    "token_file": "tokenFile",
    "auth_provider": "auth-provider",
    "client_cert": "client-certificate",
    "client_cert_data": "client-certificate-data",
    "client_key": "client-key",
    "client_key_data": "client-key-data",
}


def _lightkube_values(thing: Any, names: dict[str, str]) -> dict[str, Any]:
    found = {key: getattr(thing, name, None) for name, key in names.items()}
    return {key: value for key, value in found.items() if value is not None}


def _lightkube_user(user: Any) -> dict[str, Any]:
    values = _lightkube_values(user, _LIGHTKUBE_USER)
    if user.exec is not None:
        values["exec"] = {
            "apiVersion": user.exec.apiVersion,
            "command": user.exec.command,
            "args": list(user.exec.args or []),
            "env": [{"name": e.name, "value": e.value} for e in user.exec.env or []],
            "installHint": user.exec.installHint,
        }
    return values


# kr8s ---------------------------------------------------------------------------------


def _adapt_kr8s(client: Any) -> Credentials:
    source = "the kr8s client"
    auth = getattr(client, "auth", client)
    if not hasattr(auth, "reauthenticate"):
        raise _unsupported(source, f"a {type(client).__qualname__} is no client of it")
    if not auth.server:
        # Nobody has awaited it yet; its own loop need not run for this.
        auth = _kr8s_again(auth, None, source)
    server = Server.parse(auth.server, source=source)
    proxy = auth.proxy
    return Credentials(
        server=server,
        source=source,
        login=_kr8s_login(auth, source),
        trust=Trust(
            ca_file=_text_path(auth.server_ca_file),
            insecure=bool(getattr(auth, "_insecure_skip_tls_verify", False)),
            server_name=auth.tls_server_name,
        ),
        namespace=auth.namespace,
        proxy=(
            parse_proxy(proxy, source=f"{source}, proxy-url")
            if proxy
            else proxy_from_variables(server, os.environ)
        ),
    )


def _kr8s_login(auth: Any, source: str) -> Login:
    mounted = Path(getattr(auth, "_serviceaccount", "") or "/nowhere")
    ca_file = auth.server_ca_file
    if ca_file is not None and Path(ca_file) == mounted / "ca.crt":
        return TokenFile(str(mounted / "token"))
    return _Kr8sLogin(auth, source)


class _Kr8sLogin(Login):
    """
    Read what a kr8s client has found out; find it out anew at a 401.

    That is done with another object of its kind, on a loop of its own: the client
    itself belongs to the application's loop.
    """

    def __init__(self, auth: Any, source: str) -> None:
        self._auth = auth
        self._source = source
        self.description = f"the token or client certificate of {source}"

    def headers(self, *, timeout: float | None) -> Headers:  # noqa: ARG002 - nothing waits
        """Return the header that the client would send."""
        token = (self._auth.token or "").strip()
        return (("Authorization", f"Bearer {token}"),) if token else ()

    def certificate(self, *, timeout: float | None) -> tuple[str, str] | None:  # noqa: ARG002 - nothing waits
        """
        Return the client certificate and its key.

        Raises:
            CredentialsError: a file of theirs cannot be read.
        """
        files = self._auth.client_cert_file, self._auth.client_key_file
        if not all(files):
            return None
        try:
            certificate, key = (read_pem(str(file)) for file in files)
        except OSError as error:
            raise _failed(self.description, error) from error
        return certificate, key

    def refresh(self, *, timeout: float | None) -> None:
        """
        Go through the client's sources once more.

        Raises:
            CredentialsError: they give nothing any more.
        """
        self._auth = _kr8s_again(self._auth, timeout, self._source)

    @property
    def is_secret(self) -> bool:
        """Return whether there is a token."""
        return bool(self._auth.token)


def _kr8s_again(auth: Any, timeout: float | None, source: str) -> Any:
    """Return a new object made from the same sources, read now."""
    again = type(auth)(
        kubeconfig=auth._kubeconfig_path_or_dict,  # noqa: SLF001 - told nowhere else
        url=auth._url or None,  # noqa: SLF001 - told nowhere else
        serviceaccount=auth._serviceaccount,  # noqa: SLF001 - told nowhere else
        namespace=auth._namespace,  # noqa: SLF001 - None is not told apart otherwise
        context=auth._use_context,  # noqa: SLF001 - told nowhere else
    )
    _run_apart(again.reauthenticate, timeout, source)
    return again


# For all of them ------------------------------------------------------------------------


def _run_apart(
    make: Callable[[], Coroutine[Any, Any, Any]], timeout: float | None, source: str
) -> None:
    """Run a coroutine of a client on a loop of its own, wherever this is called."""
    errors: list[BaseException] = []
    over = native.Gate()
    limit = _LONGEST_RENEWAL if timeout is None else timeout

    async def run() -> None:
        async with asyncio.timeout(limit):
            await make()

    def work() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:  # noqa: BLE001 - raised again on the caller's thread
            errors.append(error)
        finally:
            over.open()

    native.start_thread(work, name="leader-election-login")
    if not over.wait(limit + 1):
        errors.append(TimeoutError())
    if errors:
        raise _failed(source, errors[0]) from errors[0]


def _failed(source: str, error: BaseException) -> CredentialsError:
    return CredentialsError(
        f"{source} cannot be had: {type(error).__name__} in the client itself.",
        source=source,
    )


def _unsupported(source: str, what: str) -> CredentialsError:
    return CredentialsError(f"{source}: not supported: {what}.", source=source)


def _text_path(path: Any) -> str | None:
    return None if path is None else str(path)


_ADAPTERS: dict[str, Callable[[Any], Credentials]] = {
    "kubernetes": _adapt_generated,
    "kubernetes_asyncio": _adapt_generated,
    "lightkube": _adapt_lightkube,
    "kr8s": _adapt_kr8s,
}
