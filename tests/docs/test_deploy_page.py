"""The rights and the Deployment of the pages: enough for an election, and no more."""

from __future__ import annotations

import pytest
import yaml

from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.sync import Elector as SyncElector
from tests.node_page import PATIENCE
from tests.programs import ROOT

YAML = [
    (ROOT / "deploy" / f"{name}.yaml").read_text(encoding="utf-8")
    for name in ("role", "deployment")
]
ACCOUNT = "system:serviceaccount:default:billing"


def documents(*texts):
    """Give the YAML documents, by kind."""
    found = [one for text in texts for one in yaml.safe_load_all(text)]
    return {one["kind"]: one for one in found}


def test_page_about_deploying_shows_the_files():
    """One truth: the page includes what stands in deploy/."""
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    for name in ("role", "deployment"):
        assert f"{{literalinclude}} ../deploy/{name}.yaml" in page
    deployment = documents(*YAML)["Deployment"]
    account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
    assert documents(*YAML)["RoleBinding"]["subjects"][0]["name"] == account
    assert deployment["spec"]["template"]["metadata"]["labels"].items() >= (
        deployment["spec"]["selector"]["matchLabels"].items()
    )


@pytest.mark.slow
def test_role_gives_all_that_an_election_needs_and_no_more(lease_server_factory):
    """Security rules: one rule, four verbs, one name, enforced by the server."""
    server = lease_server_factory(manifests="\n---\n".join(YAML))
    token = server.add_user(ACCOUNT).token
    rules = documents(*YAML)["Role"]["rules"]
    assert len(rules) == 1
    assert {"get", "create", "update", "watch"} == set(rules[0]["verbs"])

    def elector(**options):
        credentials = explicit(server=server.url, token=token)
        return SyncElector(credentials=credentials, auto_close=False, **options)

    with elector(lease_name="billing", identity="a") as leader:
        leader.wait_until_leading(PATIENCE)
        with elector(lease_name="billing", identity="b") as waiting:
            waiting.wait_for_leader(PATIENCE)
            leader.stop()
            waiting.wait_until_leading(PATIENCE)
    assert 403 not in {one.status for one in server.requests}
    with elector(lease_name="another") as stranger:
        server.requests.wait_for(lambda one: one.status == 403, timeout=PATIENCE)
        assert not stranger.current_leader
    assert server.lease("another") is None


def test_flow_schema_covers_what_an_election_sends():
    """Fault 32: the requests of the account, with its four verbs, and no others."""
    schema = documents((ROOT / "deploy" / "flow-schema.yaml").read_text())["FlowSchema"]
    assert schema["spec"]["priorityLevelConfiguration"]["name"] == "leader-election"
    (rule,) = schema["spec"]["rules"]
    assert rule["subjects"] == [
        {
            "kind": "ServiceAccount",
            "serviceAccount": {"name": "billing", "namespace": "default"},
        }
    ]
    (resources,) = rule["resourceRules"]
    role = documents(*YAML)["Role"]["rules"][0]
    assert {key: resources[key] for key in ("apiGroups", "resources", "verbs")} == {
        key: role[key] for key in ("apiGroups", "resources", "verbs")
    }
