"""The address of this pod, from the variable POD_IP: checked before it is published."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from typing import Final

from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.text import shown

__all__ = ["VARIABLE", "own_address"]

VARIABLE: Final = "POD_IP"
_FIELD: Final = (
    "- {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}, as "
    "`kle manifests --leader-endpoints` prints it"
)


def own_address(environ: Mapping[str, str] | None = None) -> str:
    """
    Return the address of this pod, as the API writes addresses.

    Args:
        environ: the variables; those of the process unless given.

    Raises:
        ConfigurationError: there is none, or it is none that a Service can lead to.

    """
    text = (os.environ if environ is None else environ).get(VARIABLE, "").strip()
    if not text:
        raise ConfigurationError(
            "leader_endpoints= needs the address of this pod in the variable POD_IP, "
            f"which is not set. Add to the container's env: {_FIELD}. Outside a pod, "
            "set it to an address that the cluster can reach.",
            option="leader_endpoints",
        )
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise _refused(text, "no IP address") from None
    for kind in ("unspecified", "loopback", "link_local", "multicast"):
        if getattr(address, f"is_{kind}"):
            raise _refused(text, f"a {kind.replace('_', '-')} address")
    if isinstance(address, ipaddress.IPv6Address) and (
        address.scope_id is not None or address.ipv4_mapped is not None
    ):
        raise _refused(text, "an address with a scope or an IPv4 address inside")
    return str(address)


def _refused(text: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"POD_IP={shown(text)} is {why}: no Service can lead there (leader_endpoints=). "
        f"It is the pod's own: {_FIELD}.",
        option="leader_endpoints",
    )
