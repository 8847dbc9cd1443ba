"""Questions about oneself: who am I, and what may I do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from kubernetes_leader_election.testing.lease_server.api import loading
from kubernetes_leader_election.testing.lease_server.api.access import (
    MASTERS,
    Access,
    User,
)
from kubernetes_leader_election.testing.lease_server.api.resources import Resource
from kubernetes_leader_election.testing.lease_server.http import statuses
from kubernetes_leader_election.testing.lease_server.http.exchange import (
    Exchange,
    Reply,
)
from kubernetes_leader_election.testing.lease_server.http.statuses import FieldError
from kubernetes_leader_election.testing.lease_server.kubectl.go_time import (
    write_seconds,
)
from kubernetes_leader_election.testing.lease_server.kubectl.protobuf import (
    read_message,
)

__all__ = ["access_review", "subject_review"]


async def access_review(exchange: Exchange, access: Access) -> Reply | None:
    """Answer whether the user may do something (``kubectl auth can-i``)."""
    if exchange.info.resource != "selfsubjectaccessreviews":
        return None
    if exchange.method != "POST":
        raise statuses.method_not_allowed()
    exchange.negotiate()
    form = exchange.body_form(protobuf=True)
    body = await exchange.body()
    load: Callable[[bytes], Any] = loading.load_json
    if form != "json":
        load = loading.load_yaml if form == "yaml" else read_message
    try:
        given = load(body)
    except ValueError as error:
        raise statuses.bad_request(str(error)) from error
    spec = given.get("spec") if isinstance(given, dict) else None
    spec = spec if isinstance(spec, dict) else {}
    allowed = _allowed(exchange.user, access, spec)
    status: dict[str, Any] = {"allowed": allowed}
    if allowed and MASTERS not in exchange.user.all_groups:
        status["reason"] = "RBAC: allowed"
    return exchange.reply(
        {
            "kind": "SelfSubjectAccessReview",
            "apiVersion": "authorization.k8s.io/v1",
            "metadata": {},
            "spec": spec,
            "status": status,
        },
        201,
    )


def _allowed(user: User, access: Access, spec: dict[str, Any]) -> bool:
    """
    Judge what is asked about: something done to a resource, or to a path.

    Raises:
        ApiError: 400 or 422, it asks for neither or both.
    """
    for key in ("resourceAttributes", "nonResourceAttributes"):
        given = spec.get(key)
        if given is not None and not isinstance(given, dict):
            raise statuses.bad_request(
                'SelfSubjectAccessReview in version "v1" cannot be handled as a '
                f"SelfSubjectAccessReview: json: cannot unmarshal "
                f"{loading.json_kind(given)} into Go struct field "
                f"SelfSubjectAccessReviewSpec.spec.{key}"
            )
    asked = spec.get("resourceAttributes")
    about_path = spec.get("nonResourceAttributes")
    if (asked is None) is (about_path is None):
        text = (
            "exactly one of nonResourceAttributes or resourceAttributes must be "
            "specified"
        )
        review = Resource(
            group="authorization.k8s.io", version="v1", plural="", kind=""
        )
        found = FieldError.invalid("spec", about_path, text)
        raise statuses.invalid(review, "", [found])
    if about_path is not None:
        verb, path = (str(about_path.get(key, "")) for key in ("verb", "path"))
        return access.allows_path(user, verb, path)
    assert asked is not None
    plural = str(asked.get("resource", ""))
    if asked.get("subresource"):
        plural += f"/{asked['subresource']}"
    return access.allows(
        user,
        str(asked.get("verb", "")),
        (str(asked.get("group", "")), plural),
        str(asked.get("namespace", "")),
        str(asked.get("name", "")),
    )


def subject_review(exchange: Exchange) -> Reply | None:
    """Tell users who they are (``kubectl auth whoami``)."""
    if exchange.info.resource != "selfsubjectreviews":
        return None
    if exchange.method != "POST":
        raise statuses.method_not_allowed()
    exchange.negotiate()
    user = exchange.user
    return exchange.reply(
        {
            "kind": "SelfSubjectReview",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"creationTimestamp": write_seconds(datetime.now(UTC))},
            "status": {
                "userInfo": {"username": user.name, "groups": sorted(user.all_groups)}
            },
        },
        201,
    )
