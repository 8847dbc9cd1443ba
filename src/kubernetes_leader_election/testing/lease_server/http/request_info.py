"""What a request asks for, read from method, path and query alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kubernetes_leader_election.testing.lease_server.api import selectors

__all__ = ["RequestInfo", "read_request"]

_VERBS = {
    "POST": "create",
    "GET": "get",
    "HEAD": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestInfo:
    """A request as authorisation sees it; ``resource`` is "" for other paths."""

    path: str
    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    parts: tuple[str, ...] = ()
    old_watch: bool = False

    @property
    def named(self) -> bool:
        """Return whether the path itself names one object."""
        return len(self.parts) > 1


def wants_watch(query: Mapping[str, str]) -> bool:
    """Read ``watch``: any spelling but 0 and false is a yes."""
    return "watch" in query and query["watch"].lower() not in {"0", "false"}


def read_request(method: str, path: str, query: Mapping[str, str]) -> RequestInfo:
    """Understand a path the way the real server's request info does."""
    parts = path.strip("/").split("/")
    if len(parts) < 3 or parts[0] not in {"api", "apis"}:
        return RequestInfo(path=path, verb=method.lower())
    group = ""
    parts, prefix = parts[1:], parts[0]
    if prefix == "apis":
        if len(parts) < 3:
            return RequestInfo(path=path, verb=method.lower())
        group, parts = parts[0], parts[1:]
    version, parts = parts[0], parts[1:]
    old_watch = parts[0] == "watch" and len(parts) > 1
    verb = "watch" if old_watch else _VERBS.get(method, "")
    if old_watch:
        parts = parts[1:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
            parts = parts[2:]
    name = parts[1] if len(parts) > 1 else ""
    if not name and verb == "get":
        verb = "watch" if wants_watch(query) else "list"
        name = selectors.exact_name(query.get("fieldSelector", ""))
    if not name and verb == "delete":
        verb = "deletecollection"
    return RequestInfo(
        path=path,
        verb=verb,
        group=group,
        version=version,
        resource=parts[0],
        subresource=parts[2] if len(parts) > 2 else "",
        namespace=namespace,
        name=name,
        parts=tuple(parts),
        old_watch=old_watch,
    )
