"""
The web application: every request goes through ``App.handle``.

Its order is the real server's: the deadline of the request, who asks, what the
flow control says, may they, and only then the request itself. Faults come in after
the rights and before the work, which is where trouble finds real requests.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from aiohttp import web

from kubernetes_leader_election.testing.faults import (
    Action,
    Answer,
    ApplyLate,
    ApplyThenDrop,
    ApplyThenHang,
    Delay,
    DropBefore,
    FaultPlan,
    Hang,
    StaleRead,
    Throttle,
)
from kubernetes_leader_election.testing.lease_server.api import discovery, reviews
from kubernetes_leader_election.testing.lease_server.api.access import Access
from kubernetes_leader_election.testing.lease_server.api.objects import Objects
from kubernetes_leader_election.testing.lease_server.api.registry import Registry
from kubernetes_leader_election.testing.lease_server.api.resources import (
    RESOURCES,
    Resource,
)
from kubernetes_leader_election.testing.lease_server.control import Control
from kubernetes_leader_election.testing.lease_server.http import request_info, statuses
from kubernetes_leader_election.testing.lease_server.http.exchange import (
    Exchange,
    Prepared,
    Reply,
)
from kubernetes_leader_election.testing.lease_server.http.request_log import (
    RequestLog,
    RequestRecord,
)
from kubernetes_leader_election.testing.lease_server.http.statuses import ApiError
from kubernetes_leader_election.testing.lease_server.kubectl import openapi
from kubernetes_leader_election.testing.lease_server.storage.storage_gate import (
    StorageGate,
)
from kubernetes_leader_election.testing.lease_server.storage.store import Change
from kubernetes_leader_election.testing.lease_server.timings import Timings
from kubernetes_leader_election.testing.lease_server.watch.watch_hub import WatchHub
from kubernetes_leader_election.testing.lease_server.watch.watching import Watching

__all__ = ["App"]

Endpoint = Callable[[Exchange, Resource], Awaitable[Prepared]]

AT_ONCE = 0.002
"""Seconds; in less a real server hardly ever answers anything."""
HEALTH_PATHS = ("/healthz", "/livez", "/readyz")
_LOG = logging.getLogger("kubernetes_leader_election")
_CHECKS = frozenset({"ping", "log", "etcd"})


class App:
    """Turn requests into answers; runs in one event loop, in one thread."""

    def __init__(
        self,
        registry: Registry,
        access: Access,
        faults: FaultPlan,
        log: RequestLog,
        timings: Timings,
        address: str,
        control: Control | None = None,
    ) -> None:
        self.registry = registry
        self.access = access
        self.faults = faults
        self.log = log
        self.timings = timings
        self._control = control
        self.hub = WatchHub()
        self.gate = StorageGate()
        self._versions: list[tuple[int, asyncio.Future[None]]] = []
        self._resources = {
            (one.group, one.version, one.plural): one for one in RESOURCES
        }
        self._documents = discovery.documents(address)
        self._objects = Objects(registry, access, self.wait_for_version)
        self._watching = Watching(
            registry, self.hub, self.gate, timings, self.wait_for_version
        )
        registry.store.listeners.append(self._changed)

    def _changed(self, change: Change) -> None:
        self.hub.publish(change)
        for version, waiter in self._versions:
            if change.revision >= version and not waiter.done():
                waiter.set_result(None)

    async def wait_for_version(self, version: int) -> None:
        """
        Wait until the store has seen a version.

        Raises:
            ApiError: 504, it has not in time.
        """
        store = self.registry.store
        if version <= store.revision:
            return
        waiter = asyncio.get_running_loop().create_future()
        entry = (version, waiter)
        self._versions.append(entry)
        try:
            async with asyncio.timeout(self.timings.future):
                await waiter
        except TimeoutError:
            raise statuses.version_from_the_future(version, store.revision) from None
        finally:
            self._versions.remove(entry)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever it is."""
        try:
            return await self._answered(request)
        except Exception as error:  # noqa: BLE001  # the last resort, and logged
            # A defect of this server: seen in the log, and a 500 as real ones have it.
            _LOG.exception("Lease server: %s %s failed", request.method, request.path)
            if request.writer.output_size > 0:
                await _cut(request)  # in the middle of an answer: no second one fits
            return Reply.of(statuses.unforeseen(error)).response([])

    async def _answered(self, request: web.BaseRequest) -> web.StreamResponse:
        url = request.rel_url
        query: dict[str, str] = {}
        if url.raw_query_string:
            for key, value in url.query.items():
                query.setdefault(key, value)
        path = url.path
        info = request_info.read_request(request.method, path, query)
        record = RequestRecord(
            time=time.monotonic(),
            verb=info.verb,
            method=request.method,
            path=sys.intern(path),
            query=url.raw_query_string,
            user_agent=sys.intern(request.headers.get("User-Agent", "")),
            namespace=info.namespace,
            name=info.name,
            client=_peer(request),
        )
        exchange = Exchange(request, query, info, record)
        exchange.on_answer = self.log.answer
        try:
            answer = await self._serve(exchange)
        except ApiError as error:
            answer = exchange.refusal(error)
        except ConnectionResetError:
            await _drop(exchange)  # the client hung up: there is nobody to answer
        if isinstance(answer, Reply):
            self.log.answer(record, answer.status)
            return answer.response(exchange.warnings)
        return answer

    async def _serve(self, exchange: Exchange) -> Reply | web.StreamResponse:
        info = exchange.info
        resource = self._resources.get((info.group, info.version, info.resource))
        try:
            if info.verb != "watch":
                exchange.limit = exchange.deadline(self.timings.read)
                if exchange.limit is not None and exchange.limit < AT_ONCE:
                    raise statuses.asked_timeout()
            authorization = exchange.request.headers.get("Authorization")
            exchange.user = self.access.authenticate(authorization)
            exchange.record.user = exchange.user.name
        finally:
            self.log.add(exchange.record)
        self.access.check(exchange.user, info, resource)
        fault = self.faults.pick(exchange.record)
        if fault is not None:
            exchange.record.fault = type(fault).__name__
            early = await self._before(exchange, fault)
            if early is not None:
                return early
        if "//" in info.path:
            raise statuses.unknown_path()
        if resource is None:
            prepared = await self._other(exchange)
        else:
            endpoint = self._endpoint(exchange, resource)
            if endpoint is None:
                return await self._watching.serve(exchange, resource, fault)
            prepared = await endpoint(exchange, resource)
        return await self._finish(exchange, prepared, fault)

    def _endpoint(self, exchange: Exchange, resource: Resource) -> Endpoint | None:
        """Choose who answers; None stands for a watch."""
        info, method = exchange.info, exchange.method
        of_status = resource.status and info.parts[2:] == ("status",)
        if len(info.parts) > 2 and not of_status:
            raise statuses.no_such_resource()
        if info.verb == "watch":
            if method != "GET":
                raise statuses.method_not_allowed()
            return None
        one = self._objects
        named: dict[str, Endpoint] = {
            "GET": one.get,
            "PUT": one.replace,
            "PATCH": one.patch,
            "DELETE": one.delete,
        }
        many: dict[str, Endpoint] = {
            "GET": one.read_many,
            "POST": one.create,
            "DELETE": one.delete_collection,
        }
        if resource.namespaced and not info.namespace:
            many = {"GET": one.read_many}
            named = {}
        if not resource.namespaced:
            many.pop("DELETE", None)
        if of_status:
            named.pop("DELETE", None)
        found = (named if info.named else many).get(method)
        if found is None:
            raise statuses.method_not_allowed()
        return found

    async def _before(self, exchange: Exchange, fault: Action) -> Reply | None:
        """Do what a fault wants done before the request; maybe answer."""
        match fault:
            case Delay(seconds):
                await asyncio.sleep(seconds)
            case Throttle(retry_after):
                raise statuses.too_many_requests(retry_after)
            case Answer():
                return _answer(fault)
            case Hang(seconds):
                await self._hang(exchange, seconds)
            case DropBefore():
                await exchange.request.read()
                await _drop(exchange)
            case StaleRead(versions):
                exchange.stale_versions = versions
            case _:
                pass
        return None

    async def _finish(
        self, exchange: Exchange, prepared: Prepared, fault: Action | None
    ) -> Reply:
        """Run a request, with what a fault wants done after it."""
        if isinstance(fault, ApplyLate):
            loop = asyncio.get_running_loop()
            loop.call_later(fault.seconds, self._run_unwatched, prepared)
            if fault.hang:
                await self._hang(exchange, None)
            await _drop(exchange)
        await self._await_storage(exchange, prepared)
        reply = prepared.run()
        if isinstance(fault, ApplyThenDrop):
            await _drop(exchange)
        if isinstance(fault, ApplyThenHang):
            await self._hang(exchange, fault.seconds)
        return reply

    @staticmethod
    def _run_unwatched(prepared: Prepared) -> None:
        """Run a request whose client is gone; a refusal has no one to go to."""
        try:
            prepared.run()
        except ApiError:
            return

    async def _await_storage(self, exchange: Exchange, prepared: Prepared) -> None:
        if prepared.needs == "memory" or not self.gate.shut:
            return
        asked = exchange.limit
        if prepared.needs == "read":
            if not await self.gate.passed(asked or self.timings.read):
                await _drop(exchange)
            return
        patience = self.timings.write
        early = asked is not None and asked < patience
        if asked is not None and early:
            patience = asked
        if await self.gate.passed(patience):
            return
        self.gate.give_up(lambda: self._run_unwatched(prepared))
        raise statuses.asked_timeout() if early else statuses.storage_timeout()

    async def _hang(self, exchange: Exchange, seconds: float | None) -> NoReturn:
        """Answer nothing; the handler is cancelled when the client goes."""
        if seconds is None:
            await asyncio.Event().wait()
        else:
            await asyncio.sleep(seconds)
        await _drop(exchange)

    async def _other(self, exchange: Exchange) -> Prepared:
        """Answer everything that is no Lease and no namespace."""
        info = exchange.info
        if _is_health_check(info.path):
            return await self._health(exchange)
        if info.resource:
            return await self._minor_resource(exchange)
        path = info.path.rstrip("/") or "/"
        if self._control is not None and path.startswith("/control/"):
            return await self._control.prepare(exchange)
        if path == "/metrics":
            text = discovery.metrics(self.log.totals, len(self.hub))
            kind = "text/plain; version=0.0.4; charset=utf-8"
            return Prepared(lambda: Reply(200, text.encode(), kind))
        if path.startswith("/openapi/"):
            return openapi.prepare(path)
        document = self._documents.get(path)
        if document is None and path == "/":
            document = {"paths": sorted([*self._documents, *HEALTH_PATHS, "/metrics"])}
        if document is None and _is_known(path):
            raise statuses.no_such_resource()
        if document is None:
            raise statuses.unknown_path()
        if exchange.method != "GET":
            raise statuses.method_not_allowed()
        exchange.negotiate(convertible=False)
        return Prepared(lambda: exchange.reply(document))

    async def _minor_resource(self, exchange: Exchange) -> Prepared:
        info = exchange.info
        if not _is_known(info.path):
            raise statuses.unknown_path()
        answer: Any = None
        if info.group == "authorization.k8s.io":
            answer = await reviews.access_review(exchange, self.access)
        elif info.group == "authentication.k8s.io":
            answer = reviews.subject_review(exchange)
        if answer is None:
            raise statuses.no_such_resource()
        return Prepared(lambda: answer)

    async def _health(self, exchange: Exchange) -> Prepared:
        check = exchange.info.path.strip("/").partition("/")[0]
        kind = "text/plain; charset=utf-8"
        if self.gate.shut and not await self.gate.passed(self.timings.health):
            text = (
                f"[+]ping ok\n[-]etcd failed: reason withheld\n{check} check failed\n"
            )
            return Prepared(lambda: Reply(500, text.encode(), kind))
        if "verbose" in exchange.query:
            text = f"[+]ping ok\n[+]etcd ok\n{check} check passed\n"
            return Prepared(lambda: Reply(200, text.encode(), kind))
        return Prepared(lambda: Reply(200, b"ok", kind))


def _is_health_check(path: str) -> bool:
    root, _, check = path.lstrip("/").partition("/")
    known = not check or check in _CHECKS
    return f"/{root}" in HEALTH_PATHS and known and not path.endswith("/")


def _is_known(path: str) -> bool:
    """Return whether a path is below a group the server has."""
    roots = ("/api", *(f"/apis/{name}" for name in discovery.GROUPS))
    return path.startswith(tuple(f"{root}/" for root in roots))


def _answer(fault: Answer) -> Reply:
    headers = {}
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
    if fault.body is not None:
        return Reply(fault.status, fault.body.encode(), fault.content_type, headers)
    error = ApiError(fault.status, fault.reason, fault.message, {}, headers)
    return Reply.of(error)


def _peer(request: web.BaseRequest) -> str:
    """Return who sent it, as far as the transport tells."""
    peer = request.transport and request.transport.get_extra_info("peername")
    return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else ""


async def _drop(exchange: Exchange) -> NoReturn:
    await _cut(exchange.request)


async def _cut(request: web.BaseRequest) -> NoReturn:
    """Cut the connection; being cancelled is how the handler then ends."""
    transport = request.transport
    if transport is not None:
        transport.abort()
    while True:
        await asyncio.Event().wait()
