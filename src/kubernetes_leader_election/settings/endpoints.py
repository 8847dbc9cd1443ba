"""Which Service leads to the leader, and to which of its ports: read from one text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.text import shown
from kubernetes_leader_election.values import Value

__all__ = ["LeaderEndpoints", "leader_endpoints"]

_OPTION: Final = "leader_endpoints"
_SERVICE: Final = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
"""A Service's name is a DNS label that begins with a letter."""
_PORT_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_MOST_PORTS: Final = 16
"""A server takes a hundred; more than a few is a mistake."""


class LeaderEndpoints(Value):
    """What ``leader_endpoints="billing-leader:8080"`` says."""

    service: str
    """The name of a Service without selector, and of the EndpointSlice."""
    ports: tuple[tuple[str, int], ...]
    """Name and number of each; the name is that of the Service's port, often empty."""

    def __str__(self) -> str:
        ports = (f"{name}={port}" if name else str(port) for name, port in self.ports)
        return f"{self.service}:{','.join(ports)}"

    @property
    def slice_ports(self) -> tuple[Mapping[str, Any], ...]:
        """The ports as an EndpointSlice has them."""
        return tuple(
            {"name": name, "port": port, "protocol": "TCP"} for name, port in self.ports
        )


def leader_endpoints(value: object) -> LeaderEndpoints | None:
    """
    Read the option.

    ``"billing-leader:8080"`` for a Service whose one port has no name,
    ``"billing-leader:http=8080,grpc=9090"`` for named ones. TCP.

    Raises:
        ConfigurationError: it says no such thing; with an example.

    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise _refused(f" must be text, not {shown(value)}")
    service, colon, rest = value.partition(":")
    if not _SERVICE.fullmatch(service):
        raise _refused(
            f"={shown(value)}: {shown(service)} is no name of a Service: at most 63 of "
            "a-z, 0-9 and '-', which begin with a letter and end with a letter or digit"
        )
    if not colon or not rest:
        raise _refused(
            f"={shown(value)} names no port: the one that the program listens on",
            service=service,
        )
    ports = tuple(_port(value, service, part) for part in rest.split(","))
    names = [name for name, _ in ports]
    if len(ports) > 1 and "" in names:
        raise _refused(
            f"={shown(value)}: of several ports each needs the name that it has in the "
            "Service",
            service=service,
            ports="http=8080,grpc=9090",
        )
    if len(set(names)) < len(names) or len(ports) > _MOST_PORTS:
        raise _refused(
            f"={shown(value)}: each name once, and {_MOST_PORTS} ports at most",
            service=service,
        )
    return LeaderEndpoints(service=service, ports=ports)


def _port(value: str, service: str, part: str) -> tuple[str, int]:
    name, equals, number = part.rpartition("=")
    if equals and not _PORT_NAME.fullmatch(name):
        raise _refused(
            f"={shown(value)}: {shown(name)} is no name of a port", service=service
        )
    digits = number.isascii() and number.isdigit() and len(number) <= 5
    if not digits or not 0 < int(number) < 65536:
        raise _refused(
            f"={shown(value)}: {shown(number)} is no port from 1 to 65535",
            service=service,
        )
    return name, int(number)


def _refused(
    what: str, *, service: str = "billing-leader", ports: str = "8080"
) -> ConfigurationError:
    return ConfigurationError(
        f"{_OPTION}{what}. Use {_OPTION}={f'{service}:{ports}'!r}.", option=_OPTION
    )
