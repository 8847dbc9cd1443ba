"""Everything a request can do to objects, but watch them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kubernetes_leader_election.testing.lease_server.api import (
    access,
    apply,
    decoding,
    options,
    patches,
    selectors,
)
from kubernetes_leader_election.testing.lease_server.api.access import Access
from kubernetes_leader_election.testing.lease_server.api.registry import (
    Registry,
    WriteOptions,
    Written,
)
from kubernetes_leader_election.testing.lease_server.api.resources import (
    LEASES,
    NAMESPACES,
    PODS,
    Resource,
)
from kubernetes_leader_election.testing.lease_server.http import statuses
from kubernetes_leader_election.testing.lease_server.http.exchange import (
    Exchange,
    Prepared,
    Reply,
)
from kubernetes_leader_election.testing.lease_server.kubectl import tables
from kubernetes_leader_election.testing.lease_server.kubectl.protobuf import (
    read_message,
)
from kubernetes_leader_election.testing.lease_server.storage.store import Stored

__all__ = ["Objects"]


@dataclass(slots=True)
class Objects:
    """The verbs on objects, each turned into a step that can be run."""

    registry: Registry
    access: Access
    wait_for_version: Callable[[int], Any]

    async def get(self, exchange: Exchange, resource: Resource) -> Prepared:
        """Read one object: from the storage, or from memory if a version is given."""
        exchange.negotiate()
        asked = options.asked_version(exchange)
        if asked:
            await self.wait_for_version(asked)
        key = (resource, self._namespace(exchange, resource), exchange.info.parts[1])

        def run() -> Reply:
            stored = self.registry.store.get(key)
            if exchange.stale_versions:
                stored = self.registry.store.earlier(key, exchange.stale_versions)
            if stored is None:
                raise statuses.not_found(resource, key[2])
            return self._object(exchange, resource, stored)

        return Prepared(run, "read" if asked is None else "memory")

    async def read_many(self, exchange: Exchange, resource: Resource) -> Prepared:
        """Read many objects."""
        exchange.negotiate()
        options.check_list_options(exchange)
        try:
            asked = options.asked_version(exchange)
        except statuses.ApiError as error:
            message = f"invalid resource version: {error.message}"
            raise statuses.bad_request(message) from error
        selector, limit, place = _pages(exchange, resource)
        if place is not None and asked:
            message = "specifying resource version is not allowed when using continue"
            raise statuses.bad_request(message)
        newest = place.version if place is not None else asked
        if newest:
            await self.wait_for_version(newest)
        if asked == 0 and place is None:
            limit = 0
        match = exchange.query.get("resourceVersionMatch", "")
        # The first page of a version that is named shows that very version.
        exact = match == "Exact" or (not match and limit > 0)
        namespace = self._namespace(exchange, resource)

        def run() -> Reply:
            page = self._page(
                exchange,
                resource,
                namespace,
                selector,
                place,
                limit,
                asked if exact and asked else None,
            )
            return self._list(exchange, resource, *page)

        return Prepared(run, "read" if asked is None else "memory")

    def _page(
        self,
        exchange: Exchange,
        resource: Resource,
        namespace: str,
        selector: selectors.Selector,
        place: options.Continue | None,
        limit: int,
        exact: int | None,
    ) -> tuple[list[Stored], dict[str, Any]]:
        """Choose the objects of one answer, and write the list's metadata."""
        store = self.registry.store
        version = place.version if place else (exact or store.revision)
        if version == store.revision or version < 0:
            found = store.objects(resource, namespace)
            version = store.revision
        else:
            found = self._as_of(resource, namespace, version, place)
        if exchange.stale_versions:
            found = self._stale(found, resource, exchange.stale_versions)
        chosen = [one for one in found if selector.matches(one.document)]
        if place is not None:
            chosen = [one for one in chosen if _place_of(one, namespace) >= place.start]
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        if limit > 0 and len(chosen) > limit:
            left = len(chosen) - limit
            chosen = chosen[:limit]
            start = _place_of(chosen[-1], namespace) + "\0"
            metadata["continue"] = options.Continue(version, start).write()
            if not selector:
                metadata["remainingItemCount"] = left
        return chosen, metadata

    def _as_of(
        self,
        resource: Resource,
        namespace: str,
        version: int,
        place: options.Continue | None,
    ) -> list[Stored]:
        store = self.registry.store
        if version < store.oldest:
            if place is None:
                raise statuses.expired(
                    "The resourceVersion for the provided list is too old."
                )
            anew = options.Continue(-1, place.start).write()
            message = (
                "The provided continue parameter is too old to display a consistent "
                "list result. You can start a new list without the continue "
                "parameter, or use the continue token in this response to retrieve "
                "the remainder of the results. Continuing with the provided token "
                "results in an inconsistent list - objects that were created, "
                "modified, or deleted between the time the first chunk was returned "
                "and now may show up in the list."
            )
            raise statuses.expired(message, continue_token=anew)
        return store.objects_as_of(resource, namespace, version)

    def _stale(
        self, found: list[Stored], resource: Resource, versions: int
    ) -> list[Stored]:
        earlier = []
        for one in found:
            metadata = one.document["metadata"]
            key = (resource, metadata.get("namespace", ""), metadata["name"])
            before = self.registry.store.earlier(key, versions)
            if before is not None:
                earlier.append(before)
        return earlier

    async def create(self, exchange: Exchange, resource: Resource) -> Prepared:
        """Create by POST."""
        exchange.negotiate()
        form = exchange.body_form(protobuf=resource is NAMESPACES)
        body = await exchange.body()
        if form == "protobuf":
            body, form = json.dumps(read_message(body)).encode(), "json"
        write = options.write_options(exchange, "CreateOptions")
        document = self._decoded(exchange, resource, body, form)
        namespace = self._namespace(exchange, resource)

        def run() -> Reply:
            stored = self.registry.create(resource, namespace, document, write)
            return self._object(exchange, resource, stored, 201)

        return Prepared(run, "write")

    async def replace(self, exchange: Exchange, resource: Resource) -> Prepared:
        """Replace, or create, by PUT."""
        exchange.negotiate()
        body = await exchange.body()
        write = options.write_options(exchange, "UpdateOptions")
        form = exchange.body_form()
        document = self._decoded(exchange, resource, body, form)
        namespace = self._namespace(exchange, resource)
        name = exchange.info.parts[1]
        _check_name(document["metadata"], name, namespace)
        uid = document["metadata"].get("uid", "")

        def run() -> Reply:
            written = self.registry.update(
                resource,
                namespace,
                name,
                lambda _existing: document,
                write,
                uid=uid,
                may_create=self._may_create(exchange, resource)
                if resource.created_by_put
                else None,
                status=_is_of_status(exchange),
            )
            return self._written(exchange, resource, written)

        return Prepared(run, "write")

    def _may_create(self, exchange: Exchange, resource: Resource) -> Callable[[], None]:
        info, user = exchange.info, exchange.user

        def check() -> None:
            about = (resource.group, resource.plural)
            if not self.access.allows(user, "create", about, info.namespace, info.name):
                raise access.refusal(user, "create", resource, info)

        return check

    async def patch(self, exchange: Exchange, resource: Resource) -> Prepared:
        """Change parts by PATCH, in one of four languages."""
        form = exchange.body_form(patches.FORMS)
        exchange.negotiate()
        body = await exchange.body()
        write = options.write_options(exchange, "PatchOptions", form=form)
        namespace = self._namespace(exchange, resource)
        name = exchange.info.parts[1]
        if form == "apply":
            return self._apply(exchange, resource, body, write)
        strict = exchange.strictness
        change = patches.read_patch(resource, form, body, strict)

        def make(existing: Stored | None) -> dict[str, Any]:
            if existing is None:
                raise statuses.not_found(resource, name)
            decoded = change(existing.document)
            if strict != "Ignore":
                exchange.warnings += decoded.strict
            _check_name(decoded.document["metadata"], name, namespace)
            return decoded.document

        def run() -> Reply:
            written = self.registry.update(
                resource,
                namespace,
                name,
                make,
                write,
                status=_is_of_status(exchange),
            )
            return self._written(exchange, resource, written)

        return Prepared(run, "write")

    def _apply(
        self,
        exchange: Exchange,
        resource: Resource,
        body: bytes,
        write: WriteOptions,
    ) -> Prepared:
        namespace = self._namespace(exchange, resource)
        name = exchange.info.parts[1]
        force = exchange.query.get("force", "").lower() in {"true", "1"}
        strict = exchange.strictness
        config = apply.read_configuration(resource, body)
        note = apply.last_applied(body)
        if config.strict and strict == "Strict":
            why = "error strict decoding patch: " + ", ".join(config.strict)
            raise statuses.bad_request(why)
        if strict != "Ignore":
            exchange.warnings += config.strict

        def make(existing: Stored | None) -> dict[str, Any]:
            live = existing.document if existing is not None else None
            document = apply.applied(
                resource, name, live, config.document, write, force=force, note=note
            )
            _check_name(document["metadata"], name, namespace)
            return document

        def run() -> Reply:
            written = self.registry.update(
                resource,
                namespace,
                name,
                make,
                write,
                may_create=None
                if _is_of_status(exchange)
                else self._may_create(exchange, resource),
                status=_is_of_status(exchange),
            )
            return self._written(exchange, resource, written)

        return Prepared(run, "write")

    async def delete(self, exchange: Exchange, resource: Resource) -> Prepared:
        """Delete one object."""
        exchange.negotiate()
        order = await options.delete_options(exchange)
        namespace = self._namespace(exchange, resource)
        name = exchange.info.parts[1]

        def run() -> Reply:
            written = self.registry.delete(resource, namespace, name, order)
            if not written.deleted or resource is PODS:
                return self._object(exchange, resource, written.stored)
            details = {"name": name}
            if resource.group:
                details["group"] = resource.group
            details |= {"kind": resource.plural, "uid": written.stored.uid}
            return exchange.reply(
                {
                    "kind": "Status",
                    "apiVersion": "v1",
                    "metadata": {},
                    "status": "Success",
                    "details": details,
                }
            )

        return Prepared(run, "write")

    async def delete_collection(
        self, exchange: Exchange, resource: Resource
    ) -> Prepared:
        """Delete every object a list would give, and answer with that list."""
        exchange.negotiate()
        order = await options.delete_options(exchange)
        selector, limit, place = _pages(exchange, resource)
        if place is not None:
            await self.wait_for_version(place.version)
        namespace = self._namespace(exchange, resource)

        def run() -> Reply:
            chosen, metadata = self._page(
                exchange, resource, namespace, selector, place, limit, None
            )
            for one in chosen:
                about = one.document["metadata"]
                self.registry.delete(
                    resource, about.get("namespace", ""), about["name"], order
                )
            return self._list(exchange, resource, chosen, metadata)

        return Prepared(run, "write")

    @staticmethod
    def _namespace(exchange: Exchange, resource: Resource) -> str:
        return exchange.info.namespace if resource.namespaced else ""

    def _decoded(
        self, exchange: Exchange, resource: Resource, body: bytes, form: str
    ) -> dict[str, Any]:
        decoded = decoding.decode(resource, body, form=form)
        if decoded.strict and exchange.strictness == "Strict":
            why = "strict decoding error: " + ", ".join(decoded.strict)
            raise decoding.cannot_be_handled(resource, why)
        if exchange.strictness != "Ignore":
            exchange.warnings += decoded.strict
        _without_duplicate_owners(exchange, decoded.document["metadata"])
        _note_holder(exchange, resource, decoded.document)
        return decoded.document

    def _written(
        self, exchange: Exchange, resource: Resource, written: Written
    ) -> Reply:
        _note_holder(exchange, resource, written.stored.document)
        status = 201 if written.created else 200
        return self._object(exchange, resource, written.stored, status)

    @staticmethod
    def _object(
        exchange: Exchange, resource: Resource, stored: Stored, status: int = 200
    ) -> Reply:
        if exchange.plain:
            return Reply(status, stored.encoded)
        document = stored.document
        conversion = exchange.accepted.conversion
        if conversion is not None:
            document = tables.converted(
                resource, document, conversion, exchange.included
            )
        return exchange.reply(document, status)

    @staticmethod
    def _list(
        exchange: Exchange,
        resource: Resource,
        chosen: list[Stored],
        metadata: dict[str, Any],
    ) -> Reply:
        conversion = exchange.accepted.conversion
        documents = [one.document for one in chosen]
        if conversion is not None:
            return exchange.reply(
                tables.converted_list(
                    resource, documents, metadata, conversion, exchange.included
                )
            )
        items = [
            {key: value for key, value in document.items() if key not in _TYPE}
            for document in documents
        ]
        return exchange.reply(
            {
                "kind": f"{resource.kind}List",
                "apiVersion": resource.api_version,
                "metadata": metadata,
                "items": items,
            }
        )


_TYPE = ("kind", "apiVersion")


def _is_of_status(exchange: Exchange) -> bool:
    """Return whether a write is of an object's status alone."""
    return exchange.info.subresource == "status"


def _pages(
    exchange: Exchange, resource: Resource
) -> tuple[selectors.Selector, int, options.Continue | None]:
    """Read which objects are asked for, how many at once, and after which."""
    query = exchange.query
    selector = selectors.read_selectors(
        resource, query.get("fieldSelector", ""), query.get("labelSelector", "")
    )
    limit = options.integer(exchange, "limit") or 0
    return selector, limit, options.Continue.read(query.get("continue", ""))


def _place_of(stored: Stored, namespace: str) -> str:
    """Return the key below a collection: of one namespace if that is named."""
    metadata = stored.document["metadata"]
    name: str = metadata["name"]
    space = metadata.get("namespace")
    return name if namespace or not space else f"{space}/{name}"


def _note_holder(
    exchange: Exchange, resource: Resource, document: dict[str, Any]
) -> None:
    """Note whom a write of a Lease names as its holder, also one that is refused then."""
    if resource is LEASES:
        spec = document.get("spec") or {}
        exchange.record.holder = spec.get("holderIdentity") or ""


def _without_duplicate_owners(exchange: Exchange, metadata: dict[str, Any]) -> None:
    """Keep the first of equal owner references, and warn about the others."""
    kept: list[Any] = []
    twice: list[str] = []
    for reference in metadata.get("ownerReferences", ()):
        if reference in kept:
            twice.append(reference.get("uid", ""))
        else:
            kept.append(reference)
    if twice:
        metadata["ownerReferences"] = kept
        exchange.warnings.append(
            ".metadata.ownerReferences contains duplicate entries; API server dedups "
            "owner references in 1.20+, and may reject such requests as early as 1.24; "
            "please fix your requests; duplicate UID(s) observed: " + ", ".join(twice)
        )


def _check_name(metadata: dict[str, Any], name: str, namespace: str) -> None:
    given = metadata.get("namespace", "")
    if given and namespace and given != namespace:
        raise statuses.bad_request(
            "the namespace of the provided object does not match the namespace sent "
            "on the request"
        )
    if "name" not in metadata:
        raise statuses.bad_request(
            f"the name of the object ({name} based on URL) was undeterminable: "
            "name must be provided"
        )
    if metadata["name"] != name:
        raise statuses.bad_request(
            f"the name of the object ({metadata['name']}) does not match the name on "
            f"the URL ({name})"
        )
