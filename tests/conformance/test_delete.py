"""Deletions: preconditions, finalizers, collections."""

from __future__ import annotations

import pytest
from conformance_client import Api, assert_refused, changed, lease, with_metadata

HELD = {"finalizers": ["example.com/hold"]}


def freed(api: Api, name: str = "p") -> None:
    """Drop the finalizers, so that nothing is left behind."""
    api.patch({"metadata": {"finalizers": None}}, name=name)


def test_delete_answers_a_status(api: Api):
    """Deletion: 200 with a Status that names the uid."""
    made = api.created()
    answer = api.delete()
    assert (answer.status, answer.json["status"]) == (200, "Success")
    assert answer.json["details"] == {
        "name": "p",
        "group": "coordination.k8s.io",
        "kind": "leases",
        "uid": made["metadata"]["uid"],
    }
    assert api.get().status == 404


@pytest.mark.parametrize(
    "body",
    [
        b'{"gracePeriodSeconds":"5"}',
        b'{"gracePeriodSeconds":5.5}',
        b'{"gracePeriodSeconds":true}',
        b'{"gracePeriodSeconds":9999999999999999999}',
        b'{"preconditions":{"uid":5}}',
        b'{"preconditions":{"resourceVersion":5}}',
        b'{"orphanDependents":5}',
        b'{"dryRun":[5]}',
        b'{"kind":5}',
    ],
    ids=lambda body: body.decode(),
)
def test_delete_refuses_options_of_wrong_types(api: Api, body):
    """Deletion: options that do not fit their types are 400, and nothing is deleted."""
    api.created()
    answer = api.delete(body=body)
    assert_refused(answer, 400, "BadRequest", "json: cannot unmarshal")
    assert api.get().status == 200


@pytest.mark.parametrize("value", ["x", "9" * 25], ids=["no number", "too large"])
def test_delete_refuses_a_grace_period_that_is_no_number(api: Api, value):
    """Deletion: in the query too the grace period is an int64."""
    api.created()
    answer = api.delete(gracePeriodSeconds=value)
    assert_refused(answer, 400, "BadRequest", "strconv.ParseInt")


@pytest.mark.parametrize("value", [-1, 0, 30, None])
def test_delete_takes_any_grace_period(api: Api, value):
    """Deletion: Leases go at once, whatever the grace period."""
    api.created()
    assert api.delete(body={"gracePeriodSeconds": value}).status == 200
    assert api.get().status == 404


@pytest.mark.parametrize(
    ("precondition", "text"),
    [
        ({"uid": "other"}, "the UID in the precondition (other) does not match"),
        ({"resourceVersion": "1"}, "the ResourceVersion in the precondition (1) does"),
    ],
    ids=["uid", "version"],
)
def test_delete_keeps_preconditions(api: Api, precondition, text):
    """Deletion: a wrong uid or version is a conflict, and names Lease."""
    api.created()
    answer = api.delete(body={"preconditions": precondition})
    assert_refused(answer, 409, "Conflict", text, 'on Lease.coordination.k8s.io "p"')
    assert answer.json["details"]["kind"] == "Lease"
    assert api.get().status == 200


def test_delete_with_fulfilled_preconditions(api: Api):
    """Deletion: the right uid and version pass."""
    metadata = api.created()["metadata"]
    wanted = {key: metadata[key] for key in ("uid", "resourceVersion")}
    assert api.delete(body={"preconditions": wanted}).status == 200


def test_delete_of_a_missing_lease_is_404(api: Api):
    """Deletion: also with preconditions."""
    assert_refused(api.delete(), 404, "NotFound")
    answer = api.delete(body={"preconditions": {"uid": "other"}})
    assert_refused(answer, 404, "NotFound")


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", {"kind": "Pod", "apiVersion": "v1"}],
    ids=["garbage", "a list", "another kind"],
)
def test_delete_with_a_bad_body_is_400(api: Api, body):
    """Deletion: the body must be DeleteOptions."""
    api.created()
    assert_refused(api.delete(body=body), 400, "BadRequest")
    assert api.get().status == 200


def test_finalizers_hold_a_lease(api: Api):
    """Finalizers: DELETE answers with the object, which is still there."""
    api.created("p", HELD)
    answer = api.delete()
    assert answer.status == 200
    assert answer.json["kind"] == "Lease"
    assert answer.json["metadata"]["deletionTimestamp"]
    assert answer.json["metadata"]["deletionGracePeriodSeconds"] == 0
    assert api.get().status == 200
    freed(api)


def test_second_delete_of_a_held_lease_changes_nothing(api: Api):
    """Finalizers: deleting again answers with the same object."""
    api.created("p", HELD)
    assert api.delete().json == api.delete().json
    freed(api)


def test_held_lease_can_be_renewed(api: Api):
    """Finalizers: a Lease marked for deletion can still be renewed by PUT."""
    api.created("p", HELD, holderIdentity="a")
    marked = api.delete().json
    answer = api.put(changed(marked, holderIdentity="b"))
    assert answer.status == 200
    assert answer.json["spec"]["holderIdentity"] == "b"
    stamp = marked["metadata"]["deletionTimestamp"]
    assert answer.json["metadata"]["deletionTimestamp"] == stamp
    freed(api)


def test_post_on_a_held_lease_says_so(api: Api):
    """Finalizers: AlreadyExists, with a hint."""
    api.created("p", HELD)
    api.delete()
    answer = api.post(lease())
    assert_refused(answer, 409, "AlreadyExists", "object is being deleted: ")
    freed(api)


def test_dropping_the_last_finalizer_deletes(api: Api):
    """Finalizers: the write answers 200 with the old version, and the Lease is gone."""
    api.created("p", HELD)
    marked = api.delete().json
    answer = api.put(with_metadata(marked, finalizers=None))
    assert answer.status == 200
    assert answer.version == marked["metadata"]["resourceVersion"]
    assert api.get().status == 404


def test_finalizers_cannot_be_added_late(api: Api):
    """Finalizers: none can be added once deletion began."""
    api.created("p", HELD)
    marked = api.delete().json
    more = ["example.com/hold", "example.com/more"]
    answer = api.put(with_metadata(marked, finalizers=more))
    assert_refused(answer, 422, "Invalid", "no new finalizers can be added")
    freed(api)


@pytest.mark.parametrize(
    ("policy", "finalizer"),
    [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")],
)
def test_propagation_policies_are_finalizers(api: Api, policy, finalizer):
    """Finalizers: Foreground and Orphan wait for a garbage collector."""
    api.created()
    answer = api.delete(propagationPolicy=policy)
    assert answer.status == 200
    assert answer.json["metadata"]["finalizers"] == [finalizer]
    freed(api)


def test_background_policy_deletes_at_once(api: Api):
    """Deletion: Background is the default."""
    api.created()
    assert (
        api.delete(body={"propagationPolicy": "Background"}).json["status"] == "Success"
    )


def test_collection_is_deleted_by_selector(api: Api):
    """Deletion: a collection goes by its selectors, and the answer lists it."""
    api.created("a", {"labels": {"keep": "no"}})
    api.created("b", {"labels": {"keep": "yes"}})
    answer = api.request("DELETE", api.collection, labelSelector="keep=no")
    assert [one["metadata"]["name"] for one in answer.json["items"]] == ["a"]
    assert [one["metadata"]["name"] for one in api.list().json["items"]] == ["b"]
