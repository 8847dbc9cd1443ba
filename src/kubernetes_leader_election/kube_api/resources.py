"""The kinds of objects that are asked for: how they are called in paths and messages."""

from __future__ import annotations

from functools import lru_cache
from typing import Final
from urllib.parse import quote

from kubernetes_leader_election.values import Value

__all__ = ["EVENTS", "LEASES", "PODS", "SLICES", "Resource"]


class Resource(Value):
    """One kind of object in a namespace."""

    kind: str
    plural: str
    group: str
    """Of the API; empty for the core group."""
    root: str
    """The path below which its namespaces are."""
    rule_names_it: bool
    """Whether the rule of RBAC that is advised gives rights on the one name only."""

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """
        Return the path of one object, or of all in the namespace; None: in all of them.

        Raises:
            ValueError: a server would take it for another path.
        """
        return _path(self, namespace, name)


LEASES: Final = Resource(
    kind="Lease",
    plural="leases",
    group="coordination.k8s.io",
    root="/apis/coordination.k8s.io/v1",
    rule_names_it=True,
)
PODS: Final = Resource(
    kind="Pod", plural="pods", group="", root="/api/v1", rule_names_it=False
)
"""The names of pods change with each of them, so no rule could name them."""
SLICES: Final = Resource(
    kind="EndpointSlice",
    plural="endpointslices",
    group="discovery.k8s.io",
    root="/apis/discovery.k8s.io/v1",
    rule_names_it=True,
)
EVENTS: Final = Resource(
    kind="Event", plural="events", group="", root="/api/v1", rule_names_it=False
)
"""Each has a name of its own, so no rule could name them."""


@lru_cache(maxsize=64)
def _path(resource: Resource, namespace: str | None, name: str | None) -> str:
    for part in (namespace, name):
        if part in {"", ".", ".."}:
            raise ValueError(
                f"{part!r} is not the name of a namespace or {resource.kind}"
            )
    if namespace is None:
        return f"{resource.root}/{resource.plural}"
    path = f"{resource.root}/namespaces/{quote(namespace, safe='')}/{resource.plural}"
    return path if name is None else f"{path}/{quote(name, safe='')}"
