"""The verbs on one EndpointSlice that keeping the leader's address in it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubernetes_leader_election.kube_api.call import Call
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.kube_api.decoding import encode
from kubernetes_leader_election.kube_api.failures import Request
from kubernetes_leader_election.kube_api.resources import SLICES
from kubernetes_leader_election.kube_api.results import Answered, Failure
from kubernetes_leader_election.kube_api.transport import Wire
from kubernetes_leader_election.rights import ADDRESSING


class SliceClient:
    """
    Read and write one EndpointSlice, over the connections of a :class:`~.client.LeaseClient`.

    Every verb names the slice in its path, so that a rule of RBAC with ``resourceNames``
    is enough: that is why it is created by server-side apply, and not by a POST, whose
    path names nothing. A call blocks its thread and never raises for anything a server
    or network may do.
    """

    def __init__(self, client: LeaseClient, namespace: str, name: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name

    def get(self, *, call: Call) -> Answered | Failure:
        """Read the slice with quorum; a missing one is a NotFound."""
        wire = Wire(method="GET", path=self._path)
        return self._client.read(self._request("get"), wire, call)

    def create(
        self, body: Mapping[str, Any], *, manager: str, call: Call
    ) -> Answered | Failure:
        """
        Create the slice. Blocks.

        A Conflict where somebody else was faster, as long as ``manager`` is a name of
        this one try: what another manager has set is never taken from it.
        """
        wire = Wire(
            method="PATCH",
            path=self._path,
            query={"fieldManager": manager},
            body=encode(body),
            media_type="application/apply-patch+yaml",  # of which JSON is a part
        )
        return self._client.read(self._request("patch", creating=True), wire, call)

    def patch(
        self, patch: Mapping[str, Any], *, version: str, call: Call
    ) -> Answered | Failure:
        """Merge a patch into just that version of it; a Conflict if it is another now."""
        metadata = {**patch.get("metadata", {}), "resourceVersion": version}
        wire = Wire(
            method="PATCH",
            path=self._path,
            body=encode({**patch, "metadata": metadata}),
            media_type="application/merge-patch+json",
        )
        return self._client.read(self._request("patch"), wire, call)

    @property
    def _path(self) -> str:
        return SLICES.path(self._namespace, self._name)

    def _request(self, verb: str, *, creating: bool = False) -> Request:
        return Request(
            verb=verb,
            namespace=self._namespace,
            name=self._name,
            creating=creating,
            resource=SLICES,
            needs=ADDRESSING,
        )
