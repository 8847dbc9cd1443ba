"""What the server said is passed on; advice about rights stands only where one is missing."""

from __future__ import annotations

import re

import pytest

from kubernetes_leader_election.kube_api.results import Conflict, Refused, Unknown
from kubernetes_leader_election.rights import ASKING, OBSERVING, READING

LEASE = 'leases.coordination.k8s.io "demo" is forbidden: '
IN_APPS = 'in API group "coordination.k8s.io" in the namespace "apps"'
NO_RIGHT = f'{LEASE}User "bob" cannot update resource "leases" {IN_APPS}'

NOT_RBAC = {
    "a webhook of Gatekeeper": (
        403,
        "",
        (
            'admission webhook "validation.gatekeeper.sh" denied the request: '
            '[owners] you must provide labels: {"owner"}'
        ),
        'admission webhook "validation.gatekeeper.sh" refuses it',
    ),
    "a webhook that speaks of a verb": (
        403,
        "",
        (
            'admission webhook "x.example" denied the request: is forbidden: User "bob" '
            'cannot update resource "leases"'
        ),
        'admission webhook "x.example" refuses it',
    ),
    "a webhook that gives no reason": (
        400,
        "",
        'admission webhook "x.example" denied the request without explanation',
        'admission webhook "x.example" refuses it',
    ),
    "a webhook that chose 401": (
        401,
        "",
        'admission webhook "x.example" denied the request: who are you?',
        'admission webhook "x.example" refuses it',
    ),
    "a webhook that chose 404": (
        404,
        "NotFound",
        'admission webhook "x.example" denied the request: no owner found',
        'admission webhook "x.example" refuses it',
    ),
    "a webhook that chose 409": (
        409,
        "Conflict",
        'admission webhook "x.example" denied the request: one leader is enough',
        'admission webhook "x.example" refuses it',
    ),
    "a ValidatingAdmissionPolicy with reason Forbidden": (
        403,
        "Forbidden",
        (
            f"{LEASE}ValidatingAdmissionPolicy 'long' with binding 'all' denied request: "
            "leases must be long"
        ),
        "ValidatingAdmissionPolicy 'long' refuses it",
    ),
    "a ValidatingAdmissionPolicy with its usual reason": (
        422,
        "Invalid",
        (
            f"{LEASE}ValidatingAdmissionPolicy 'long' with binding 'all' denied request: "
            "failed expression: object.spec.leaseDurationSeconds > 200"
        ),
        "ValidatingAdmissionPolicy 'long' refuses it",
    ),
    "a quota": (
        403,
        "Forbidden",
        (
            f"{LEASE}exceeded quota: few, requested: count/leases.coordination.k8s.io=1, "
            "used: count/leases.coordination.k8s.io=3, limited: "
            "count/leases.coordination.k8s.io=3"
        ),
        "quota: few refuses it",
    ),
    "a mesh": (403, "", "RBAC: access denied", "names no missing right"),
    "a proxy": (403, "", "<html>Forbidden</html>", "names no missing right"),
    "nothing said": (403, "Forbidden", "", "names no missing right"),
}


def refused(serve, connect, call, answer, kind="application/json", **needs):
    """Send a write to a server that refuses it; give the result."""
    code, body = answer

    def handle(peer):
        while peer.read() is not None:
            peer.reply(code, body, kind=kind)

    lease = {
        "metadata": {"name": "demo", "namespace": "apps", "resourceVersion": "7"},
        "spec": {},
    }
    client = connect(serve(handle))
    return client.replace("apps", "demo", lease, call=call(), **needs)


@pytest.mark.parametrize(
    ("code", "reason", "said", "advised"), NOT_RBAC.values(), ids=NOT_RBAC.keys()
)
def test_refusal_that_is_not_of_rbac_speaks_of_no_rule(
    serve, connect, call, status, code, reason, said, advised
):
    """Fault 34: the server's words and the policy's name; no right that would not help."""
    answer = code, status(code, reason, said, kind="leases")
    result = refused(serve, connect, call, answer)
    text = str(result.error)
    assert type(result) is Refused
    assert result.error.outcome == "not done"
    assert said in text
    assert advised in text
    assert "Role" not in text
    assert "verbs:" not in text
    assert "expired, revoked" not in text
    assert "There is no Lease API" not in text


@pytest.mark.parametrize("needs", [None, OBSERVING, READING, ASKING])
def test_advice_asks_for_the_rights_that_are_needed(
    serve, connect, call, status, needs
):
    """An elector needs to write, who only looks does not, whatever verb is missing."""
    said = f'{LEASE}User "bob" cannot get resource "leases" {IN_APPS}'
    answer = 403, status(403, "Forbidden", said, kind="leases")
    given = {} if needs is None else {"needs": needs}
    text = str(refused(serve, connect, call, answer, **given).error)
    verbs = ", ".join(needs or ("get", "create", "update", "watch"))
    assert f"resourceNames: [demo], verbs: [{verbs}]" in text
    assert "Role in namespace apps that is bound to bob" in text


OTHER_RIGHTS = {
    "impersonation": (
        (
            'users "jane" is forbidden: User "bob" cannot impersonate resource "users" '
            'in API group "" at the cluster scope'
        ),
        'The verb "impersonate" on users is missing for bob.',
    ),
    "another resource": (
        (
            'pods is forbidden: User "bob" cannot list resource "pods" in API group "" in '
            'the namespace "apps"'
        ),
        'The verb "list" on pods is missing for bob.',
    ),
    "another group": (
        (
            'leases.example.org is forbidden: User "bob" cannot get resource "leases" in '
            'API group "example.org" in the namespace "apps"'
        ),
        'The verb "get" on leases.example.org is missing for bob.',
    ),
    "a path": (
        'forbidden: User "bob" cannot get path "/version"',
        'bob may not get the path "/version".',
    ),
    "a broken binding": (
        f'{NO_RIGHT}: RBAC: role.rbac.authorization.k8s.io "x" not found',
        "resourceNames: [demo], verbs: [get, create, update, watch]",
    ),
}


@pytest.mark.parametrize(
    ("said", "advised"), OTHER_RIGHTS.values(), ids=OTHER_RIGHTS.keys()
)
def test_missing_right_is_named_as_it_is(serve, connect, call, status, said, advised):
    """A rule about Leases helps only where a right on Leases is missing."""
    answer = 403, status(403, "Forbidden", said)
    text = str(refused(serve, connect, call, answer).error)
    assert advised in text
    assert ("resources: [leases]" in text) == ("verbs:" in advised)


TOO_LONG = {
    "the time that we asked for": "Timeout: request did not complete within the "
    "allotted timeout",
    "the time of a webhook": 'Internal error occurred: failed calling webhook "x": '
    'failed to call webhook: Post "https://x/?timeout=3s": context deadline exceeded',
    "a storage that hangs": "etcdserver: request timed out",
}


@pytest.mark.parametrize("said", TOO_LONG.values(), ids=TOO_LONG.keys())
def test_answer_that_took_too_long_says_how_long(serve, connect, call, status, said):
    """The measured time stands in the error, so that the option can be chosen."""
    result = refused(serve, connect, call, (504, status(504, "Timeout", said)))
    assert type(result) is Unknown
    text = str(result.error)
    assert said in text
    assert re.search(r"It took [0-9]+\.[0-9]{2} s\. Whether it was applied", text)


def test_conflict_of_the_server_stays_one(serve, connect, call, status):
    """Only a webhook's 409 is a refusal."""
    said = (
        'Operation cannot be fulfilled on leases.coordination.k8s.io "demo": the object '
        "has been modified"
    )
    answer = 409, status(409, "Conflict", said, kind="leases")
    assert type(refused(serve, connect, call, answer)) is Conflict
