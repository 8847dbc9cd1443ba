"""Where to listen: an address in words, and the socket that is bound to it."""

from __future__ import annotations

import errno
import re
import socket
from typing import Any, Final

from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.process import native

WAITING_CLIENTS: Final = 128
"""Connections that the system keeps until they are taken."""
_NO_IPV6: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})


def parse_address(address: str, *, option: str = "address") -> tuple[str, int]:
    """
    Take HOST:PORT, [IPv6]:PORT, :PORT or PORT.

    The host is empty where none is named: all interfaces, IPv6 and IPv4.

    Raises:
        ConfigurationError: it is none of these.

    """
    host, _, port = (
        address.rpartition(":") if isinstance(address, str) else ("", "", "")
    )
    if not (re.fullmatch("[0-9]{1,5}", port) and int(port) < 65536):
        raise ConfigurationError(
            f"{option}={address!r} is no address. Use for example ':8080', "
            "'127.0.0.1:8080' or '[::1]:8080'.",
            option=option,
        )
    return host.removeprefix("[").removesuffix("]"), int(port)


def listen(address: str, *, option: str = "address") -> socket.socket:
    """
    Return a socket that listens, and does not block; under gevent, too, a real one.

    Raises:
        ConfigurationError: it is no address, or cannot be bound.

    """
    host, port = parse_address(address, option=option)
    try:
        # Probes and scrapers come from outside, by whichever protocol the cluster has.
        if not host and socket.has_dualstack_ipv6():
            try:
                return _bound("::", port, both=True)
            except OSError as error:
                if error.errno not in _NO_IPV6:
                    raise
        # A host that stays empty is every IPv4 address.
        return _bound(host, port, both=False)
    except (OSError, UnicodeError) as error:  # a name that is none fails to be encoded
        why = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"{option}={address!r} cannot be served: {why}. Choose another address, or "
            "stop what uses this one.",
            option=option,
        ) from error


def _bound(host: str, port: int, *, both: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock: socket.socket = native.original("socket", "socket")(
        family, socket.SOCK_STREAM
    )
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if both:
            # Whatever the system's default is.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((host, port))
        sock.listen(WAITING_CLIENTS)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def accepted(listener: socket.socket) -> socket.socket:
    """
    Take a connection that has come; it does not block.

    Raises:
        BlockingIOError: none has come.
        OSError: there is no room for it, or it has gone again.

    """
    raw: Any = listener
    # accept() would make a socket of gevent, which belongs to the loop of one thread.
    descriptor, _ = raw._accept()  # noqa: SLF001 - the part of it that makes none
    sock: socket.socket = native.original("socket", "socket")(fileno=descriptor)
    sock.setblocking(False)
    return sock
