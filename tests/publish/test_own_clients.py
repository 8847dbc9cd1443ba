"""Connections of their own, of which a child process keeps none."""

from __future__ import annotations

from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.kube_api.call import Call
from kubernetes_leader_election.process.fork import this_process
from kubernetes_leader_election.publish import own_clients
from kubernetes_leader_election.publish.own_clients import own_client
from kubernetes_leader_election.testing import LeaseServer


def test_child_keeps_no_inherited_connection():
    """Fault 15: what a fork copies is closed there, without a word to the server."""
    with LeaseServer() as server:
        client = own_client(explicit(server=server.url))
        client.request("GET", "/version", call=Call())
        assert client.open_sockets == 1
        # As Python calls it in the child, with the parent's object.
        own_clients._after_fork_in_child(this_process())
        assert client.open_sockets == 0
        client.close()
