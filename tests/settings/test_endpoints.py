"""Which Service leads to the leader: one text, read with clear errors."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.settings.endpoints import leader_endpoints


def test_one_port_needs_no_name():
    """As a Service with one port needs none."""
    found = leader_endpoints("billing-leader:8080")
    assert found.service == "billing-leader"
    assert found.slice_ports == ({"name": "", "port": 8080, "protocol": "TCP"},)
    assert str(found) == "billing-leader:8080"


def test_several_ports_have_the_names_of_the_service():
    """By which a Service finds its ports in a slice."""
    found = leader_endpoints("billing-leader:http=8080,grpc=9090")
    assert found.ports == (("http", 8080), ("grpc", 9090))
    assert str(found) == "billing-leader:http=8080,grpc=9090"


@pytest.mark.parametrize(
    ("value", "why", "better"),
    [
        (8080, "must be text", "'billing-leader:8080'"),
        ("billing-leader", "names no port", "'billing-leader:8080'"),
        ("mine:", "names no port", "'mine:8080'"),
        ("", "no name of a Service", "'billing-leader:8080'"),
        ("Billing:8080", "no name of a Service", "'billing-leader:8080'"),
        ("billing.leader:8080", "no name of a Service", "'billing-leader:8080'"),
        ("1st:8080", "no name of a Service", "'billing-leader:8080'"),
        ("x" * 64 + ":8080", "no name of a Service", "'billing-leader:8080'"),
        ("mine:http", "no port from 1 to 65535", "'mine:8080'"),
        ("mine:0", "no port from 1 to 65535", "'mine:8080'"),
        ("mine:65536", "no port from 1 to 65535", "'mine:8080'"),
        ("mine:8080x", "no port from 1 to 65535", "'mine:8080'"),
        ("mine:HTTP=8080", "no name of a port", "'mine:8080'"),
        ("mine:8080,9090", "each needs the name", "'mine:http=8080,grpc=9090'"),
        ("mine:a=1,a=2", "each name once", "'mine:8080'"),
        ("mine:8080,", "no port from 1 to 65535", "'mine:8080'"),
    ],
)
def test_what_is_none_is_refused_with_one_that_works(value, why, better):
    """A mistake is said before anything starts, with what would work."""
    with pytest.raises(ConfigurationError, match=why) as caught:
        leader_endpoints(value)
    assert caught.value.option == "leader_endpoints"
    assert str(caught.value).endswith(f"Use leader_endpoints={better}.")
