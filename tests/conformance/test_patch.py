"""Patches: merge, strategic, JSON, apply, and the books of who set what."""

from __future__ import annotations

import threading

import pytest
from conformance_client import (
    APPLY,
    JSON_PATCH,
    MERGE,
    STRATEGIC,
    Api,
    Target,
    assert_refused,
    changed,
    lease,
    with_metadata,
)

KINDS = pytest.mark.parametrize("kind", [MERGE, STRATEGIC], ids=["merge", "strategic"])


def holder(name: str) -> dict:
    """Give a patch that sets the holder."""
    return {"spec": {"holderIdentity": name}}


@KINDS
def test_patch_merges(api: Api, kind):
    """Patches: what is given is set, what is null is deleted, the rest is kept."""
    api.created(holderIdentity="a", leaseDurationSeconds=15, leaseTransitions=1)
    patch = {"spec": {"holderIdentity": "b", "leaseTransitions": None}}
    answer = api.patch(patch, kind=kind)
    assert answer.status == 200
    assert answer.json["spec"] == {"holderIdentity": "b", "leaseDurationSeconds": 15}


@KINDS
def test_version_in_a_patch_is_a_precondition(api: Api, kind):
    """Patches: a stale version inside is 409, the current one passes."""
    made = api.created()
    current = made["metadata"]["resourceVersion"]
    stale = {"metadata": {"resourceVersion": "1"}, **holder("b")}
    assert_refused(api.patch(stale, kind=kind), 409, "Conflict")
    fresh = {"metadata": {"resourceVersion": current}, **holder("b")}
    assert api.patch(fresh, kind=kind).status == 200


@pytest.mark.parametrize("version", ["", None], ids=["empty", "null"])
@KINDS
def test_emptied_version_in_a_patch_is_invalid(api: Api, kind, version):
    """Patches: "" and null take the version away: 422."""
    api.created()
    patch = {"metadata": {"resourceVersion": version}, **holder("b")}
    answer = api.patch(patch, kind=kind)
    assert_refused(answer, 422, "Invalid", "must be specified for an update")


def test_patches_without_a_version_all_succeed(target: Target, api: Api):
    """Patches: unconditional ones never conflict, 16 at once."""
    api.created()
    answers: list[int] = []

    def patch(number: int) -> None:
        client = Api(target, api.namespace)
        answers.append(client.patch(holder(str(number))).status)
        client.close()

    threads = [threading.Thread(target=patch, args=(one,)) for one in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 16


@KINDS
def test_wrong_uid_in_a_patch_is_immutable(api: Api, kind):
    """Patches: another uid is 422."""
    api.created()
    answer = api.patch({"metadata": {"uid": "other"}}, kind=kind)
    assert_refused(answer, 422, "Invalid", "metadata.uid: Invalid value", "immutable")


@pytest.mark.parametrize("kind", [MERGE, STRATEGIC, JSON_PATCH])
def test_patch_of_a_missing_lease_is_404(api: Api, kind):
    """Patches: there must be a Lease."""
    patch = [] if kind == JSON_PATCH else holder("b")
    assert_refused(api.patch(patch, kind=kind), 404, "NotFound")


def test_strategic_patch_merges_finalizers(api: Api):
    """Patches, strategic: finalizers are a set, a merge patch replaces them."""
    api.created("p", {"finalizers": ["a/x"]})
    both = api.patch({"metadata": {"finalizers": ["a/y"]}}, kind=STRATEGIC)
    assert sorted(both.json["metadata"]["finalizers"]) == ["a/x", "a/y"]
    one = api.patch({"metadata": {"finalizers": ["a/z"]}}, kind=MERGE)
    assert one.json["metadata"]["finalizers"] == ["a/z"]
    api.patch({"metadata": {"finalizers": None}})


def test_json_patch_tests_and_replaces(api: Api):
    """Patches, JSON: operations in order."""
    api.created(holderIdentity="a")
    patch = [
        {"op": "test", "path": "/spec/holderIdentity", "value": "a"},
        {"op": "replace", "path": "/spec/holderIdentity", "value": "b"},
        {"op": "add", "path": "/spec/leaseTransitions", "value": 3},
    ]
    answer = api.patch(patch, kind=JSON_PATCH)
    assert answer.json["spec"] == {"holderIdentity": "b", "leaseTransitions": 3}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/spec/holderIdentity", "value": "b"},
        {"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
        {"op": "remove", "path": "/spec/leaseTransitions"},
        {"op": "add", "path": "/nothing/here", "value": 1},
    ],
    ids=["failed test", "failed test of the version", "missing field", "missing path"],
)
def test_json_patch_that_does_not_fit_is_invalid(api: Api, operation):
    """Patches, JSON: failed tests and missing paths are 422."""
    api.created(holderIdentity="a")
    answer = api.patch([operation], kind=JSON_PATCH)
    text = "the server rejected our request due to an error in our request"
    assert_refused(answer, 422, "Invalid")
    assert answer.message == text


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("path", 5, "number"),
        ("from", 5, "number"),
        ("op", [], "array"),
        ("op", True, "bool"),
    ],
    ids=["path", "from", "list as op", "bool as op"],
)
def test_json_patch_of_wrong_types_is_400(api: Api, key, value, kind):
    """Patches, JSON: op, path and from are strings."""
    api.created()
    operation = {"op": "copy", "from": "/spec", "path": "/x", key: value}
    answer = api.patch([operation], kind=JSON_PATCH)
    text = f"cannot unmarshal {kind} into Go struct field jsonPatchOp.{key}"
    assert_refused(answer, 400, "BadRequest", text)


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": None, "value": 1},
        {"op": "move", "from": None, "path": "/spec/x"},
        {"op": "add", "value": 1},
        {"op": None, "path": "/spec"},
        None,
    ],
    ids=["null path", "null from", "no path", "null op", "null"],
)
def test_json_patch_with_nulls_is_invalid(api: Api, operation):
    """Patches, JSON: null is as good as left out, and fits nothing."""
    api.created()
    assert_refused(api.patch([operation], kind=JSON_PATCH), 422, "Invalid")


@pytest.mark.parametrize("kind", ["add", "replace"])
def test_json_patch_without_a_value_sets_null(api: Api, kind):
    """Patches, JSON: a value left out is null, which takes the field away."""
    api.created(leaseTransitions=1)
    patch = [{"op": kind, "path": "/spec/leaseTransitions"}]
    answer = api.patch(patch, kind=JSON_PATCH)
    assert (answer.status, answer.json["spec"]) == (200, {})


def test_json_patch_of_something_else_is_400(api: Api):
    """Patches, JSON: a number is no operation."""
    api.created()
    answer = api.patch([5], kind=JSON_PATCH)
    assert_refused(answer, 400, "BadRequest", "cannot unmarshal number into Go value")


@pytest.mark.parametrize(
    "kept",
    [5, None, "leaseTransitions", ["holderIdentity"]],
    ids=["number", "null", "string", "list without what is set"],
)
def test_strategic_patch_with_bad_keys_to_retain_is_400(api: Api, kept):
    """Patches, strategic: $retainKeys is a list that names all the patch sets."""
    api.created()
    patch = {"spec": {"$retainKeys": kept, "leaseTransitions": 1}}
    answer = api.patch(patch, kind=STRATEGIC)
    text = "invalid patch format of retainKeys"
    assert_refused(answer, 400, "BadRequest", text)


def test_strategic_patch_retains_keys(api: Api):
    """Patches, strategic: $retainKeys clears every other field."""
    api.created(holderIdentity="a")
    patch = {"spec": {"$retainKeys": ["leaseTransitions"], "leaseTransitions": 1}}
    answer = api.patch(patch, kind=STRATEGIC)
    assert (answer.status, answer.json["spec"]) == (200, {"leaseTransitions": 1})


@pytest.mark.parametrize(
    ("value", "left"),
    [(5, ["a/x"]), ("a/x", ["a/x"]), (["a/x"], None), (None, None)],
    ids=["number", "string", "list", "null"],
)
def test_strategic_patch_deletes_from_a_list(api: Api, value, left):
    """Patches, strategic: a list takes elements out, null takes all; else nothing."""
    api.created("p", {"finalizers": ["a/x"]})
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": value}}
    answer = api.patch(patch, kind=STRATEGIC)
    assert answer.status == 200, answer.body
    assert answer.json["metadata"].get("finalizers") == left
    api.patch({"metadata": {"finalizers": None}})


@pytest.mark.parametrize(
    ("patch", "text"),
    [
        ({"finalizers": [5]}, "list element types are not identical: [[a/x] [5]]"),
        (
            {"$deleteFromPrimitiveList/finalizers": [5]},
            "list element types are not identical: [[a/x] [5]]",
        ),
        (
            {"$setElementOrder/finalizers": 5},
            "expected a []interface {}, but received a int64",
        ),
        ({"$patch": "x"}, "unknown patch type: x in map: map[$patch:x]"),
    ],
    ids=["mixed list", "mixed deletion", "order", "directive"],
)
def test_strategic_patch_that_makes_no_sense_is_500(api: Api, patch, text):
    """Patches, strategic: a few mistakes are the server's, it thinks; no reason."""
    api.created("p", {"finalizers": ["a/x"]})
    answer = api.patch({"metadata": patch}, kind=STRATEGIC)
    assert_refused(answer, 500, None)
    assert answer.message == text
    api.patch({"metadata": {"finalizers": None}})


@pytest.mark.parametrize("owner", [5, "x", None, {"kind": "x"}], ids=repr)
@KINDS
def test_patch_with_owners_that_are_none_is_invalid(api: Api, kind, owner):
    """Patches: ownerReferences hold objects with all their fields, else 422."""
    api.created()
    answer = api.patch({"metadata": {"ownerReferences": [owner]}}, kind=kind)
    assert_refused(answer, 422, "Invalid")


def test_json_patch_must_be_a_list(api: Api):
    """Patches, JSON: an object is 400."""
    api.created()
    assert_refused(api.patch({}, kind=JSON_PATCH), 400, "BadRequest")


def test_merge_patch_must_be_an_object(api: Api):
    """Patches, merge: a list is 400."""
    api.created()
    assert_refused(api.patch([], kind=MERGE), 400, "BadRequest")


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
def test_patch_of_another_kind_is_415(api: Api, kind):
    """Patches: a plain JSON PATCH is no patch."""
    api.created()
    assert_refused(api.patch(holder("b"), kind=kind), 415, "UnsupportedMediaType")


def test_patch_with_wrong_types_is_invalid(api: Api):
    """Patches: what does not fit the types afterwards is 422, not 400."""
    api.created()
    answer = api.patch({"spec": {"leaseTransitions": "x"}})
    assert_refused(answer, 422, "Invalid", "patch: Invalid value")


def test_patch_must_keep_the_rules(api: Api):
    """Patches: the result is validated."""
    api.created()
    answer = api.patch({"spec": {"leaseDurationSeconds": 0}})
    assert_refused(answer, 422, "Invalid", "must be greater than 0")


def test_apply_creates_and_updates(api: Api):
    """Apply: 201 and then 200."""
    assert api.apply(lease(holderIdentity="a"), "one").status == 201
    answer = api.apply(lease(holderIdentity="b"), "one")
    assert (answer.status, answer.json["spec"]["holderIdentity"]) == (200, "b")


def test_apply_needs_a_manager(api: Api):
    """Apply: without fieldManager 422."""
    answer = api.patch(lease(), kind=APPLY)
    assert_refused(answer, 422, "Invalid", "fieldManager: Required value")


def test_apply_conflicts_with_other_managers(api: Api):
    """Apply: a field of another manager is 409 with a cause of its own."""
    api.apply(lease(holderIdentity="a"), "one")
    answer = api.apply(lease(holderIdentity="b"), "two")
    assert_refused(answer, 409, "Conflict", 'conflict with "one": .spec.holderIdentity')
    assert answer.json["details"]["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "one"',
            "field": ".spec.holderIdentity",
        }
    ]


def test_apply_conflicts_with_updates(api: Api):
    """Apply: a field set by a PUT belongs to who put it."""
    api.created(holderIdentity="a")
    answer = api.apply(lease(holderIdentity="b"), "one")
    text = 'conflict with "conformance" using coordination.k8s.io/v1'
    assert_refused(answer, 409, "Conflict", text)


def test_forced_apply_takes_the_field(api: Api):
    """Apply: force=true takes it."""
    api.apply(lease(holderIdentity="a"), "one")
    answer = api.apply(lease(holderIdentity="b"), "two", force="true")
    assert answer.status == 200
    owners = {
        one["manager"]: one["fieldsV1"]
        for one in answer.json["metadata"]["managedFields"]
    }
    assert owners == {"two": {"f:spec": {"f:holderIdentity": {}}}}


def test_apply_of_the_same_value_shares_the_field(api: Api):
    """Apply: the same value is no conflict, and belongs to both."""
    api.apply(lease(holderIdentity="a"), "one")
    assert api.apply(lease(holderIdentity="a"), "two").status == 200
    answer = api.apply(lease(), "one")
    assert answer.json["spec"] == {"holderIdentity": "a"}


def test_apply_removes_what_is_left_out(api: Api):
    """Apply: an owned field left out is removed; the emptied manager stays listed."""
    api.apply(lease(holderIdentity="a", leaseTransitions=1), "one")
    assert api.apply(lease(leaseTransitions=1), "one").json["spec"] == {
        "leaseTransitions": 1
    }
    answer = api.apply(lease(), "one")
    assert answer.json["spec"] == {}
    managers = [one["manager"] for one in answer.json["metadata"]["managedFields"]]
    assert managers == ["one"]


def test_apply_refuses_managed_fields(api: Api):
    """Apply: managedFields inside are 400."""
    answer = api.apply(lease("p", {"managedFields": []}), "one")
    assert_refused(answer, 400, "BadRequest", "metadata.managedFields must be nil")


def test_apply_with_a_stale_version_conflicts(api: Api):
    """Apply: a version inside is a precondition."""
    api.apply(lease(holderIdentity="a"), "one")
    answer = api.apply(lease("p", {"resourceVersion": "1"}, holderIdentity="b"), "one")
    assert_refused(answer, 409, "Conflict")


def test_apply_with_a_uid_does_not_create(api: Api):
    """Apply: a uid on a missing Lease is a mismatch."""
    answer = api.apply(lease("p", {"uid": "other"}), "one")
    assert_refused(answer, 409, "Conflict", "uid mismatch")


def test_books_name_manager_and_operation(api: Api):
    """Managed fields: one entry per manager, by User-Agent up to the slash."""
    made = api.created("p", {"labels": {"app": "x"}}, holderIdentity="a")
    (entry,) = made["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == ("conformance", "Update")
    assert entry["fieldsType"] == "FieldsV1"
    assert entry["fieldsV1"] == {
        "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
        "f:spec": {"f:holderIdentity": {}},
    }


def test_books_take_the_given_manager(api: Api):
    """Managed fields: fieldManager goes before the User-Agent."""
    answer = api.post(lease(holderIdentity="a"), fieldManager="mine")
    assert answer.json["metadata"]["managedFields"][0]["manager"] == "mine"


def test_changed_fields_change_hands(two_apis):
    """Managed fields: who changes a field has it; the other loses it."""
    api, other = two_apis
    made = api.created(holderIdentity="a", leaseDurationSeconds=15)
    answer = other.put(changed(made, holderIdentity="b"))
    fields = {
        one["manager"]: one["fieldsV1"]["f:spec"]
        for one in answer.json["metadata"]["managedFields"]
    }
    assert fields == {
        "conformance": {"f:leaseDurationSeconds": {}},
        "other": {"f:holderIdentity": {}},
    }


def test_emptied_books_stay_empty(api: Api):
    """Managed fields: sending [] clears them and keeps them off until an apply."""
    made = api.created(holderIdentity="a")
    cleared = api.put(with_metadata(made, managedFields=[])).json
    assert "managedFields" not in cleared["metadata"]
    later = api.put(changed(cleared, holderIdentity="b")).json
    assert "managedFields" not in later["metadata"]
    applied = api.apply(lease(leaseTransitions=1), "one").json
    managers = {one["manager"] for one in applied["metadata"]["managedFields"]}
    assert managers == {"one", "before-first-apply"}


def test_empty_spec_has_no_books(api: Api):
    """Managed fields: nothing set, nothing booked."""
    assert "managedFields" not in api.created()["metadata"]
