"""The few kinds of objects the server keeps, and where they live."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "EVENTS",
    "KEPT",
    "LEASES",
    "NAMESPACES",
    "PODS",
    "RESOURCES",
    "SLICES",
    "Resource",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resource:
    """
    One kind of object: its API group, its name in paths, and its scope.

    Compared by identity, which is what keys of the store need to be quick.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    kept: bool = False
    """Whether it is kept as it was sent: nothing in it is judged, and nobody acts on it."""
    status: bool = False
    """Whether its status is written apart from the rest, below a path of its own."""
    created_by_put: bool = True
    """Whether a PUT creates one that is not there."""
    needs_version: bool = True
    """Whether a PUT has to say which version it replaces."""

    @property
    def qualified(self) -> str:
        """Name the resource as messages do, as in ``leases.coordination.k8s.io``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """Name group and version as objects do."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """Return the path under which the group version is served."""
        if self.group:
            return f"/apis/{self.group}/{self.version}"
        return f"/api/{self.version}"


LEASES = Resource(
    group="coordination.k8s.io", version="v1", plural="leases", kind="Lease"
)
NAMESPACES = Resource(
    group="",
    version="v1",
    plural="namespaces",
    kind="Namespace",
    namespaced=False,
    short_names=("ns",),
)
PODS = Resource(
    group="",
    version="v1",
    plural="pods",
    kind="Pod",
    short_names=("po",),
    kept=True,
    status=True,
    created_by_put=False,
    needs_version=False,
)
SLICES = Resource(
    group="discovery.k8s.io",
    version="v1",
    plural="endpointslices",
    kind="EndpointSlice",
    kept=True,
    created_by_put=False,
    needs_version=False,
)
EVENTS = Resource(
    group="",
    version="v1",
    plural="events",
    kind="Event",
    short_names=("ev",),
    kept=True,
    needs_version=False,
)
KEPT = (
    PODS,
    SLICES,
    EVENTS,
    *(
        Resource(
            group=group,
            version="v1",
            plural=f"{kind.lower()}s",
            kind=kind,
            short_names=short_names,
            kept=True,
        )
        for group, kind, short_names in (
            ("", "ServiceAccount", ("sa",)),
            ("", "Service", ("svc",)),
            ("apps", "Deployment", ("deploy",)),
            ("policy", "PodDisruptionBudget", ("pdb",)),
            ("rbac.authorization.k8s.io", "Role", ()),
            ("rbac.authorization.k8s.io", "RoleBinding", ()),
        )
    ),
)
"""What electors read and write beside Leases, and what `kle manifests` prints, so that
kubectl can apply it here, too."""
RESOURCES = (LEASES, NAMESPACES, *KEPT)
