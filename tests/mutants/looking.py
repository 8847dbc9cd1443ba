"""Mistakes in how commands look at a cluster as kubectl does, and in what they print for it."""

from __future__ import annotations

from typing import Final

from tests.mutants.mistakes import Mistake

IN_SCOPES: Final = "tests/cli/observe/test_scopes.py::"
IN_CONNECTION: Final = "tests/cli/test_connection.py::"
IN_MONITORING: Final = "tests/cli/commands/test_monitoring.py::"

MISTAKES: Final = [
    Mistake(
        name="with -A, Leases of one name are one",
        file="cli/observe/cluster.py",
        old="""return f"{metadata.get('namespace')}/{name}" if self.everywhere else name""",
        new="return name",
        tests=(f"{IN_SCOPES}test_status_shows_all_namespaces",),
    ),
    Mistake(
        name="labels choose nothing",
        file="kube_api/client.py",
        old='            query["labelSelector"] = selector\n',
        new="            pass\n",
        tests=(f"{IN_SCOPES}test_status_chooses_by_labels",),
    ),
    Mistake(
        name="a right that is missing everywhere is advised in a Role",
        file="kube_api/failures.py",
        old="    if request.everywhere:\n",
        new="    if not request.needs:\n",
        tests=(f"{IN_SCOPES}test_missing_right_names_a_cluster_role",),
    ),
    Mistake(
        name="as is added to whom the kubeconfig acts as",
        file="credentials/base.py",
        old="            impersonation=headers,\n",
        new="            impersonation=[*self._impersonation, *headers],\n",
        tests=(f"{IN_CONNECTION}test_as_counts_before_that_of_the_kubeconfig",),
    ),
    Mistake(
        name="the groups that somebody acts in are forgotten",
        file="cli/connection.py",
        old="groups=self.as_groups, ",
        new="",
        tests=(f"{IN_CONNECTION}test_several_groups_are_each_a_header",),
    ),
    Mistake(
        name="a folder for kustomize loses what somebody has edited",
        file="cli/kustomize.py",
        old="    if others:\n",
        new="    if len(others) > 99:\n",
        tests=(f"{IN_MONITORING}test_kustomize_keeps_what_somebody_has_edited",),
    ),
    Mistake(
        name="the Role that only looks may write",
        file="cli/rights.py",
        old="list(READING)",
        new='[*READING, "update"]',
        tests=(f"{IN_MONITORING}test_viewer_may_look_and_nothing_else",),
    ),
]
