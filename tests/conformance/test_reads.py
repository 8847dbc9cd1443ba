"""Reads: GET and LIST, versions, pages, selectors."""

from __future__ import annotations

import time

import pytest
from conformance_client import (
    GROUP,
    LATE,
    Api,
    Target,
    assert_refused,
    changed,
)


def names(answer) -> list[str]:
    """Give the names in a list."""
    return [one["metadata"]["name"] for one in answer.json["items"]]


def test_get_with_known_versions(api: Api):
    """Reads: version 0 and any version seen are answered at once."""
    made = api.created(holderIdentity="a")
    for version in ("0", made["metadata"]["resourceVersion"]):
        assert api.get(resourceVersion=version).json == made


def test_get_reads_ones_own_writes(api: Api):
    """Reads: a GET without a version is never older than a finished write."""
    made = api.created(holderIdentity="0")
    for number in range(1, 20):
        made = api.put(changed(made, holderIdentity=str(number))).json
        assert api.get().json["spec"]["holderIdentity"] == str(number)


@pytest.mark.slow
def test_future_version_times_out(api: Api, target: Target):
    """Reads: a version from the future waits, then 504 with a cause."""
    api.created()
    began = time.monotonic()
    answer = api.get(resourceVersion="99999999999")
    waited = time.monotonic() - began
    assert_refused(answer, 504, "Timeout", "Too large resource version: 99999999999")
    assert answer.headers["Retry-After"] == "1"
    assert answer.json["details"] == {
        "causes": [
            {
                "reason": "ResourceVersionTooLarge",
                "message": "Too large resource version",
            }
        ],
        "retryAfterSeconds": 1,
    }
    assert target.patience.future * 0.9 < waited < target.patience.future + LATE


@pytest.mark.slow
def test_future_version_times_out_on_lists(api: Api):
    """Reads: a LIST waits as well."""
    answer = api.list(resourceVersion="99999999999")
    assert_refused(answer, 504, "Timeout", "Too large resource version")


def test_list_has_a_version(api: Api):
    """Reads: a list knows which version it shows."""
    made = api.created()
    listed = api.list()
    assert int(listed.version) >= int(made["metadata"]["resourceVersion"])
    assert listed.json["kind"] == "LeaseList"
    assert listed.json["apiVersion"] == "coordination.k8s.io/v1"
    assert "kind" not in listed.json["items"][0]


def test_lists_are_sorted_by_name(api: Api):
    """Reads: as the storage has them."""
    for name in ("c", "a", "b"):
        api.created(name)
    assert names(api.list()) == ["a", "b", "c"]


def test_lists_come_in_pages(api: Api):
    """Reads: limit, continue, remainingItemCount; every page shows one version."""
    for number in range(5):
        api.created(f"l{number}")
    first = api.list(limit=2)
    assert first.json["metadata"]["remainingItemCount"] == 3
    token = first.json["metadata"]["continue"]
    api.created("late")
    second = api.list(limit=2, **{"continue": token})
    assert names(first) + names(second) == ["l0", "l1", "l2", "l3"]
    assert second.version == first.version
    third = api.list(limit=2, **{"continue": second.json["metadata"]["continue"]})
    assert names(third) == ["l4"]
    assert "continue" not in third.json["metadata"]


def test_pages_by_selector_do_not_count(api: Api):
    """Reads: with a selector nobody counts what is left."""
    for number in range(3):
        api.created(f"l{number}", {"labels": {"a": "b"}})
    metadata = api.list(limit=1, labelSelector="a=b").json["metadata"]
    assert "continue" in metadata
    assert "remainingItemCount" not in metadata


def test_version_zero_ignores_limits(api: Api):
    """Reads: from memory there are no pages."""
    for number in range(3):
        api.created(f"l{number}")
    version = api.list().version
    assert len(names(api.list(resourceVersion=version, limit=0))) == 3
    assert len(names(api.list(resourceVersion="0", limit=1))) == 3


def test_bad_continue_tokens_are_400(api: Api):
    """Reads: a token that is none."""
    answer = api.list(**{"continue": "xyz"})
    assert_refused(answer, 400, "BadRequest", "continue key is not valid")


def test_continue_excludes_a_version(api: Api):
    """Reads: the token says which version."""
    for number in range(2):
        api.created(f"l{number}")
    token = api.list(limit=1).json["metadata"]["continue"]
    answer = api.list(resourceVersion="5", **{"continue": token})
    assert_refused(answer, 400, "BadRequest", "not allowed when using continue")


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("metadata.name=a", ["a"]),
        ("metadata.name==a", ["a"]),
        ("metadata.name!=a", ["b", "c"]),
        ("metadata.name=none", []),
    ],
)
def test_field_selectors(api: Api, selector, expected):
    """Reads: metadata.name can be selected by =, == and !=."""
    for name in "abc":
        api.created(name)
    assert names(api.list(fieldSelector=selector)) == expected


def test_namespace_is_a_field(api: Api):
    """Reads: metadata.namespace can be selected, across all of them."""
    api.created("a")
    selector = f"metadata.namespace={api.namespace}"
    answer = api.request("GET", f"{GROUP}/leases", fieldSelector=selector)
    assert names(answer) == ["a"]


def test_other_fields_cannot_be_selected(api: Api):
    """Reads: the holder cannot."""
    answer = api.list(fieldSelector="spec.holderIdentity=a")
    assert_refused(answer, 400, "BadRequest", "not a known field selector")


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("tier=front", ["a"]),
        ("tier!=front", ["b", "c"]),
        ("tier in (front, back)", ["a", "b"]),
        ("tier notin (front)", ["b", "c"]),
        ("tier", ["a", "b"]),
        ("!tier", ["c"]),
        ("tier,tier!=back", ["a"]),
    ],
)
def test_label_selectors(api: Api, selector, expected):
    """Reads: labels by value, by set, by being there."""
    api.created("a", {"labels": {"tier": "front"}})
    api.created("b", {"labels": {"tier": "back"}})
    api.created("c")
    assert names(api.list(labelSelector=selector)) == expected


def test_bad_label_selectors_are_400(api: Api):
    """Reads: syntax is checked."""
    answer = api.list(labelSelector="a b c")
    assert_refused(answer, 400, "BadRequest", "unable to parse requirement")


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"resourceVersionMatch": "Exact"}, "forbidden unless resourceVersion"),
        (
            {"resourceVersionMatch": "Bogus", "resourceVersion": "1"},
            "Unsupported value",
        ),
        (
            {"resourceVersionMatch": "Exact", "resourceVersion": "0"},
            '"exact" is forbidden',
        ),
        ({"sendInitialEvents": "true"}, "sendInitialEvents is forbidden for list"),
    ],
    ids=["without a version", "unknown match", "exactly zero", "of a watch"],
)
def test_list_options_must_fit(api: Api, query, text):
    """Reads: options that make no sense together are 422."""
    assert_refused(api.list(**query), 422, "Invalid", text)


def test_exact_lists_show_the_past(api: Api):
    """Reads: Exact shows a version as it was."""
    api.created("a")
    version = api.list().version
    api.created("b")
    api.delete("a")
    answer = api.list(resourceVersion=version, resourceVersionMatch="Exact")
    assert (names(answer), answer.version) == (["a"], version)


def test_exact_lists_below_the_history_are_expired(api: Api):
    """Reads: 410 where the history is gone."""
    version = api.list().version
    api.forget_history()
    api.created("a")
    api.forget_history()
    answer = api.list(resourceVersion=version, resourceVersionMatch="Exact")
    assert_refused(answer, 410, "Expired")


def test_old_continue_tokens_can_be_resumed(api: Api):
    """Reads: 410 with a fresh token, which goes on in the present."""
    for number in range(3):
        api.created(f"l{number}")
    token = api.list(limit=1).json["metadata"]["continue"]
    api.created("l9")
    api.forget_history()
    answer = api.list(limit=1, **{"continue": token})
    assert_refused(answer, 410, "Expired", "continue parameter is too old")
    fresh = answer.json["metadata"]["continue"]
    assert names(api.list(**{"continue": fresh})) == ["l1", "l2", "l9"]


def test_versions_grow_over_all_resources(api: Api):
    """Reads: one counter for everything, namespaces included."""
    first = int(api.created("a")["metadata"]["resourceVersion"])
    name = f"{api.namespace}-x"
    space = api.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    second = int(api.created("b")["metadata"]["resourceVersion"])
    assert first < int(space.version) < second
    api.request("DELETE", f"/api/v1/namespaces/{name}")


def test_long_selectors_are_read(api: Api):
    """Reads: a request line of 40 kB is nothing odd."""
    api.created("p", {"labels": {"app": "v4999"}})
    values = ",".join(f"v{number}" for number in range(5000))
    answer = api.list(labelSelector=f"app in ({values})")
    assert answer.status == 200, answer.body
    assert names(answer) == ["p"]
