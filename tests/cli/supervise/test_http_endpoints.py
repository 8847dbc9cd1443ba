"""Where the HTTP endpoints of `run` listen: by which protocol, and what is said if not."""

from __future__ import annotations

import http.client
import socket
from ipaddress import IPv4Address

import pytest

from kubernetes_leader_election.cli.supervise.http_endpoints import Endpoints, serve
from kubernetes_leader_election.errors import ConfigurationError

EVERY_IPV4 = str(IPv4Address(0))
"""What a socket is bound to that takes every address of the machine."""
LOOPBACKS = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def endpoints() -> Endpoints:
    """Give endpoints of a replica that is well."""
    return Endpoints(
        problem=lambda: "",
        absence=lambda: "",
        leads=lambda: True,
        leader=lambda: "ada",
        metrics=lambda: "",
    )


def answers(host: str, port: int) -> bool:
    """Return whether the probe of a kubelet that comes by this address succeeds."""
    connection = http.client.HTTPConnection(host, port, timeout=30)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except ConnectionRefusedError:
        return False
    finally:
        connection.close()


def needs_ipv6() -> None:
    """Skip the test where there is no IPv6 to listen on."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no ::1")


@pytest.mark.parametrize("address", [":0", "0"])
def test_http_without_a_host_is_served_by_ipv6_and_ipv4(address):
    """The kubelet of an IPv6 cluster probes by IPv6, and kills what does not answer."""
    needs_ipv6()
    host, port = serve(address, endpoints())
    assert host == "::"
    assert all(answers(loopback, port) for loopback in LOOPBACKS.values())


def test_http_without_a_host_is_served_by_ipv4_where_there_is_no_ipv6(monkeypatch):
    """As on a node whose kernel was started without it."""
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    host, port = serve(":0", endpoints())
    assert host == EVERY_IPV4
    assert answers("127.0.0.1", port)


def test_http_on_an_ipv4_address_is_ipv4_alone():
    """Who names 0.0.0.0 may have kept IPv6 out on purpose."""
    needs_ipv6()
    host, port = serve(f"{EVERY_IPV4}:0", endpoints())
    assert host == EVERY_IPV4
    assert answers("127.0.0.1", port)
    assert not answers("::1", port)


def test_http_port_that_is_taken_is_not_served_by_half():
    """IPv6 alone would be free: but then the probes by IPv4 would ask another program."""
    with socket.create_server((EVERY_IPV4, 0)) as taken:
        address = f":{taken.getsockname()[1]}"
        with pytest.raises(ConfigurationError, match="in use"):
            serve(address, endpoints())
