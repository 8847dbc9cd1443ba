"""Where the endpoints listen: by which protocol, and what is said if they cannot."""

from __future__ import annotations

import errno
import http.client
import socket
from ipaddress import IPv4Address

import pytest

from kubernetes_leader_election import ConfigurationError, observability
from kubernetes_leader_election.observability import http_address
from kubernetes_leader_election.observability.http_address import parse_address
from tests.observability.fakes import FakeElector

EVERY_IPV4 = str(IPv4Address(0))
"""What a socket is bound to that takes every address of the machine."""
LOOPBACKS = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


@pytest.fixture
def serve():
    """Give a function that serves on an address until the test is over."""
    handles = []

    def serve(address):
        handles.append(observability.serve(FakeElector(), address))
        return handles[-1].address

    yield serve
    for handle in handles:
        handle.close()


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


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("127.0.0.1:80", "127.0.0.1", 80),
        (":8080", "", 8080),
        ("8080", "", 8080),
        ("[::1]:8080", "::1", 8080),
    ],
)
def test_address_is_understood(address, host, port):
    """HOST:PORT, :PORT, PORT and an IPv6 host in brackets (fault 47)."""
    assert parse_address(address) == (host, port)


@pytest.mark.parametrize("address", ["", "host", "host:", "host:x", "host:70000", 8080])
def test_address_that_is_none_is_refused(address):
    """With an example of one that works, under the name that the caller knows."""
    with pytest.raises(ConfigurationError, match=r"^--http=.*':8080'"):
        parse_address(address, option="--http")


@pytest.mark.parametrize("address", [":0", "0"])
def test_address_without_a_host_is_served_by_ipv6_and_ipv4(serve, address):
    """The kubelet of an IPv6 cluster probes by IPv6, and kills what does not answer."""
    needs_ipv6()
    host, port = serve(address)
    assert host == "::"
    assert all(answers(loopback, port) for loopback in LOOPBACKS.values())


def test_address_without_a_host_is_ipv4_where_there_is_no_ipv6(serve, monkeypatch):
    """As on a node whose kernel was started without it."""
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    host, port = serve(":0")
    assert host == EVERY_IPV4
    assert answers("127.0.0.1", port)


def test_address_without_a_host_is_ipv4_where_ipv6_cannot_be_bound(serve, monkeypatch):
    """As in a sandbox that has the sockets and no such address."""
    bound = http_address._bound

    def refuse_ipv6(host, port, *, both):
        if both:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return bound(host, port, both=both)

    monkeypatch.setattr(http_address, "_bound", refuse_ipv6)
    assert serve(":0")[0] == EVERY_IPV4


def test_ipv4_address_is_ipv4_alone(serve):
    """Who names 0.0.0.0 may have kept IPv6 out on purpose."""
    needs_ipv6()
    host, port = serve(f"{EVERY_IPV4}:0")
    assert host == EVERY_IPV4
    assert answers("127.0.0.1", port)
    assert not answers("::1", port)


def test_port_that_is_taken_is_not_served_by_half(serve):
    """Fault 72: IPv6 alone would be free: but then the probes by IPv4 would ask another program."""
    with socket.create_server((EVERY_IPV4, 0)) as taken:
        address = f":{taken.getsockname()[1]}"
        with pytest.raises(ConfigurationError, match=r"in use.*several workers"):
            serve(address)


@pytest.mark.parametrize("host", ["no such host.invalid", "a" * 300, "192.0.2.1"])
def test_host_that_cannot_be_bound_is_refused(serve, host):
    """A name that is none, or an address of another machine; without a traceback."""
    with pytest.raises(ConfigurationError, match="cannot be served"):
        serve(f"{host}:0")
