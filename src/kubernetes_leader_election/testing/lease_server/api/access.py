"""
Who asks, and may they: bearer tokens, users, and Roles in their usual YAML.

The rules are those of RBAC: verbs, API groups, resources and resource names, bound to
users, groups and service accounts, in one namespace or in all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.testing.lease_server.api.resources import Resource
from kubernetes_leader_election.testing.lease_server.http import statuses
from kubernetes_leader_election.testing.lease_server.http.request_info import (
    RequestInfo,
)

__all__ = ["ADMIN", "ANONYMOUS", "Access", "Rule", "User"]

AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
MASTERS = "system:masters"
PUBLIC_PATHS = ("/healthz", "/livez", "/readyz", "/version", "/version/")
DISCOVERY_PATHS = (
    *PUBLIC_PATHS,
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/openapi",
    "/openapi/*",
)


@dataclass(frozen=True, slots=True)
class User:
    """
    Somebody with a token, and the Roles bound to them.

    ``roles`` are Role or ClusterRole documents, as YAML text or as dictionaries; a Role
    counts in its ``metadata.namespace`` (``default`` if it names none), a ClusterRole
    everywhere.
    """

    name: str
    token: str = field(default="", repr=False)
    groups: tuple[str, ...] = ()
    roles: tuple[str | Mapping[str, Any], ...] = ()

    @property
    def all_groups(self) -> frozenset[str]:
        """Return the user's groups, with those everybody is in."""
        if self.name == ANONYMOUS_NAME:
            return frozenset({*self.groups, UNAUTHENTICATED})
        own = {*self.groups, AUTHENTICATED}
        if self.name.startswith("system:serviceaccount:"):
            namespace = self.name.split(":")[2]
            own |= {"system:serviceaccounts", f"system:serviceaccounts:{namespace}"}
        return frozenset(own)


ANONYMOUS_NAME = "system:anonymous"
ANONYMOUS = User(ANONYMOUS_NAME)
ADMIN = User("admin", groups=(MASTERS,))


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a Role."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str]
    namespace: str | None

    @classmethod
    def read(cls, rule: Mapping[str, Any], namespace: str | None) -> Rule:
        """Read a rule as YAML has it; ``namespace`` None means everywhere."""
        return cls(
            verbs=frozenset(rule.get("verbs") or ()),
            groups=frozenset(rule.get("apiGroups") or ()),
            resources=frozenset(rule.get("resources") or ()),
            names=frozenset(rule.get("resourceNames") or ()),
            namespace=namespace,
        )

    def allows(
        self, verb: str, group: str, resource: str, namespace: str, name: str
    ) -> bool:
        """Return whether this rule allows the request."""
        if self.namespace is not None and self.namespace != namespace:
            return False
        if not {verb, "*"} & self.verbs or not {group, "*"} & self.groups:
            return False
        if not {resource, "*"} & self.resources:
            return False
        return not self.names or name in self.names


class Access:
    """All users, tokens and rules; may be changed while requests are served."""

    def __init__(self, users: Iterable[User] = (), *, open_access: bool) -> None:
        self.open_access = open_access
        self._users: dict[str, User] = {}
        self._tokens: dict[str, str] = {}
        self._rules: dict[str, tuple[Rule, ...]] = {}
        self._bound: list[tuple[str, str, Rule]] = []
        for user in users:
            self.add(user)

    def add(self, user: User) -> None:
        """Add a user, or put this one in the place of a namesake."""
        rules = [rule for role in user.roles for rule in _role_rules(role)]
        self.remove_tokens(user.name)
        self._users[user.name] = user
        self._rules[user.name] = tuple(rules)
        if user.token:
            self._tokens[user.token] = user.name

    def remove_tokens(self, name: str) -> None:
        """Make every token of a user worthless."""
        stale = [token for token, owner in self._tokens.items() if owner == name]
        for token in stale:
            del self._tokens[token]

    def user(self, name: str) -> User:
        """
        Return a user by name.

        Raises:
            ConfigurationError: There is none; the message lists the known ones.
        """
        if name not in self._users:
            known = ", ".join(sorted(self._users)) or "none"
            raise ConfigurationError(
                f"the server has no user {name!r}; known: {known}", option="user"
            )
        return self._users[name]

    @property
    def users(self) -> Sequence[User]:
        """Return all users."""
        return list(self._users.values())

    def load(self, manifests: str) -> None:
        """
        Read Roles, ClusterRoles and their bindings from YAML, as kubectl would.

        Other kinds of objects are passed over, so that a whole deployment file will do.
        """
        documents = _read_yaml(manifests)
        roles = {
            (one["kind"], _namespace(one), one["metadata"]["name"]): one
            for one in documents
            if one.get("kind") in {"Role", "ClusterRole"}
        }
        for one in documents:
            if one.get("kind") not in {"RoleBinding", "ClusterRoleBinding"}:
                continue
            everywhere = one["kind"] == "ClusterRoleBinding"
            space = None if everywhere else _namespace(one)
            wanted = one["roleRef"]
            place = _namespace(one) if wanted["kind"] == "Role" else ""
            role = roles.get((wanted["kind"], place, wanted["name"]))
            if role is None:
                raise ConfigurationError(
                    f"{one['kind']} {one['metadata']['name']!r} binds "
                    f"{wanted['kind']} {wanted['name']!r}, which is not given",
                    option="manifests",
                )
            rules = [Rule.read(rule, space) for rule in role.get("rules") or ()]
            for subject in one.get("subjects") or ():
                kind, name = _subject(subject, space or "")
                self._bound += [(kind, name, rule) for rule in rules]

    def authenticate(self, authorization: str | None) -> User:
        """
        Find out who asks.

        Raises:
            ApiError: 401 for a token nobody has.
        """
        scheme, _, token = (authorization or "").strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return ADMIN if self.open_access else ANONYMOUS
        name = self._tokens.get(token)
        if name is None:
            raise statuses.unauthorized()
        return self._users[name]

    def allows(
        self,
        user: User,
        verb: str,
        resource: tuple[str, str],
        namespace: str,
        name: str,
    ) -> bool:
        """Return whether the user may do this to ``resource``, a group and a plural."""
        groups = user.all_groups
        if MASTERS in groups:
            return True
        request = (verb, *resource, namespace, name)
        if any(rule.allows(*request) for rule in self._rules.get(user.name, ())):
            return True
        return any(
            (kind == "User" and subject == user.name)
            or (kind == "Group" and subject in groups)
            for kind, subject, rule in self._bound
            if rule.allows(*request)
        )

    def check(self, user: User, info: RequestInfo, resource: Resource | None) -> None:
        """
        Let a request pass.

        Raises:
            ApiError: 403, in the words of the real server.
        """
        if not info.resource:
            self._check_path(user, info)
            return
        plural = info.resource
        if info.subresource:
            plural = f"{plural}/{info.subresource}"
        allowed = self.allows(
            user, info.verb, (info.group, plural), info.namespace, info.name
        )
        if allowed or (resource is None and _is_self_review(user, info)):
            return
        shown = resource or Resource(
            group=info.group, version=info.version, plural=info.resource, kind=""
        )
        raise refusal(user, info.verb, shown, info)

    def allows_path(self, user: User, verb: str, path: str) -> bool:
        """Return whether the user may do this to a path that is no resource."""
        groups = user.all_groups
        paths = DISCOVERY_PATHS if AUTHENTICATED in groups else PUBLIC_PATHS
        return MASTERS in groups or (verb == "get" and _path_listed(path, paths))

    def _check_path(self, user: User, info: RequestInfo) -> None:
        if self.allows_path(user, info.verb, info.path):
            return
        why = f'User "{user.name}" cannot {info.verb} path "{info.path}"'
        raise statuses.forbidden(None, "", why)


def refusal(
    user: User, verb: str, resource: Resource, info: RequestInfo
) -> statuses.ApiError:
    """Say what the user cannot do, in the words of the real server."""
    plural = resource.plural
    if info.subresource:
        plural = f"{plural}/{info.subresource}"
    where = (
        f'in the namespace "{info.namespace}"'
        if info.namespace
        else "at the cluster scope"
    )
    why = (
        f'User "{user.name}" cannot {verb} resource "{plural}" in API group '
        f'"{resource.group}" {where}'
    )
    return statuses.forbidden(resource, info.name, why)


def _is_self_review(user: User, info: RequestInfo) -> bool:
    """Everybody with a name may ask what they may do."""
    return (
        AUTHENTICATED in user.all_groups
        and info.verb == "create"
        and info.resource in {"selfsubjectaccessreviews", "selfsubjectreviews"}
    )


def _path_listed(path: str, listed: Sequence[str]) -> bool:
    return any(
        path.startswith(one[:-1]) if one.endswith("*") else path == one
        for one in listed
    )


def _namespace(document: Mapping[str, Any]) -> str:
    if document["kind"].startswith("Cluster"):
        return ""
    namespace: str = document["metadata"].get("namespace") or "default"
    return namespace


def _subject(subject: Mapping[str, Any], namespace: str) -> tuple[str, str]:
    if subject["kind"] == "ServiceAccount":
        space = subject.get("namespace") or namespace
        return "User", f"system:serviceaccount:{space}:{subject['name']}"
    return subject["kind"], subject["name"]


def _read_yaml(text: str) -> list[dict[str, Any]]:
    import yaml  # noqa: PLC0415  # needed only by servers which are given YAML

    try:
        documents = [one for one in yaml.safe_load_all(text) if one]
    except yaml.YAMLError as error:
        raise ConfigurationError(
            f"the roles are not YAML: {error}", option="roles"
        ) from error
    if not all(isinstance(one, dict) and "kind" in one for one in documents):
        raise ConfigurationError(
            "the roles are not Kubernetes objects: each needs a kind", option="roles"
        )
    return documents


def _role_rules(role: str | Mapping[str, Any]) -> Iterable[Rule]:
    documents = _read_yaml(role) if isinstance(role, str) else [role]
    for document in documents:
        if document.get("kind") not in {"Role", "ClusterRole"}:
            raise ConfigurationError(
                f"a user's role must be a Role or ClusterRole, not "
                f"{document.get('kind')!r}; give bindings as manifests",
                option="roles",
            )
        space = None
        if document["kind"] == "Role":
            space = document.get("metadata", {}).get("namespace") or "default"
        yield from (Rule.read(rule, space) for rule in document.get("rules") or ())
