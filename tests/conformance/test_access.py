"""Access: tokens, anonymous users, rights by name."""

from __future__ import annotations

import pytest
from conformance_client import GROUP, Api, Target, assert_refused, changed, lease

PUBLIC = ("/version", "/livez", "/readyz", "/healthz")
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def rule(*verbs: str, names: tuple[str, ...] = ()) -> list[dict]:
    """Give a rule on Leases."""
    one = {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "verbs": list(verbs),
    }
    return [{**one, "resourceNames": list(names)}] if names else [one]


def test_bad_token_is_401(api: Api):
    """Access: a token nobody has is 401 everywhere."""
    for path in (api.collection, "/version"):
        answer = api.request("GET", path, headers={"Authorization": "Bearer bad"})
        assert_refused(answer, 401, "Unauthorized")
        assert answer.message == "Unauthorized"


@pytest.mark.parametrize(
    "authorization", [None, "Bearer", "Basic eDp5", "nonsense"], ids=str
)
def test_malformed_authorization_is_anonymous(api: Api, authorization):
    """Access: no or malformed Authorization is the anonymous user: 403."""
    answer = api.request("GET", api.path("p"), headers={"Authorization": authorization})
    assert_refused(answer, 403, "Forbidden", 'User "system:anonymous" cannot get')


def test_anonymous_users_see_what_is_public(as_user):
    """Access: version and health are public, discovery is not."""
    nobody = as_user(None)
    for path in PUBLIC:
        assert nobody.request("GET", path).status == 200
    for path in ("/api", "/apis", GROUP):
        assert nobody.request("GET", path).status == 403


def test_users_without_rights_may_discover(as_user):
    """Access: who has a name may look around."""
    nobody = as_user("nobody")
    for path in ("/api", "/apis", GROUP, *PUBLIC):
        assert nobody.request("GET", path).status == 200
    assert nobody.request("GET", "/metrics").status == 403


def test_forbidden_names_user_verb_and_lease(api: Api, target: Target, as_user):
    """Access: the text of 403."""
    answer = as_user("nobody").get()
    assert_refused(answer, 403, "Forbidden")
    assert answer.message == (
        'leases.coordination.k8s.io "p" is forbidden: '
        f'User "{target.subjects["nobody"]}" cannot get resource "leases" in API group '
        f'"coordination.k8s.io" in the namespace "{api.namespace}"'
    )
    assert answer.json["details"] == {
        "name": "p",
        "group": "coordination.k8s.io",
        "kind": "leases",
    }


@pytest.mark.parametrize(
    ("method", "verb"),
    [("POST", "create"), ("GET", "list"), ("DELETE", "deletecollection")],
)
def test_forbidden_has_no_name_for_collections(api: Api, as_user, method, verb):
    """Access: a plain LIST and a POST have no name to speak of."""
    body = lease() if method == "POST" else None
    answer = as_user("nobody").request(method, api.collection, body)
    assert_refused(answer, 403, "Forbidden", f"cannot {verb} resource")
    assert answer.message.startswith("leases.coordination.k8s.io is forbidden: ")


def test_forbidden_at_the_cluster_scope(as_user):
    """Access: without a namespace it is the cluster's scope."""
    answer = as_user("nobody").request("GET", f"{GROUP}/leases")
    assert_refused(answer, 403, "Forbidden", "at the cluster scope")


def test_names_limit_get_update_patch_delete(api: Api, target: Target, as_user):
    """Access: resourceNames let one Lease through and no other."""
    made = api.created("p")
    api.created("q")
    verbs = ("get", "update", "patch", "delete")
    with target.granted("alice", rule(*verbs, names=("p",)), api.namespace):
        alice = as_user("alice")
        assert alice.get("p").status == 200
        assert alice.put(changed(made, holderIdentity="a"), name="p").status == 200
        assert alice.patch({"spec": {"holderIdentity": "b"}}).status == 200
        assert alice.get("q").status == 403
        assert alice.patch({}, name="q").status == 403
        assert alice.delete("q").status == 403
        assert alice.delete("p").status == 200


def test_names_limit_list_and_watch_by_field_selector(
    api: Api, target: Target, as_user
):
    """Access: list and watch are limited by name when they select the name."""
    with target.granted("alice", rule("list", "watch", names=("p",)), api.namespace):
        alice = as_user("alice")
        selector = {"fieldSelector": "metadata.name=p"}
        assert alice.list(**selector).status == 200
        assert alice.watch(timeoutSeconds=1, **selector).status == 200
        assert alice.list().status == 403
        assert alice.list(fieldSelector="metadata.name=q").status == 403
        assert alice.watch(timeoutSeconds=1).status == 403


def test_post_cannot_be_limited_to_a_name(api: Api, target: Target, as_user):
    """Access: create limited by name does not allow a POST."""
    with target.granted("alice", rule("create", names=("p",)), api.namespace):
        assert as_user("alice").post(lease()).status == 403


def test_creating_put_is_checked_as_update_then_create(
    api: Api, target: Target, as_user
):
    """Access: a PUT that creates needs update, and create with the name."""
    with target.granted("alice", rule("update", names=("p",)), api.namespace):
        answer = as_user("alice").put(lease())
        assert_refused(
            answer, 403, "Forbidden", 'leases.coordination.k8s.io "p"', "cannot create"
        )
    with target.granted("bob", rule("create", names=("p",)), api.namespace):
        answer = as_user("bob").put(lease())
        assert_refused(answer, 403, "Forbidden", "cannot update")


def test_four_verbs_on_one_name_run_an_election(api: Api, target: Target, as_user):
    """Access: get, update, create and watch on one name are all it takes."""
    verbs = ("get", "update", "create", "watch")
    with target.granted("alice", rule(*verbs, names=("p",)), api.namespace):
        alice = as_user("alice")
        assert alice.get().status == 404
        made = alice.put(lease(holderIdentity="a"))
        assert made.status == 201
        watch = alice.watch(
            fieldSelector="metadata.name=p", resourceVersion=made.version
        )
        assert watch.status == 200
        assert alice.put(changed(made.json, holderIdentity="b")).status == 200
        assert watch.next()["object"]["spec"]["holderIdentity"] == "b"
        assert alice.put(lease("q"), name="q").status == 403


def test_creating_apply_needs_patch_and_create(api: Api, target: Target, as_user):
    """Access: an apply that creates is checked as patch, then create."""
    with target.granted("alice", rule("patch", names=("p",)), api.namespace):
        answer = as_user("alice").apply(lease(), "one")
        assert_refused(answer, 403, "Forbidden", "cannot create")
    with target.granted("alice", rule("patch", "create", names=("p",)), api.namespace):
        assert as_user("alice").apply(lease(), "one").status == 201


def test_list_and_watch_are_rights_of_their_own(api: Api, target: Target, as_user):
    """Access: a watch needs only watch, a list only list."""
    with target.granted("alice", rule("watch"), api.namespace):
        alice = as_user("alice")
        assert alice.watch(timeoutSeconds=1).status == 200
        assert alice.list().status == 403
    with target.granted("bob", rule("list"), api.namespace):
        bob = as_user("bob")
        assert bob.list().status == 200
        assert bob.watch(timeoutSeconds=1).status == 403


def test_rights_end_at_the_namespace(api: Api, target: Target, as_user):
    """Access: a Role counts in its namespace."""
    with target.granted("alice", rule("get", "list"), api.namespace):
        alice = as_user("alice")
        assert alice.list().status == 200
        path = f"{GROUP}/namespaces/default/leases"
        assert alice.request("GET", path).status == 403


@pytest.mark.parametrize(("verb", "allowed"), [("get", True), ("delete", False)])
def test_access_reviews_tell(api: Api, target: Target, as_user, verb, allowed):
    """Access: SelfSubjectAccessReview answers by the same rules."""
    attributes = {
        "verb": verb,
        "group": "coordination.k8s.io",
        "resource": "leases",
        "namespace": api.namespace,
        "name": "p",
    }
    review = {"spec": {"resourceAttributes": attributes}}
    with target.granted("alice", rule("get", names=("p",)), api.namespace):
        answer = as_user("alice").request("POST", REVIEWS, review)
        assert answer.status == 201
        assert answer.json["status"]["allowed"] is allowed


def test_users_can_ask_who_they_are(target: Target, as_user):
    """Access: SelfSubjectReview names the user."""
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    answer = as_user("alice").request("POST", path, {})
    assert answer.status == 201
    user = answer.json["status"]["userInfo"]
    assert user["username"] == target.subjects["alice"]
    assert "system:authenticated" in user["groups"]


@pytest.mark.parametrize(
    ("path", "allowed"), [("/healthz", True), ("/metrics", False)], ids=str
)
def test_reviews_judge_paths(as_user, api: Api, path, allowed):
    """Access, reviews: one may ask about paths that are no resources."""
    asked = {"spec": {"nonResourceAttributes": {"path": path, "verb": "get"}}}
    answer = as_user("nobody").request("POST", REVIEWS, asked)
    assert (answer.status, answer.json["status"]["allowed"]) == (201, allowed)
    answer = api.request("POST", REVIEWS, asked)
    assert (answer.status, answer.json["status"]["allowed"]) == (201, True)


@pytest.mark.parametrize("both", [True, False], ids=["both", "neither"])
def test_reviews_ask_about_one_thing(api: Api, both):
    """Access, reviews: a resource or a path, else 422."""
    spec = {"resourceAttributes": {"verb": "get", "resource": "leases"}}
    spec["nonResourceAttributes"] = {"verb": "get", "path": "/healthz"}
    answer = api.request("POST", REVIEWS, {"spec": spec if both else {}})
    assert_refused(answer, 422, "Invalid", "exactly one of nonResourceAttributes or")


def test_reviews_of_wrong_types_are_400(api: Api):
    """Access, reviews: the question is an object."""
    answer = api.request("POST", REVIEWS, {"spec": {"nonResourceAttributes": "x"}})
    assert_refused(answer, 400, "BadRequest", "cannot unmarshal string")
