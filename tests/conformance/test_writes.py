"""Writes: POST and PUT, versions and uids, dry runs."""

from __future__ import annotations

import re
import threading

import pytest
from conformance_client import (
    Api,
    Target,
    assert_refused,
    changed,
    lease,
    with_metadata,
)

OTHER_UID = "00000000-0000-4000-8000-000000000000"
STAMP = "2024-05-06T07:08:09.123456Z"


def test_post_sets_the_servers_fields(api: Api):
    """Writes, POST: uid, version and creationTimestamp come from the server."""
    answer = api.post(lease(holderIdentity="a"))
    metadata = answer.json["metadata"]
    assert answer.status == 201
    assert re.fullmatch(r"[0-9a-f-]{36}", metadata["uid"])
    assert int(metadata["resourceVersion"]) > 0
    assert re.fullmatch(r"[\d-]{10}T[\d:]{8}Z", metadata["creationTimestamp"])
    assert metadata["namespace"] == api.namespace


def test_post_overwrites_the_clients_fields(api: Api):
    """Writes, POST: what the client says of the server's fields is overwritten."""
    given = {"uid": OTHER_UID, "creationTimestamp": "2001-01-01T00:00:00Z"}
    metadata = api.post(lease("p", given)).json["metadata"]
    assert metadata["uid"] != OTHER_UID
    assert not metadata["creationTimestamp"].startswith("2001")


def test_post_keeps_the_clients_generation(api: Api):
    """Writes, POST: a generation is kept; without one there is none."""
    assert api.created("p", {"generation": 7})["metadata"]["generation"] == 7
    assert "generation" not in api.created("q")["metadata"]


def test_post_on_an_existing_lease_is_already_exists(api: Api):
    """Writes, POST: 409 AlreadyExists."""
    api.created()
    answer = api.post(lease())
    text = 'leases.coordination.k8s.io "p" already exists'
    assert_refused(answer, 409, "AlreadyExists")
    assert answer.message == text


def test_post_generates_names(api: Api):
    """Writes, POST: generateName gets five letters."""
    answer = api.post(lease(None, {"generateName": "gen-"}))
    assert re.fullmatch(r"gen-[a-z0-9]{5}", answer.json["metadata"]["name"])


def test_post_with_a_version_is_500(api: Api):
    """Writes, POST: a resourceVersion is an unexpected error, without a reason."""
    answer = api.post(lease("p", {"resourceVersion": "5"}))
    text = "resourceVersion should not be set on objects to be created"
    assert_refused(answer, 500, None, text)


@pytest.mark.parametrize("version", ["", "0"])
def test_post_takes_an_empty_version(api: Api, version):
    """Writes, POST: "" and "0" are no version."""
    assert api.post(lease("p", {"resourceVersion": version})).status == 201


def test_put_replaces_the_current_version(api: Api):
    """Writes, PUT: with the current version 200 and a new one."""
    made = api.created(holderIdentity="a")
    answer = api.put(changed(made, holderIdentity="b"))
    assert answer.status == 200
    assert int(answer.version) > int(made["metadata"]["resourceVersion"])
    assert answer.json["metadata"]["uid"] == made["metadata"]["uid"]
    assert api.get().json == answer.json


def test_put_with_a_stale_version_is_a_conflict(api: Api):
    """Writes, PUT: a stale version is 409 Conflict with the well known text."""
    made = api.created(holderIdentity="a")
    api.put(changed(made, holderIdentity="b"))
    answer = api.put(changed(made, holderIdentity="c"))
    assert_refused(answer, 409, "Conflict")
    assert answer.message == (
        'Operation cannot be fulfilled on leases.coordination.k8s.io "p": the object '
        "has been modified; please apply your changes to the latest version and try "
        "again"
    )
    assert api.get().json["spec"]["holderIdentity"] == "b"


def test_put_with_a_future_version_is_a_conflict(api: Api):
    """Writes, PUT: a version nobody has seen yet is a conflict as well."""
    made = api.created()
    future = str(int(made["metadata"]["resourceVersion"]) + 1_000_000)
    answer = api.put(with_metadata(made, resourceVersion=future))
    assert_refused(answer, 409, "Conflict", "the object has been modified")


def test_one_of_many_puts_at_once_wins(target: Target, api: Api):
    """Writes, PUT: of 16 with one version one wins, 15 get 409."""
    made = api.created()
    statuses: list[int] = []
    start = threading.Barrier(16)

    def put(number: int) -> None:
        client = Api(target, api.namespace)
        client.list(limit=1)
        start.wait()
        statuses.append(client.put(changed(made, holderIdentity=str(number))).status)
        client.close()

    threads = [threading.Thread(target=put, args=(one,)) for one in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [409] * 15


def test_leading_zero_in_the_version_does_no_harm(api: Api):
    """Writes, PUT: 0017 is 17."""
    made = api.created()
    zero = "0" + made["metadata"]["resourceVersion"]
    answer = api.put(
        with_metadata(changed(made, holderIdentity="b"), resourceVersion=zero)
    )
    assert answer.status == 200


@pytest.mark.parametrize("version", [None, "", "0"], ids=["absent", "empty", "zero"])
def test_put_without_a_version_is_invalid(api: Api, version):
    """Writes, PUT: an existing Lease needs a version."""
    made = api.created()
    answer = api.put(with_metadata(made, resourceVersion=version))
    text = "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    assert_refused(answer, 422, "Invalid", text)
    assert answer.json["details"]["kind"] == "leases"


@pytest.mark.parametrize("version", [None, "", "0", "7", "99999999"])
def test_put_on_a_missing_lease_creates_it(api: Api, version):
    """Writes, PUT: a missing Lease is created, whatever version is sent."""
    document = with_metadata(lease(holderIdentity="a"), resourceVersion=version)
    answer = api.put(document)
    assert answer.status == 201
    assert answer.json["spec"] == {"holderIdentity": "a"}


def test_put_with_a_uid_does_not_create(api: Api):
    """Writes, PUT: with a uid a missing Lease is a conflict, with etcd's words."""
    answer = api.put(lease("p", {"uid": OTHER_UID}))
    assert_refused(
        answer,
        409,
        "Conflict",
        "StorageError: invalid object, Code: 4",
        f"Precondition failed: UID in precondition: {OTHER_UID}, UID in object meta: ",
    )
    assert answer.message.endswith("UID in object meta: ")
    assert api.get().status == 404


def test_losers_of_a_race_to_create_by_put(api: Api):
    """Writes, PUT: who comes late gets 422 without a version, 409 with any."""
    assert api.put(lease(holderIdentity="a")).status == 201
    assert api.put(lease(holderIdentity="b")).status == 422
    assert api.put(lease("p", {"resourceVersion": "1"})).status == 409


def test_put_with_another_uid_is_a_conflict(api: Api):
    """Writes, PUT: a re-created Lease is told by its uid, before its version."""
    made = api.created()
    uid = made["metadata"]["uid"]
    api.delete()
    again = api.created()
    answer = api.put(made)
    text = f"UID in precondition: {uid}, UID in object meta: {again['metadata']['uid']}"
    assert_refused(answer, 409, "Conflict", text)


def test_uid_is_checked_before_the_version(api: Api):
    """Writes, PUT: a wrong uid is reported even with the current version."""
    made = api.created()
    answer = api.put(with_metadata(made, uid=OTHER_UID))
    assert_refused(answer, 409, "Conflict", f"UID in precondition: {OTHER_UID}")


def test_without_uid_the_version_of_a_recreated_lease_conflicts(api: Api):
    """Writes, PUT: without a uid it is the version that differs."""
    made = api.created()
    api.delete()
    api.created()
    answer = api.put(with_metadata(made, uid=None))
    assert_refused(answer, 409, "Conflict", "the object has been modified")


def test_put_that_changes_nothing_keeps_the_version(api: Api):
    """Writes, no-op: 200 and the same version."""
    made = api.created(holderIdentity="a", renewTime=STAMP)
    answer = api.put(made)
    assert answer.status == 200
    assert answer.json == made


def test_no_op_of_another_client_keeps_the_version(two_apis):
    """Writes, no-op: also from another client, with another name for the books."""
    api, other = two_apis
    made = api.created(holderIdentity="a", renewTime=STAMP)
    answer = other.put(made)
    assert answer.json == made


def test_same_instant_in_another_zone_is_a_no_op(api: Api):
    """Writes, no-op: times are compared as instants."""
    made = api.created(renewTime=STAMP)
    answer = api.put(changed(made, renewTime="2024-05-06T09:08:09.123456+02:00"))
    assert answer.json == made


def test_no_op_makes_no_event(api: Api):
    """Writes, no-op: watchers hear nothing."""
    made = api.created(holderIdentity="a")
    watch = api.watch(resourceVersion=made["metadata"]["resourceVersion"])
    api.put(made)
    api.patch({})
    api.put(changed(made, holderIdentity="b"))
    assert watch.next()["object"]["spec"]["holderIdentity"] == "b"


def test_patch_that_changes_nothing_keeps_the_version(api: Api):
    """Writes, no-op: a PATCH as well."""
    made = api.created(holderIdentity="a")
    assert api.patch({"spec": {"holderIdentity": "a"}}).json == made


def test_put_restores_what_it_cannot_change(api: Api):
    """Writes, PUT: generation, creationTimestamp, absent namespace, uid, managers."""
    made = api.created(holderIdentity="a")
    sent = with_metadata(
        changed(made, holderIdentity="b"),
        generation=9,
        creationTimestamp="2001-01-01T00:00:00Z",
        namespace=None,
        uid=None,
        managedFields=None,
    )
    metadata = api.put(sent).json["metadata"]
    assert "generation" not in metadata
    for key in ("creationTimestamp", "namespace", "uid"):
        assert metadata[key] == made["metadata"][key]
    assert [one["manager"] for one in metadata["managedFields"]] == ["conformance"]


def test_put_cannot_set_a_deletion_timestamp(api: Api):
    """Writes, PUT: another deletionTimestamp is invalid."""
    made = api.created()
    answer = api.put(with_metadata(made, deletionTimestamp="2030-01-01T00:00:00Z"))
    text = "metadata.deletionTimestamp: Invalid value"
    assert_refused(answer, 422, "Invalid", text, "field is immutable")


def test_put_with_another_namespace_is_400(api: Api):
    """Writes, PUT: the namespace of the path counts."""
    made = api.created()
    answer = api.put(with_metadata(made, namespace="default"))
    assert_refused(answer, 400, "BadRequest", "namespace of the provided object")


def test_put_with_another_name_is_400(api: Api):
    """Writes, PUT: the name of the path counts."""
    answer = api.put(lease("q"), name="p")
    assert_refused(
        answer,
        400,
        "BadRequest",
        "the name of the object (q) does not match the name on the URL (p)",
    )


def test_put_without_a_name_is_400(api: Api):
    """Writes, PUT: there must be a name."""
    answer = api.put(lease(None))
    assert_refused(answer, 400, "BadRequest", "name must be provided")


def test_dry_run_of_post_stores_nothing(api: Api):
    """Writes, dryRun: POST answers without a version."""
    answer = api.post(lease(holderIdentity="a"), dryRun="All")
    assert answer.status == 201
    assert "resourceVersion" not in answer.json["metadata"]
    assert answer.json["metadata"]["uid"]
    assert api.get().status == 404


def test_dry_run_of_put_keeps_the_version(api: Api):
    """Writes, dryRun: PUT answers with the old version."""
    made = api.created(holderIdentity="a")
    answer = api.put(changed(made, holderIdentity="b"), dryRun="All")
    assert answer.json["spec"]["holderIdentity"] == "b"
    assert answer.version == made["metadata"]["resourceVersion"]
    assert api.get().json == made


def test_dry_run_still_conflicts(api: Api):
    """Writes, dryRun: a stale version is 409."""
    made = api.created()
    answer = api.put(with_metadata(made, resourceVersion="1"), dryRun="All")
    assert_refused(answer, 409, "Conflict")


def test_dry_run_of_delete_keeps_the_lease(api: Api):
    """Writes, dryRun: DELETE answers and deletes nothing."""
    api.created()
    assert api.delete(dryRun="All").status == 200
    assert api.get().status == 200


def test_dry_run_knows_one_value(api: Api):
    """Writes, dryRun: anything but All is invalid."""
    answer = api.post(lease(), dryRun="Some")
    assert_refused(answer, 422, "Invalid", "dryRun: Unsupported value")
