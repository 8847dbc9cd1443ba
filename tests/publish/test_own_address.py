"""The address of this pod: only one that a Service can lead to."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.publish.own_address import own_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.1.2.3", "10.1.2.3"),
        (" 10.1.2.3\n", "10.1.2.3"),
        ("FD00:0:0::1", "fd00::1"),
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_address_is_written_as_the_api_has_it(text, address):
    """In its one canonical form, whatever the variable has."""
    assert own_address({"POD_IP": text}) == address


@pytest.mark.parametrize("environ", [{}, {"POD_IP": ""}, {"POD_IP": " "}])
def test_missing_variable_is_told_with_what_to_add(environ):
    """The lines for the container stand in the error."""
    with pytest.raises(ConfigurationError, match=r"fieldPath: status\.podIP") as caught:
        own_address(environ)
    assert caught.value.option == "leader_endpoints"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("10.1.2", "no IP address"),
        ("010.1.2.3", "no IP address"),
        ("billing-0", "no IP address"),
        ("10.1.2.3:8080", "no IP address"),
        ("127.0.0.1", "a loopback address"),
        ("::1", "a loopback address"),
        ("::", "an? unspecified address"),
        ("169.254.1.1", "a link-local address"),
        ("fe80::1%eth0", "a link-local address"),
        ("224.0.0.1", "a multicast address"),
        ("::ffff:10.0.0.1", "an IPv4 address inside"),
        ("fd00::1%eth0", "with a scope"),
        ("\x1b[31m10.0.0.1", "no IP address"),
    ],
)
def test_address_that_leads_nowhere_is_refused(text, why):
    """What the API server would refuse, or no client could reach."""
    with pytest.raises(ConfigurationError, match=why) as caught:
        own_address({"POD_IP": text})
    assert "\x1b" not in str(caught.value)
