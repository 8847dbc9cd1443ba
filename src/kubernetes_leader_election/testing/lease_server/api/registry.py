"""
What a write must obey: the rules of the real server, in its order of checks.

Pure, like the storage below it: the moment, the new uid and the right to create come
in as arguments. Reads of one object and of lists stand here too, so that the
application above knows HTTP and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kubernetes_leader_election.testing.lease_server.api import (
    endpoint_slices,
    event_objects,
    pods,
    validation,
)
from kubernetes_leader_election.testing.lease_server.api.deletion import (
    DeleteOptions,
    check_preconditions,
    deletion_finalizers,
    marked,
)
from kubernetes_leader_election.testing.lease_server.api.managed_fields import (
    body_of,
    track_update,
)
from kubernetes_leader_election.testing.lease_server.api.resources import (
    EVENTS,
    KEPT,
    LEASES,
    NAMESPACES,
    PODS,
    SLICES,
    Resource,
)
from kubernetes_leader_election.testing.lease_server.http import statuses
from kubernetes_leader_election.testing.lease_server.http.statuses import FieldError
from kubernetes_leader_election.testing.lease_server.kubectl.go_time import (
    write_seconds,
)
from kubernetes_leader_election.testing.lease_server.storage.store import (
    Key,
    Store,
    Stored,
)

__all__ = ["Registry", "WriteOptions", "parse_version"]

MAX_VERSION = 2**64 - 1
IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
"""Namespaces the real server refuses to delete."""

DEFAULT_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """
    What accompanies a write: the aware UTC moment, the manager, and dryRun.

    ``track`` is False for an apply, which keeps the managers' books itself.
    """

    now: datetime
    manager: str = "unknown"
    dry_run: bool = False
    track: bool = True


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of a write: the object, and whether it is new or gone."""

    stored: Stored
    created: bool = False
    deleted: bool = False


def parse_version(text: str) -> int:
    """
    Read a resourceVersion as Go does; "" is 0, leading zeros do no harm.

    Raises:
        ValueError: With the text Go gives.
    """
    if not text:
        return 0
    quoted = f'strconv.ParseUint: parsing "{text}"'
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{quoted}: invalid syntax")
    if len(text) > 40 or int(text) > MAX_VERSION:
        raise ValueError(f"{quoted}: value out of range")
    return int(text)


def _is_version(text: str) -> bool:
    """Return whether a text is a version above zero; what is unreadable is none."""
    try:
        return parse_version(text) > 0
    except ValueError:
        return False


def _object_version(document: dict[str, Any]) -> int:
    try:
        return parse_version(document["metadata"].get("resourceVersion", ""))
    except ValueError as error:
        raise statuses.internal(str(error)) from error


@dataclass
class Registry:
    """Apply the rules of the API to a store."""

    store: Store
    new_uid: Callable[[], str]
    new_suffix: Callable[[], str]
    coordinated: bool = False
    """Is the gate CoordinatedLeaderElection on? It is off by default."""

    terminating: set[str] = field(default_factory=set, init=False)

    def add_namespace(self, name: str, now: datetime) -> None:
        """Create a namespace, if it is not there."""
        if self.store.get((NAMESPACES, "", name)) is None:
            document: dict[str, Any] = {"metadata": {"name": name}, "spec": {}}
            self.create(NAMESPACES, "", document, WriteOptions(now=now))

    def create(
        self,
        resource: Resource,
        namespace: str,
        document: dict[str, Any],
        options: WriteOptions,
    ) -> Stored:
        """
        Create an object by POST.

        Raises:
            ApiError: The object exists, or breaks a rule.
        """
        fresh = self._prepared(resource, namespace, document, options)
        metadata = fresh["metadata"]
        generated = "name" not in metadata and metadata.get("generateName")
        if generated:
            metadata = {"name": generated[:58] + self.new_suffix(), **metadata}
            fresh["metadata"] = metadata
        self._check_create(resource, fresh)
        if _is_version(metadata.get("resourceVersion", "")):
            raise statuses.internal(
                "resourceVersion should not be set on objects to be created"
            )
        metadata.pop("resourceVersion", None)
        name = metadata["name"]
        existing = self.store.get((resource, namespace, name))
        if existing is not None:
            ending = "deletionTimestamp" in existing.document["metadata"]
            raise statuses.already_exists(resource, name, being_deleted=ending)
        return self._put((resource, namespace, name), fresh, options)

    def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        make: Callable[[Stored | None], dict[str, Any]],
        options: WriteOptions,
        *,
        uid: str = "",
        may_create: Callable[[], None] | None = None,
        status: bool = False,
    ) -> Written:
        """
        Replace an object by what ``make`` makes of the present one.

        ``may_create`` raises where this user must not create; None forbids creating.
        ``status``: the status is written, and nothing else.

        Raises:
            ApiError: Another uid or version than the present one, or a broken rule.
        """
        key = (resource, namespace, name)
        existing = self.store.get(key)
        if existing is None and may_create is None:
            raise statuses.not_found(resource, name)
        found = existing.uid if existing is not None else ""
        if uid and uid != found:
            raise statuses.uid_conflict(resource, namespace, name, uid, found)
        document = make(existing)
        version = _object_version(document)
        if existing is None:
            assert may_create is not None
            fresh = self._prepared(resource, namespace, document, options)
            self._check_create(resource, fresh)
            may_create()
            fresh["metadata"].pop("resourceVersion", None)
            return Written(self._put(key, fresh, options), created=True)
        self._check_version(resource, name, version, existing)
        replacement = self._replacement(
            resource, document, existing, options, status=status
        )
        return self._replace(key, replacement, existing, options)

    def delete(
        self, resource: Resource, namespace: str, name: str, options: DeleteOptions
    ) -> Written:
        """
        Delete an object, or mark it where finalizers hold it.

        Raises:
            ApiError: It is not there, or a precondition does not hold.
        """
        key = (resource, namespace, name)
        existing = self.store.get(key)
        if existing is None:
            raise statuses.not_found(resource, name)
        check_preconditions(resource, name, existing, options)
        if resource is NAMESPACES:
            return self._end_namespace(key, existing, options)
        document = existing.document
        finalizers = deletion_finalizers(
            document["metadata"].get("finalizers", []), options.propagation
        )
        metadata = document["metadata"]
        waits = bool(finalizers)
        if resource is PODS:
            metadata = pods.with_grace(document, options)
            waits = waits or metadata["deletionGracePeriodSeconds"] > 0
        if waits:
            metadata = marked(metadata, finalizers, options.now)
            write = WriteOptions(now=options.now, dry_run=options.dry_run)
            held = {**document, "metadata": metadata}
            return self._replace(key, held, existing, write)
        if options.dry_run:
            return Written(existing, deleted=True)
        if metadata is not document["metadata"]:
            # A server marks a pod that it removes at once as well: a watch tells both.
            metadata = marked(metadata, finalizers, options.now)
            write = WriteOptions(now=options.now)
            self._put(key, {**document, "metadata": metadata}, write)
        return Written(self.store.remove(key), deleted=True)

    def _end_namespace(
        self, key: Key, existing: Stored, options: DeleteOptions
    ) -> Written:
        if key[2] in IMMORTAL:
            why = "this namespace may not be deleted"
            raise statuses.forbidden(NAMESPACES, key[2], why)
        document = existing.document
        if "deletionTimestamp" in document["metadata"]:
            return Written(existing)
        ended = {
            **document,
            "metadata": {
                **document["metadata"],
                "deletionTimestamp": write_seconds(options.now),
            },
            "status": {"phase": "Terminating"},
        }
        write = WriteOptions(now=options.now, dry_run=options.dry_run)
        return self._replace(key, ended, existing, write)

    def remove_namespace(self, name: str) -> None:
        """Do what the namespace controller does in the end: take all of it away."""
        for resource in (LEASES, *KEPT):
            for stored in self.store.objects(resource, name):
                own = stored.document["metadata"]["name"]
                self.store.remove((resource, name, own))
        if self.store.get((NAMESPACES, "", name)) is not None:
            self.store.remove((NAMESPACES, "", name))

    def _prepared(
        self,
        resource: Resource,
        namespace: str,
        document: dict[str, Any],
        options: WriteOptions,
    ) -> dict[str, Any]:
        """Return a new object the fields only the server sets."""
        given = dict(document["metadata"])
        for key in (
            "creationTimestamp",
            "uid",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
        ):
            given.pop(key, None)
        metadata: dict[str, Any] = {}
        for key in ("name", "generateName"):
            if key in given:
                metadata[key] = given.pop(key)
        asked = given.pop("namespace", "")
        if resource.namespaced:
            if asked and asked != namespace:
                raise statuses.bad_request(
                    "the namespace of the provided object does not match the "
                    "namespace sent on the request"
                )
            metadata["namespace"] = namespace
            self._check_namespace(resource, namespace, metadata.get("name", ""))
        metadata["uid"] = self.new_uid()
        if "resourceVersion" in given:
            metadata["resourceVersion"] = given.pop("resourceVersion")
        if "generation" in given:
            metadata["generation"] = given.pop("generation")
        metadata["creationTimestamp"] = write_seconds(options.now)
        fresh = {
            "kind": resource.kind,
            "apiVersion": resource.api_version,
            "metadata": {**metadata, **given},
            **body_of(document),
        }
        if resource is NAMESPACES:
            _prepare_namespace(fresh)
        elif resource is PODS:
            fresh["metadata"]["generation"] = 1
            fresh["status"] = pods.first_status(fresh["spec"])
        elif resource is SLICES:
            fresh["metadata"]["generation"] = 1
            endpoint_slices.fill_in(fresh)
        elif resource is EVENTS:
            event_objects.fill_in(fresh)
        elif not resource.kept:
            fresh["spec"] = self._allowed_spec(document["spec"], {})
        if options.track:
            # Judged by what was sent: dropped fields appear in the books, as there.
            books = {**fresh, **body_of(document)}
            _set_managers(fresh, track_update(None, books, options))
        return fresh

    def _allowed_spec(
        self, spec: dict[str, Any], before: dict[str, Any]
    ) -> dict[str, Any]:
        """Drop the fields of a gate that is off, unless they are stored already."""
        gated = ("strategy", "preferredHolder")
        if self.coordinated or not any(key in spec for key in gated):
            return spec
        return {
            key: value
            for key, value in spec.items()
            if key not in gated or before.get(key) is not None
        }

    def _check_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        space = self.store.get((NAMESPACES, "", namespace))
        if space is None:
            raise statuses.not_found(NAMESPACES, namespace)
        if space.document["status"].get("phase") != "Terminating":
            return
        why = (
            f"unable to create new content in namespace {namespace} because it is "
            "being terminated"
        )
        refusal = statuses.forbidden(resource, name, why)
        cause = statuses.Cause(
            reason="NamespaceTerminating",
            message=f"namespace {namespace} is being terminated",
            field="metadata.namespace",
        )
        refusal.details = {**(refusal.details or {}), "causes": [cause.document()]}
        raise refusal

    def _check_create(self, resource: Resource, document: dict[str, Any]) -> None:
        found = validation.validate_create(resource, document)
        if found:
            name = document["metadata"].get("name", "")
            raise statuses.invalid(resource, name, found)

    def _check_version(
        self, resource: Resource, name: str, version: int, existing: Stored
    ) -> None:
        if version == 0 and not resource.needs_version:
            return  # those may be overwritten, whatever they are now
        if version == 0:
            text = "must be specified for an update"
            errors = [FieldError.invalid("metadata.resourceVersion", 0, text)]
            raise statuses.invalid(resource, name, errors, kind=resource.plural)
        if version != existing.revision:
            raise statuses.conflict(resource, name)

    def _replacement(
        self,
        resource: Resource,
        document: dict[str, Any],
        existing: Stored,
        options: WriteOptions,
        *,
        status: bool,
    ) -> dict[str, Any]:
        """Restore what an update cannot change, and judge the rest."""
        old = existing.document
        given, before = document["metadata"], old["metadata"]
        metadata = {"name": given["name"]} if "name" in given else {}
        if "generateName" in given:
            metadata["generateName"] = given["generateName"]
        if resource.namespaced:
            metadata["namespace"] = before["namespace"]
        metadata["uid"] = given.get("uid") or before["uid"]
        metadata["resourceVersion"] = before["resourceVersion"]
        if "generation" in before:
            metadata["generation"] = before["generation"]
        metadata["creationTimestamp"] = before["creationTimestamp"]
        for key in ("deletionTimestamp", "deletionGracePeriodSeconds"):
            if key in before and (key == "deletionTimestamp" or key not in given):
                metadata[key] = before[key]
        fixed = (*metadata, "generation", "namespace", "selfLink")
        metadata.update((key, given[key]) for key in given if key not in fixed)
        updated = {
            "kind": resource.kind,
            "apiVersion": resource.api_version,
            "metadata": metadata,
            **body_of(document),
        }
        if resource is NAMESPACES:
            updated.update(spec=old["spec"], status=old["status"])
        elif resource is PODS:
            pods.keep_other_parts(updated, old, status=status)
            metadata = updated["metadata"]
        elif resource is SLICES:
            endpoint_slices.fill_in(updated)
            endpoint_slices.count_change(updated, old)
        elif resource is EVENTS:
            event_objects.fill_in(updated)
        elif not resource.kept:
            updated["spec"] = self._allowed_spec(document["spec"], old["spec"])
        if options.track:
            books = {**updated, **body_of(document)}
            _set_managers(updated, track_update(old, books, options))
        elif not metadata.get("managedFields"):
            metadata.pop("managedFields", None)
        found = validation.validate_update(resource, updated, old)
        if found:
            raise statuses.invalid(resource, metadata.get("name", ""), found)
        return updated

    def _replace(
        self,
        key: Key,
        document: dict[str, Any],
        existing: Stored,
        options: WriteOptions,
    ) -> Written:
        before = existing.document["metadata"]
        if (
            "deletionTimestamp" in before
            and not document["metadata"].get("finalizers")
            and not before.get("deletionGracePeriodSeconds")
            and key[0] is not NAMESPACES
        ):
            # The last finalizer went: the answer is the object as it was sent.
            if not options.dry_run:
                self.store.remove(key)
            return Written(Stored(document, existing.revision))
        if _same(document, existing.document):
            return Written(existing)
        if options.dry_run:
            return Written(Stored(document, existing.revision))
        return Written(self.store.put(key, document))

    def _put(self, key: Key, document: dict[str, Any], options: WriteOptions) -> Stored:
        if options.dry_run:
            return Stored(document, 0)
        return self.store.put(key, document)


def _set_managers(document: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    metadata = {
        key: value
        for key, value in document["metadata"].items()
        if key != "managedFields"
    }
    if entries:
        metadata["managedFields"] = entries
    document["metadata"] = metadata


def _prepare_namespace(fresh: dict[str, Any]) -> None:
    metadata = fresh["metadata"]
    if "name" in metadata:
        labels = {
            **metadata.get("labels", {}),
            "kubernetes.io/metadata.name": metadata["name"],
        }
        metadata["labels"] = dict(sorted(labels.items()))
    fresh["spec"] = {"finalizers": ["kubernetes"]}
    fresh["status"] = {"phase": "Active"}


def _same(document: dict[str, Any], stored: dict[str, Any]) -> bool:
    """Would this write change a byte? A manager's new time alone does not count."""
    if body_of(document) != body_of(stored):
        return False
    new, old = document["metadata"], stored["metadata"]
    if new == old:
        return True
    return _timeless(new) == _timeless(old)


def _timeless(metadata: dict[str, Any]) -> dict[str, Any]:
    entries = [
        {key: value for key, value in entry.items() if key != "time"}
        for entry in metadata.get("managedFields", ())
    ]
    return {**metadata, "managedFields": entries}
