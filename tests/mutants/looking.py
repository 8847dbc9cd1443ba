"""Mistakes in how commands look at a cluster as kubectl does, and in what they print for it."""

from __future__ import annotations

from typing import Final

from tests.mutants.mistakes import Mistake

IN_SCOPES: Final = "tests/cli/observe/test_scopes.py::"
IN_CONNECTION: Final = "tests/cli/test_connection.py::"
IN_MONITORING: Final = "tests/cli/commands/test_monitoring.py::"

IN_HOLDER_END: Final = "tests/cli/observe/test_holder_end.py::"

MISTAKES: Final = [
    Mistake(
        name="status takes a pod that is gone for one that may prove something yet",
        file="cli/observe/holder_end.py",
        old='        verdict, why = "never", f"the pod',
        new='        verdict, why = "not yet", f"the pod',
        tests=(f"{IN_HOLDER_END}test_pod_of_the_holder_is_judged_as_a_candidate_does",),
    ),
    Mistake(
        name="status takes a pod that cannot be read for one that is gone",
        file="cli/observe/holder_end.py",
        old="    elif isinstance(answer, NotFound):\n",
        new="    elif answer is not None:\n",
        tests=(f"{IN_HOLDER_END}test_pod_that_must_not_be_read_is_not_judged",),
    ),
    Mistake(
        name="watch tells of a proof that nobody had",
        file="cli/observe/changes.py",
        old="""(change.kind == "acquired" and end.verdict != "proven")""",
        new="False",
        tests=(f"{IN_HOLDER_END}test_watch_tells_what_a_take_over_rests_on",),
    ),
    Mistake(
        name="watch looks at the pod of who leads now, not of who led before",
        file="cli/observe/changes.py",
        old="            before = tracker.snapshot\n",
        new="            before = seen.snapshot\n",
        tests=(f"{IN_HOLDER_END}test_watch_tells_what_a_take_over_rests_on",),
    ),
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
