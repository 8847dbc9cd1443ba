"""Where a command looks, and as whom: --as and its like, as kubectl has them."""

from __future__ import annotations

import pytest
import yaml

from kubernetes_leader_election.cli.connection import Connection
from kubernetes_leader_election.kube_api.connection import Connection as Wire
from tests.cli.observe.leases import write_lease

PODS = "system:serviceaccount:shop:billing"


@pytest.fixture
def asked_as(monkeypatch):
    """Give a function that tells as whom the last request was sent."""
    sent, send = [], Wire.send

    def record(self, method, target, headers, body, call):
        sent.append([(n, v) for n, v in headers if n.startswith("Impersonate")])
        send(self, method, target, headers, body, call)

    monkeypatch.setattr(Wire, "send", record)
    return lambda: sent[-1]


def test_command_acts_as_somebody_else(call, server, kubeconfig, asked_as):
    """Each header that the server knows; everything else is as it was."""
    write_lease(server, "billing")
    words = ("status", "billing", "--observe-sec", "0", "--kubeconfig", kubeconfig)
    assert call(*words).exit_code == 0
    assert asked_as() == []
    more = ("--as", PODS, "--as-group", "system:authenticated", "--as-uid", "7")
    assert call(*words, *more).exit_code == 0
    assert asked_as() == [
        ("Impersonate-User", PODS),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Group", "system:authenticated"),
    ]


def test_several_groups_are_each_a_header():
    """As the API server reads them, and in their order."""
    connection = Connection(
        server="http://127.0.0.1:1", as_user="ada", as_groups=("one", "two")
    )
    assert connection.as_library().headers() == (
        ("Impersonate-User", "ada"),
        ("Impersonate-Group", "one"),
        ("Impersonate-Group", "two"),
    )


def test_as_counts_before_that_of_the_kubeconfig(call, server, kubeconfig, asked_as):
    """What is typed is meant; of the kubeconfig's own, nothing is left over."""
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"][0]["user"] |= {"as": "eve", "as-groups": ["hers"]}
    kubeconfig.write_text(yaml.safe_dump(config))
    words = ("status", "billing", "--observe-sec", "0", "--kubeconfig", kubeconfig)
    call(*words)
    assert asked_as() == [("Impersonate-User", "eve"), ("Impersonate-Group", "hers")]
    call(*words, "--as", "ada")
    assert asked_as() == [("Impersonate-User", "ada")]


def test_as_may_stand_before_the_command_and_in_variables(
    call, server, kubeconfig, asked_as
):
    """As all that says where to look."""
    words = ("status", "billing", "--observe-sec", "0", "--kubeconfig", kubeconfig)
    call("--as", "ada", "--as-group=staff", *words)
    assert asked_as() == [
        ("Impersonate-User", "ada"),
        ("Impersonate-Group", "staff"),
    ]
    call(*words, KLE_AS="eve")
    assert asked_as() == [("Impersonate-User", "eve")]


@pytest.mark.parametrize("words", [("--as-group", "a"), ("--as-uid", "7")])
def test_group_needs_somebody_who_is_in_it(call, kubeconfig, words):
    """The server refuses it with less to go by."""
    result = call("status", "billing", "--kubeconfig", kubeconfig, *words)
    assert result.exit_code == 2
    assert "--as-group and --as-uid need --as" in result.stderr


@pytest.mark.parametrize("name", ["a\nb", "dær", "\x00"])
def test_name_that_cannot_be_sent_is_refused(call, kubeconfig, name):
    """It would be another header, or none: a line, and no traceback."""
    result = call("status", "billing", "--kubeconfig", kubeconfig, "--as", name)
    assert result.exit_code == 3
    assert "Impersonate-User' cannot be sent" in result.stderr
    assert "Traceback" not in result.output


def test_as_names_no_server():
    """`run` on a laptop asks which cluster is meant, whoever acts there."""
    assert not Connection(as_user="ada").named
    assert Connection(context="shop").named
