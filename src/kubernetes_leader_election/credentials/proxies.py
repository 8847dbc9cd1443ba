"""Which proxy a server is reached through (fault 48)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

from kubernetes_leader_election.credentials.base import Proxy, Server
from kubernetes_leader_election.errors import CredentialsError

__all__ = ["parse_proxy", "proxy_from_variables"]


def parse_proxy(url: str, *, source: str) -> Proxy:
    """
    Take a proxy's URL apart.

    Raises:
        CredentialsError: it is no URL of an ``http://`` proxy, the kind supported.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme in {"https", "socks5", "socks5h", "socks4"}:
        raise CredentialsError(
            f"{source}: proxies of the kind {parts.scheme}:// are not supported. Use an "
            "http:// proxy (it only sees encrypted traffic), or take the setting out.",
            source=source,
        )
    if parts.scheme != "http" or not host or not host.isascii() or " " in host:
        # The URL may hold a password, so it is not shown (fault 50).
        raise CredentialsError(
            f"{source}: the proxy is not a URL like http://10.0.0.1:3128.",
            source=source,
        )
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode("ascii")
    return Proxy(host=host, port=port or 80, authorization=authorization)


def proxy_from_variables(server: Server, environ: Mapping[str, str]) -> Proxy | None:
    """
    Return the proxy that ``HTTPS_PROXY`` and ``NO_PROXY`` name for a server, if any.

    Small letters go first. A server on this machine is never behind a proxy.

    Raises:
        CredentialsError: the proxy named is not supported.
    """
    name = f"{server.scheme}_proxy"
    for variable in (name, name.upper()):
        url = environ.get(variable, "").strip()
        if url:
            break
    else:
        return None
    exceptions = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if server.is_loopback or _is_excepted(server, exceptions):
        return None
    return parse_proxy(url, source=f"the variable {variable}")


def _is_excepted(server: Server, exceptions: str) -> bool:
    return any(
        _matches(server, entry.strip().lower())
        for entry in exceptions.split(",")
        if entry.strip()
    )


def _matches(server: Server, entry: str) -> bool:
    """Compare as Go does: names with their subdomains, addresses, networks, ``*``."""
    if entry == "*":
        return True
    host = server.host.lower().removesuffix(".")  # as curl: the same name
    if "/" in entry:
        try:
            return ip_address(host) in ip_network(entry, strict=False)
        except ValueError:
            return False
    if entry == host or entry == server.authority.lower():
        return True
    name, colon, port = entry.rpartition(":")
    if colon and port.isdigit():
        if int(port) != server.port:
            return False
        entry = name
    entry = entry.strip("[]").removeprefix("*")
    if entry.startswith("."):
        return host.endswith(entry)
    return host == entry or host.endswith(f".{entry}")
