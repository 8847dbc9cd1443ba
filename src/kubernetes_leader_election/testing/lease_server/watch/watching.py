"""
Watches: a stream of events, one line each, for as long as the client wants.

The stream begins with a decision about the version asked for: history from there on,
everything that exists, an error event, or silence. After that it sends what the hub
queues, bookmarks when they are due, and ends cleanly at its time.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from kubernetes_leader_election.testing.faults import (
    Action,
    CutWatch,
    LagWatch,
    SilenceWatch,
)
from kubernetes_leader_election.testing.lease_server.api import options, selectors
from kubernetes_leader_election.testing.lease_server.api.registry import Registry
from kubernetes_leader_election.testing.lease_server.api.resources import Resource
from kubernetes_leader_election.testing.lease_server.http import statuses
from kubernetes_leader_election.testing.lease_server.http.exchange import Exchange
from kubernetes_leader_election.testing.lease_server.http.statuses import (
    ApiError,
    FieldError,
    encode,
)
from kubernetes_leader_election.testing.lease_server.kubectl import tables
from kubernetes_leader_election.testing.lease_server.storage.storage_gate import (
    StorageGate,
)
from kubernetes_leader_election.testing.lease_server.storage.store import watch_line
from kubernetes_leader_election.testing.lease_server.timings import Timings
from kubernetes_leader_election.testing.lease_server.watch.watch_hub import (
    Watch,
    WatchHub,
)

__all__ = ["Watching"]

INITIAL_END = "k8s.io/initial-events-end"


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a watch asked for."""

    resource: Resource
    namespace: str
    selector: selectors.Selector
    version: int | None
    initial: bool
    """Send what exists first."""

    marked: bool
    """End the initial events with a bookmark."""

    bookmarks: bool
    seconds: float
    send_initial: bool | None


@dataclass(slots=True)
class Watching:
    """Open streams, and keep them going."""

    registry: Registry
    hub: WatchHub
    gate: StorageGate
    timings: Timings
    wait_for_version: Callable[[int], Any]
    random: random.Random = field(default_factory=random.Random)

    async def serve(
        self, exchange: Exchange, resource: Resource, fault: Action | None
    ) -> web.StreamResponse:
        """
        Answer a watch from its first to its last byte.

        Raises:
            ApiError: The request is refused before the stream begins.
        """
        exchange.negotiate(stream=True)
        plan = self._plan(exchange, resource)
        if plan.seconds < 0:
            return await self._ended_stream(exchange)
        if plan.version is None and not await self.gate.passed(plan.seconds):
            return await self._error_stream(exchange, _storage_hangs())
        error = await self._error(plan)
        if error is not None:
            return await self._error_stream(exchange, error)
        watch = Watch(
            resource,
            plan.namespace,
            plan.selector,
            after=0 if plan.initial else plan.version or 0,
            lag=fault.seconds if isinstance(fault, LagWatch) else 0.0,
            render=_render(exchange, resource),
        )
        self._fill(watch, plan)
        self.hub.add(watch)
        try:
            return await self._stream(exchange, plan, watch, fault)
        finally:
            self.hub.remove(watch)

    def _plan(self, exchange: Exchange, resource: Resource) -> _Plan:
        query = exchange.query
        version = options.asked_version(exchange)
        send = _flag(exchange, "sendInitialEvents")
        _check_watch_options(exchange, send=send)
        field_selector = query.get("fieldSelector", "")
        if exchange.info.old_watch and exchange.info.named:
            field_selector = f"metadata.name={exchange.info.name}"
        selector = selectors.read_selectors(
            resource, field_selector, query.get("labelSelector", "")
        )
        bookmarks = bool(_flag(exchange, "allowWatchBookmarks"))
        initial = send if send is not None else not version
        options.integer(exchange, "limit")  # judged, though a watch has no pages
        seconds = options.integer(exchange, "timeoutSeconds") or 0
        longest = self.timings.watch
        return _Plan(
            resource=resource,
            namespace=exchange.info.namespace if resource.namespaced else "",
            selector=selector,
            version=version,
            initial=initial,
            marked=initial and bookmarks,
            bookmarks=bookmarks,
            seconds=seconds or longest * (1.0 + self.random.random()),
            send_initial=send,
        )

    async def _error(self, plan: _Plan) -> ApiError | None:
        """Find the reason, if there is one, why this stream is one error event."""
        store = self.registry.store
        version = plan.version or 0
        if plan.send_initial:
            try:
                await self.wait_for_version(version)
            except ApiError as error:
                return error
            return None
        if plan.initial or version == 0:
            return None
        if version < store.oldest:
            return statuses.expired(
                f"too old resource version: {version} ({store.oldest})"
            )
        return None

    def _fill(self, watch: Watch, plan: _Plan) -> None:
        """Queue what comes first; from here on nothing may be missed."""
        store = self.registry.store
        if plan.initial:
            for stored in store.objects(plan.resource, plan.namespace):
                if plan.selector.matches(stored.document):
                    watch.push(watch.event("ADDED", stored.document))
        elif plan.version:
            for change in store.since(plan.version):
                space = plan.namespace in ("", change.key[1])
                if change.key[0] is plan.resource and space:
                    watch.offer(change)
        if plan.marked:
            watch.push(_bookmark(watch, plan.resource, store.revision, initial=True))

    async def _ended_stream(self, exchange: Exchange) -> web.StreamResponse:
        """Answer a watch whose time was over before it began."""
        response = await _open(exchange)
        await response.write_eof()
        return response

    async def _error_stream(
        self, exchange: Exchange, error: ApiError
    ) -> web.StreamResponse:
        response = await _open(exchange)
        await response.write(watch_line("ERROR", encode(error.document())))
        await response.write_eof()
        return response

    async def _stream(
        self,
        exchange: Exchange,
        plan: _Plan,
        watch: Watch,
        fault: Action | None,
    ) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        ends = loop.time() + plan.seconds
        timers = [loop.call_at(ends, watch.end)]
        if plan.bookmarks:
            timers.append(self._bookmark_timer(watch, ends))
        began = self.registry.store.revision
        sent = 0
        try:
            response = await _open(exchange)
            while True:
                await watch.wait()
                lines = watch.take()
                if watch.bookmark_due:
                    watch.bookmark_due = False
                    revision = self.registry.store.revision
                    if revision > began and not self.gate.shut:
                        lines.append(_bookmark(watch, plan.resource, revision))
                    timers.append(self._bookmark_timer(watch, ends))
                if lines and fault is not None:
                    sent = await self._faulty(exchange, response, lines, sent, fault)
                elif lines:
                    await response.write(b"".join(lines))
                elif watch.ended:
                    break
        finally:
            for timer in timers:
                timer.cancel()
        await response.write_eof()
        return response

    def _bookmark_timer(self, watch: Watch, ends: float) -> asyncio.TimerHandle:
        """Arm the next bookmark: in a minute, or shortly before the end."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self.timings.bookmark
        last = ends - self.timings.bookmark_before_end
        if loop.time() < last < due:
            due = last
        return loop.call_at(due, watch.want_bookmark)

    async def _faulty(
        self,
        exchange: Exchange,
        response: web.StreamResponse,
        lines: list[bytes],
        sent: int,
        fault: Action,
    ) -> int:
        """Send lines as a fault demands, and count them."""
        for line in lines:
            if isinstance(fault, SilenceWatch) and sent >= fault.after_events:
                return sent
            if isinstance(fault, CutWatch) and sent >= fault.after_events:
                await response.write(line[: len(line) // 2])
                transport = exchange.request.transport
                if transport is not None:
                    transport.close()
                # The client is gone; being cancelled is how this handler ends.
                await asyncio.Event().wait()
            await response.write(line)
            sent += 1
        return sent


def _storage_hangs() -> ApiError:
    """Say what a client hears that was kept waiting for headers all its time."""
    return ApiError(500, "InternalError", "context deadline exceeded", None)


async def _open(exchange: Exchange) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={
            "Audit-Id": str(uuid.uuid4()),
            "Cache-Control": "no-cache, private",
            "Content-Type": "application/json",
        }
    )
    response.enable_chunked_encoding()
    exchange.on_answer(exchange.record, 200)
    await response.prepare(exchange.request)
    return response


def _bookmark(
    watch: Watch, resource: Resource, revision: int, *, initial: bool = False
) -> bytes:
    metadata: dict[str, Any] = {"resourceVersion": str(revision)}
    if initial:
        metadata["annotations"] = {INITIAL_END: "true"}
    document: dict[str, Any] = {
        "kind": resource.kind,
        "apiVersion": resource.api_version,
        "metadata": metadata,
        "spec": {},
    }
    if not resource.namespaced:
        document["status"] = {}
    return watch.event("BOOKMARK", document)


def _render(
    exchange: Exchange, resource: Resource
) -> Callable[[str, dict[str, Any]], bytes] | None:
    """Return the way to write events for clients who want something else than objects."""
    conversion = exchange.accepted.conversion
    if conversion is None:
        return None
    include, headed = exchange.included, True

    def render(kind: str, document: dict[str, Any]) -> bytes:
        nonlocal headed
        shown = tables.converted(resource, document, conversion, include, headed=headed)
        headed = False
        return watch_line(kind, encode(shown))

    return render


def _flag(exchange: Exchange, key: str) -> bool | None:
    """Read a yes or no as Go's query conversion does: absent, or anything but no."""
    if key not in exchange.query:
        return None
    return exchange.query[key].lower() not in {"0", "false"}


def _check_watch_options(exchange: Exchange, *, send: bool | None) -> None:
    query = exchange.query
    match = query.get("resourceVersionMatch", "")
    path = "resourceVersionMatch"
    found = []
    if send is not None and match != "NotOlderThan":
        text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        found.append(FieldError.forbidden(path, text))
    if match:
        if send is None:
            text = (
                "resourceVersionMatch is forbidden for watch unless "
                "sendInitialEvents is provided"
            )
            found.append(FieldError.forbidden(path, text))
        if match != "NotOlderThan":
            found.append(FieldError.unsupported(path, match, ["NotOlderThan"]))
    newest = query.get("resourceVersion", "") in {"", "0"}
    if query.get("continue") and (match or (send is None and newest)):
        # Without a version the server means "not older than", as if it were sent.
        text = "resourceVersionMatch is forbidden when continue is provided"
        found.append(FieldError.forbidden(path, text))
    if found:
        raise statuses.invalid_options("ListOptions", found)
