"""A Lease API in memory with the client's verbs: compare and swap, and a watch."""

from __future__ import annotations

import itertools
import threading

from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.kube_api import results as r


class FakeClient:
    """One Lease; requests block their worker as the real client's do."""

    def __init__(self):
        self.changed = threading.Condition()
        self.lease = None
        self.history = []
        self.versions = itertools.count(100)
        self.writes = []
        self.raising = {}
        self.watches = 0
        self.credentials = None

    def of(self, credentials):
        """Be the client of these credentials, as the engine looks for one."""
        self.credentials = credentials
        return self

    def _trouble(self, verb):
        error = self.raising.pop(verb, None)
        if error is not None:
            raise error

    def get(self, namespace, name, *, call, needs=()):
        self._trouble("get")
        with self.changed:
            if self.lease is None:
                return r.NotFound(error=LeaseApiError("gone", status=404))
            return r.Ok(lease=self.lease)

    def replace(self, namespace, name, lease, *, call, needs=()):
        self._trouble("replace")
        with self.changed:
            metadata = lease["metadata"]
            current = self.lease["metadata"] if self.lease else {}
            mine = (metadata.get("uid"), metadata.get("resourceVersion"))
            theirs = (current.get("uid"), current.get("resourceVersion"))
            if mine != theirs:
                return r.Conflict(error=LeaseApiError("conflict", status=409))
            version = str(next(self.versions))
            stored = {
                **lease,
                "metadata": {**metadata, "uid": "u-1", "resourceVersion": version},
            }
            self.lease = stored
            self.writes.append(stored)
            self.history.append(("MODIFIED", stored))
            self.changed.notify_all()
            return r.Ok(lease=stored)

    def watch(self, namespace, name, resource_version, *, call, on_event, needs=()):
        self._trouble("watch")
        with self.changed:
            self.watches += 1
            seen = 0
        try:
            while not call.abandoned:
                with self.changed:
                    self.changed.wait_for(
                        lambda: len(self.history) > seen or call.abandoned, timeout=0.05
                    )
                    fresh, seen = self.history[seen:], len(self.history)
                for kind, lease in fresh:
                    version = lease["metadata"]["resourceVersion"]
                    if _order(version) > _order(resource_version):
                        on_event(kind, lease)
        finally:
            with self.changed:
                self.watches -= 1

    def close_idle(self):
        """Nothing is open here."""

    def drop_after_fork(self):
        """Nothing is open here."""


def _order(version):
    """Order versions: a test may have some that are not numbers, such as v7."""
    return int(version.lstrip("v"))
