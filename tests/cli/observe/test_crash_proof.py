"""``doctor``: can the end of this container be proved, and may candidates look?"""

from __future__ import annotations

import pytest

from kubernetes_leader_election.cli.observe import cluster, crash_proof
from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.testing import LeaseServer

RULE = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "watch"]}


@pytest.fixture(scope="module")
def server():
    """Give an embedded Lease API that knows rights."""
    with LeaseServer(open_access=False) as server:
        yield server


@pytest.fixture
def look(server, monkeypatch):
    """Look with these rights, from a pod that cannot leave a note for such a reason."""
    clients = []

    def with_rights(*rules, why=None):
        monkeypatch.setattr(crash_proof, "why_no_note", lambda _namespace: why)
        role = {"kind": "Role", "metadata": {"namespace": "default"}, "rules": rules}
        user = server.add_user("web", roles=(role,))
        client = LeaseClient(explicit(server=server.url, token=user.token))
        clients.append(client)
        target = cluster.Target(client=client, namespace="default", why="", needs=())
        return crash_proof.look_for_proof(target)

    yield with_rights
    for client in clients:
        client.close()


def test_container_whose_end_can_be_proved(look):
    """A note, and the two rights."""
    assert look(RULE).verdict == "PASS"


def test_missing_rights_come_with_their_rule(look):
    """Only what is missing is to be added."""
    check = look({**RULE, "verbs": ["get"]})
    assert check.verdict == "INFO"
    assert "watch on pods in default is missing" in check.text
    assert "verbs: [watch]}" in check.fix
    assert "verbs: [get, watch]}" in look().fix


def test_why_no_note_can_be_left_is_said(look):
    """No right helps where there is no note."""
    check = look(why="process 1 is not one of this container")
    assert check.verdict == "INFO"
    assert "no note can be left here: process 1 is not one" in check.text
    assert not check.fix
