"""
The base class of credentials: a server, headers, a TLS context.

A :class:`Credentials` is made once, by one of the sources of this package, and asked
before each request: files and plugins behind it are read again when they change. It
never shows a secret: not in its ``repr``, not in an error, not in a log line.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import ssl
import threading
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from kubernetes_leader_election.credentials.redaction import without_secrets
from kubernetes_leader_election.credentials.trust import Trust
from kubernetes_leader_election.errors import CredentialsError
from kubernetes_leader_election.process import native
from kubernetes_leader_election.values import Value, hidden, replace

__all__ = ["Credentials", "Headers", "Login", "Proxy", "Server", "StaticLogin"]

Headers = tuple[tuple[str, str], ...]
"""Pairs, because impersonation may send one name several times."""

_HOST = re.compile(r"[A-Za-z0-9._:%-]+")


class Server(Value):
    """The address of an API server."""

    scheme: str
    host: str
    """A name or an address; IPv6 without brackets, with its zone after a ``%``."""
    port: int
    path: str = ""
    """What goes before ``/apis`` in every path; no slash at its end."""

    @classmethod
    def parse(cls, url: str, *, source: str) -> Server:
        """
        Take a URL apart; ``host:port`` alone means https.

        Raises:
            CredentialsError: it is no URL of an API server.
        """
        try:
            parts = urlsplit(url if "://" in url else f"https://{url}")
        except ValueError:
            parts = urlsplit("")
        if parts.username is not None or parts.password is not None:
            raise CredentialsError(
                f"{source}: the server's URL carries a user name or a password; "
                "give them as credentials instead.",
                source=source,
            )
        try:
            port = parts.port
            host = parts.hostname or ""
        except ValueError:
            host, port = "", None
        bad = parts.scheme not in {"http", "https"} or not _HOST.fullmatch(host)
        if bad or parts.query or parts.fragment or not _plain(parts.path):
            raise CredentialsError(
                f"{source}: the server {without_secrets(url)!r} is not a URL like "
                "https://10.0.0.1:6443 or https://[fd00::1]:6443.",
                source=source,
            )
        return cls(
            scheme=parts.scheme,
            host=host.replace("%25", "%", 1),
            port=port or (443 if parts.scheme == "https" else 80),
            path=parts.path.rstrip("/"),
        )

    @property
    def authority(self) -> str:
        """Host and port as a URL and a Host header have them (fault 47: brackets)."""
        host = self.host.replace("%", "%25")
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    @property
    def host_header(self) -> str:
        """Return the value of the Host header: no usual port, and no zone."""
        usual = 443 if self.scheme == "https" else 80
        without_zone = replace(self, host=self.host.partition("%")[0])
        return without_zone.authority.removesuffix(f":{usual}")

    @property
    def certified_name(self) -> str:
        """Return the host as certificates name it: no zone, and IPv4 as such."""
        host = self.host.partition("%")[0]
        with contextlib.suppress(ValueError):
            return str(getattr(ipaddress.ip_address(host), "ipv4_mapped", None) or host)
        return host

    @property
    def url(self) -> str:
        """Return the address as a URL."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def is_loopback(self) -> bool:
        """Return whether the address can only be this very machine."""
        return is_loopback(self.host)


class Proxy(Value):
    """An HTTP proxy that is asked to CONNECT through to the server."""

    host: str
    port: int
    authorization: str | None = hidden(default=None)
    """The value of the Proxy-Authorization header."""

    @property
    def authority(self) -> str:
        """Return host and port; IPv6 in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Login:
    """
    Say who is asking. This base class says nothing: the anonymous user.

    Sources override what they need. Methods are called on worker threads, never two
    at a time for one :class:`Credentials`, and may block for ``timeout`` seconds.
    """

    description = "no token and no client certificate"
    """Where the proof of identity comes from, for error messages."""

    def headers(self, *, timeout: float | None) -> Headers:  # noqa: ARG002 - a hook
        """
        Give the headers that prove who is asking, up to date.

        Raises:
            CredentialsError: they cannot be had.
        """
        return ()

    def refresh(self, *, timeout: float | None) -> None:
        """Forget what is remembered: the server has just refused it with 401."""

    def certificate(self, *, timeout: float | None) -> tuple[str, str] | None:  # noqa: ARG002 - a hook
        """Return a client certificate and its key (PEM) that this login brings along."""
        return None

    def drop_after_fork(self) -> None:
        """In a child process: forget what only the parent has, such as threads."""

    @property
    def is_secret(self) -> bool:
        """Return whether the headers carry a secret, which plain http must not see."""
        return False


class StaticLogin(Login):
    """Send headers that never change: a bearer token, a user name and a password."""

    def __init__(self, headers: Headers, *, description: str) -> None:
        self._headers = headers
        self.description = description

    def headers(self, *, timeout: float | None) -> Headers:  # noqa: ARG002 - a hook
        """Return the headers."""
        return self._headers

    @property
    def is_secret(self) -> bool:
        """Headers that never change are there to prove something."""
        return bool(self._headers)


class Credentials:
    """
    The address of an API server and the way to log in to it.

    .. code-block:: python

        from kubernetes_leader_election.credentials import kubeconfig

        elector = Elector(lease_name="my-lease", credentials=kubeconfig())

    Make one with :func:`~kubernetes_leader_election.credentials.in_cluster`,
    :func:`~kubernetes_leader_election.credentials.kubeconfig`,
    :func:`~kubernetes_leader_election.credentials.explicit` or
    :func:`~kubernetes_leader_election.credentials.from_client`.

    Args:
        server: The address.
        source: Where all this was found, in words, for error messages.
        login: Who is asking.
        trust: How TLS is set up; None for plain http.
        namespace: The namespace that the source names, if it names one.
        proxy: The HTTP proxy to go through, if any.
        impersonation: Headers that ask the server to act as somebody else.

    Raises:
        CredentialsError: the parts do not fit together, or are not safe together.
    """

    def __init__(
        self,
        *,
        server: Server,
        source: str,
        login: Login | None = None,
        trust: Trust | None = None,
        namespace: str | None = None,
        proxy: Proxy | None = None,
        impersonation: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.server = server
        self.source = source
        self.namespace = namespace
        self.proxy = proxy
        self._login = login or Login()
        self._trust = trust or Trust()
        self._impersonation = _checked(tuple(impersonation), source)
        self._lock = native.Lock()
        if server.scheme == "http":
            self._check_plain_http()

    def __repr__(self) -> str:
        return f"<Credentials for {self.server.url} from {self.source}>"

    def __reduce__(self) -> str:
        # fault 50: a pickle would carry the secrets to wherever it is written.
        raise TypeError("Credentials cannot be pickled: they may hold secrets.")

    def impersonating(
        self, user: str, *, groups: Sequence[str] = (), uid: str = ""
    ) -> Credentials:
        """
        Return the same login, which asks the server to act as somebody else.

        In the place of whom these credentials act as so far, if they do.

        Raises:
            CredentialsError: a name cannot be sent.

        """
        headers = [("Impersonate-User", user)]
        headers += [("Impersonate-Uid", uid)] if uid else []
        headers += [("Impersonate-Group", group) for group in groups]
        return Credentials(
            server=self.server,
            source=self.source,
            login=self._login,
            trust=self._trust,
            namespace=self.namespace,
            proxy=self.proxy,
            impersonation=headers,
        )

    @property
    def login_description(self) -> str:
        """Where the proof of identity comes from, in words and without the secret."""
        return self._login.description

    @property
    def is_anonymous(self) -> bool:
        """Whether nothing tells the server who is asking."""
        return type(self._login) is Login

    def headers(self, *, timeout: float | None = None) -> Headers:
        """
        Return the headers to send with the next request.

        Reads files again that have changed; runs a plugin whose answer has expired.
        May block, at most about ``timeout`` seconds.

        Raises:
            CredentialsError: they cannot be had now.
        """
        with _Held(self._lock, timeout, self.source):
            headers = self._login.headers(timeout=timeout)
        return _checked(headers, self._login.description) + self._impersonation

    def refresh(self, refused: Headers, *, timeout: float | None = None) -> bool:
        """
        Look for newer proof of identity, after a 401 (fault 33).

        Args:
            refused: The headers that the server refused.
            timeout: How long this may block, in seconds.

        Returns:
            Whether there is something else to try now.

        Raises:
            CredentialsError: the source cannot be read.
        """
        with _Held(self._lock, timeout, self.source):
            # Another thread may have brought a newer token since.
            if self._current(timeout) == refused:
                before = self._login.certificate(timeout=timeout)
                self._login.refresh(timeout=timeout)
                if self._login.certificate(timeout=timeout) != before:
                    return True
            return self._current(timeout) != refused

    def tls_context(self, *, timeout: float | None = None) -> ssl.SSLContext | None:
        """
        Return the context for the next connection; None for plain http.

        The same object as long as no file behind it has changed, so whoever keeps
        connections can tell by it which ones are of an earlier time (fault 46).

        Raises:
            CredentialsError: a certificate or key cannot be read.
        """
        if self.server.scheme == "http":
            return None
        with _Held(self._lock, timeout, self.source):
            certificate = self._login.certificate(timeout=timeout)
            return self._trust.context(certificate, source=self.source)

    def reload_trust(
        self, seen: ssl.SSLContext | None, *, timeout: float | None = None
    ) -> bool:
        """
        Read the CA again after the server's certificate was refused (fault 46).

        Args:
            seen: The context that did not believe it.
            timeout: How long this may block, in seconds.

        Returns:
            Whether there is another context than ``seen`` to try now.
        """
        if seen is None:
            return False
        with _Held(self._lock, timeout, self.source):
            self._trust.ca_changed()
        return self.tls_context(timeout=timeout) is not seen

    @property
    def server_hostname(self) -> str:
        """The name that the server's certificate must carry."""
        # The dot at the end of a full name is for the resolver; no certificate has it.
        named = self._trust.server_name or self.server.certified_name
        return named.removesuffix(".")

    def redact(self, text: str, sent: Headers) -> str:
        """Take out of ``text`` whatever of ``sent`` a server may have echoed."""
        for name, value in sent:
            if name.lower().startswith("impersonate-"):
                continue  # who is asking is no secret, and what a 403 is about
            for part in (value, value.rpartition(" ")[2]):
                if len(part) >= 6:
                    text = text.replace(part, "[redacted]")
        return text

    def drop_after_fork(self) -> None:
        """In a child process: take a new lock, the old one may be held for ever."""
        self._lock = native.Lock()
        self._login.drop_after_fork()

    def _current(self, timeout: float | None) -> Headers:
        return self._login.headers(timeout=timeout) + self._impersonation

    def _check_plain_http(self) -> None:
        if self._login.is_secret and not self.server.is_loopback:
            raise CredentialsError(
                f"{self.source}: {self.server.url} is plain http, where anybody on "
                "the way can read the token. Use https, or leave the token out.",
                source=self.source,
            )
        if self.proxy is not None:
            raise CredentialsError(
                f"{self.source}: a proxy is supported for https servers only, and "
                f"{self.server.url} is plain http.",
                source=self.source,
            )


class _Held:
    """Hold a lock, but wait for it no longer than a call may last."""

    def __init__(
        self, lock: threading.Lock, timeout: float | None, source: str
    ) -> None:
        self._lock = lock
        self._timeout = -1.0 if timeout is None else timeout
        self._source = source

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=self._timeout):
            raise CredentialsError(
                f"{self._source}: still being read for another request, after "
                f"{self._timeout:.1f} s.",
                source=self._source,
            )

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def is_loopback(host: str) -> bool:
    """Return whether ``host`` can only be this very machine."""
    if host.removesuffix(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def bearer(token: str) -> Headers:
    """Return the header of a bearer token."""
    return (("Authorization", f"Bearer {token}"),)


def _plain(text: str) -> bool:
    return text.isascii() and all(" " < c != "\x7f" for c in text)


def _checked(headers: Mapping[str, str] | Headers, source: str) -> Headers:
    """Refuse what would break out of its header; never show it (fault 50)."""
    pairs = tuple(headers.items()) if isinstance(headers, Mapping) else headers
    for name, value in pairs:
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or not (
            value.isascii() and value.isprintable()
        ):
            raise CredentialsError(
                f"{source}: what it gives for the header {name!r} cannot be sent: "
                "it is not plain text of one line.",
                source=source,
            )
    return pairs
