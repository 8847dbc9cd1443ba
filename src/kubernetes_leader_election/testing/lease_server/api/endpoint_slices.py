"""
What is special about EndpointSlices: what is filled in, and what is refused.

Addresses are judged as a real server does; of the rest only
its form. Nobody routes traffic by them.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from kubernetes_leader_election.testing.lease_server.api.managed_fields import body_of
from kubernetes_leader_election.testing.lease_server.http.statuses import FieldError

__all__ = ["count_change", "fill_in", "findings"]

_TYPES = ("FQDN", "IPv4", "IPv6")
_NETWORKS = (
    ("127.0.0.0/8", "loopback range (127.0.0.0/8, ::1/128)"),
    ("::1/128", "loopback range (127.0.0.0/8, ::1/128)"),
    ("169.254.0.0/16", "link-local range (169.254.0.0/16, fe80::/10)"),
    ("fe80::/10", "link-local range (169.254.0.0/16, fe80::/10)"),
    ("224.0.0.0/24", "link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ("ff02::/16", "link-local multicast range (224.0.0.0/24, ff02::/10)"),
)
"""Where no endpoint may be, and how a server says so."""
_NO_ADDRESS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def fill_in(document: dict[str, Any]) -> None:
    """Write what a server writes where nothing was sent."""
    document.setdefault("addressType", "")
    for part in ("endpoints", "ports"):
        document[part] = document.get(part) or None  # as it comes out of the storage
    for one in document.get("endpoints") or ():
        one["conditions"] = one.get("conditions") or {}
    for one in document.get("ports") or ():
        one.setdefault("name", "")
        one.setdefault("protocol", "TCP")


def count_change(updated: dict[str, Any], old: dict[str, Any]) -> None:
    """Count a change of anything but metadata in the generation."""
    generation = old["metadata"].get("generation", 0)
    changed = body_of(updated) != body_of(old)
    updated["metadata"]["generation"] = generation + 1 if changed else generation


def findings(
    document: dict[str, Any], old: dict[str, Any] | None = None
) -> list[FieldError]:
    """Judge a slice that is created, or is to take the place of ``old``."""
    kind = document["addressType"]
    if old is not None and kind != old["addressType"]:
        text = "field is immutable"
        return [FieldError.invalid("addressType", None, text)]
    if not kind:
        return [FieldError.required("addressType", "")]
    if kind not in _TYPES:
        return [FieldError.unsupported("addressType", kind, _TYPES)]
    found: list[FieldError] = []
    for index, one in enumerate(document["endpoints"] or ()):
        found += _endpoint(f"endpoints[{index}]", one, kind)
    return found


def _endpoint(path: str, one: Any, kind: str) -> list[FieldError]:
    addresses = one.get("addresses")
    if not addresses:
        return [FieldError.required(f"{path}.addresses", "")]
    found: list[FieldError] = []
    for index, text in enumerate(addresses):
        if kind == "FQDN":
            continue
        found += _address(f"{path}.addresses", index, text, kind)
    return found


def _address(path: str, index: int, text: Any, kind: str) -> list[FieldError]:
    where = f"{path}[{index}]"
    try:
        address = ipaddress.ip_address(text if isinstance(text, str) else "")
    except ValueError:
        return [FieldError.invalid(where, text, _NO_ADDRESS)]
    if f"IPv{address.version}" != kind:
        article = "an" if kind.startswith("I") else "a"
        return [FieldError.invalid(path, text, f"must be {article} {kind} address")]
    if str(address) != text:
        why = f'must be in canonical form ("{address}")'
        return [FieldError.invalid(where, text, why)]
    if address.is_unspecified:
        return [FieldError.invalid(where, text, f"may not be unspecified ({address})")]
    return [
        FieldError.invalid(where, text, f"may not be in the {name}")
        for network, name in _NETWORKS
        if address in ipaddress.ip_network(network)
    ]
