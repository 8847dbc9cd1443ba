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
        old="            before = tracker.snapshot\n            for",
        new="            before = seen.snapshot\n            for",
        tests=(f"{IN_HOLDER_END}test_watch_tells_what_a_take_over_rests_on",),
    ),
    Mistake(
        name="watch takes any hand-over for one that rests on a proof",
        file="cli/observe/changes.py",
        old="return snapshot is not None and is_challenged(snapshot)",
        new="return snapshot is not None",
        tests=(f"{IN_HOLDER_END}test_watch_asks_no_pod_where_nobody_was_asked",),
    ),
    Mistake(
        name="watch is silent about the proof of a take-over that a look shows",
        file="cli/observe/changes.py",
        old="                for change in tracker.see(again.snapshot, again.at):\n"
        "                    yield explained(change, watcher.target, before), trackers\n",
        new="                for change in tracker.see(again.snapshot, again.at):\n"
        "                    yield change, trackers\n",
        tests=(
            f"{IN_HOLDER_END}test_take_over_that_a_look_shows_rests_on_the_same_proof",
        ),
    ),
    Mistake(
        name="status waits for a pod as long as for a Lease",
        file="cli/observe/holder_end.py",
        old="call=cluster.call(READ_WITHIN)",
        new="call=cluster.call()",
        tests=(f"{IN_HOLDER_END}test_pod_is_waited_for_a_moment_only",),
    ),
    Mistake(
        name="status shows what a server answers for a pod as it is",
        file="cli/observe/holder_end.py",
        old="why=printable(why, longest=LONGEST)",
        new="why=why",
        tests=(f"{IN_HOLDER_END}test_reason_of_a_server_can_be_shown",),
    ),
    Mistake(
        name="status calls unproved what it could not read",
        file="cli/commands/status.py",
        old='    if verdict == "unknown":\n',
        new="    if False:\n",
        tests=(f"{IN_HOLDER_END}test_status_says_that_the_pod_was_not_read",),
    ),
    Mistake(
        name="status says of a leader that renews that its crash is not proved",
        file="cli/commands/status.py",
        old='    if verdict == "not yet" and found["state"] == "leads":\n',
        new="    if False:\n",
        tests=(
            f"{IN_HOLDER_END}test_status_tells_what_a_crash_of_who_renews_would_cost",
        ),
    ),
    Mistake(
        name="status says that who is seen to renew has ended, and no more",
        file="cli/commands/status.py",
        old='"; yet it was seen to renew" if',
        new='"" if',
        tests=(
            f"{IN_HOLDER_END}test_status_tells_what_a_crash_of_who_renews_would_cost",
        ),
    ),
    Mistake(
        name="status tells others to wait for what has run out",
        file="cli/commands/status.py",
        old='{seconds(left)}" if left else ""',
        new='{seconds(left or 0.0)}"',
        tests=(f"{IN_HOLDER_END}test_nobody_waits_for_a_lease_that_has_run_out",),
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
