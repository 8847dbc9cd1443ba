"""
An HTTP proxy that misbehaves on order or at random: what no honest server answers.

It stands between electors and an API server, embedded or real, and does to requests,
answers and watches what broken middleboxes, caches and libraries do, and worse.
Clients speak plain http to it, on this machine only, and their headers are passed on
as they are, so a token given to the elector reaches the server; to the server it
speaks whatever that speaks.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
import weakref
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from kubernetes_leader_election.errors import ConfigurationError, ProtocolMisuseError
from kubernetes_leader_election.testing.lease_server.http.connections import (
    Connections,
    listen,
)
from kubernetes_leader_election.testing.lease_server.http.request_info import (
    read_request,
)
from kubernetes_leader_election.testing.listening import settle
from kubernetes_leader_election.testing.loop_thread import LoopThread
from kubernetes_leader_election.testing.mutated_answers import Memory
from kubernetes_leader_election.testing.mutated_exchange import Exchange
from kubernetes_leader_election.testing.mutations import (
    HOLD,
    Mutate,
    Mutated,
    Mutation,
    MutationPlan,
    Occasion,
    rules_of,
)
from kubernetes_leader_election.testing.rules import ActiveRule

__all__ = ["MutatingLane", "MutatingProxy"]

Result = TypeVar("Result")
CONNECT_PATIENCE = 5.0
"""Seconds to connect to the server; on this machine it takes none."""


class MutatingLane:
    """One address of the proxy: that of one client, whose requests are counted."""

    def __init__(self, proxy: MutatingProxy, name: str) -> None:
        self.name = name
        self.requests = 0
        self._proxy = proxy
        self._connections: Connections | None = None
        self._jobs: set[asyncio.Task[Any]] = set()
        self._opening: set[asyncio.Task[aiohttp.ClientResponse]] = set()
        self._port = 0

    @property
    def port(self) -> int:
        """Return the port clients of this lane connect to."""
        return self._port

    @property
    def url(self) -> str:
        """Return the address that an elector takes as ``server``."""
        return f"http://127.0.0.1:{self._port}"

    async def open(self) -> None:
        """Begin to listen; called in the proxy's loop."""
        listening = listen("127.0.0.1", 0)
        self._port = listening.getsockname()[1]
        self._connections = Connections(self._handle, context=None, idle=90.0)
        await self._connections.open(listening)

    async def close(self) -> None:
        """Drop every connection and all that is held; called in the proxy's loop."""
        if self._connections is not None:
            await self._connections.close()
        # Only now: a request that was being accepted has begun its job.
        while self._jobs:
            jobs = list(self._jobs)
            for job in jobs:
                job.cancel()
            await asyncio.wait(jobs)
        if self._opening:
            await asyncio.wait(self._opening, timeout=CONNECT_PATIENCE)
        for opening in list(self._opening):
            opening.cancel()

    def start(self, job: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Let something go on though the client leaves."""
        task = asyncio.get_running_loop().create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
        return task

    async def ask(
        self, sent: Coroutine[Any, Any, aiohttp.ClientResponse]
    ) -> aiohttp.ClientResponse:
        """Send something to the server and return its answer, of which the head came."""
        # Never cancelled while it connects: asyncio may then lose the open socket.
        opening = asyncio.get_running_loop().create_task(sent)
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unread)
            raise

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests += 1
        info = read_request(request.method, request.path, request.query)
        occasion = Occasion(self.name, str(self.requests), info.verb, request.path)
        body = await request.read()
        return await Exchange(self._proxy, self, request, body, occasion).answer()


def _close_unread(opening: asyncio.Task[aiohttp.ClientResponse]) -> None:
    """Close an answer that nobody waits for any more."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


class _Connector(aiohttp.TCPConnector):
    """Connect as aiohttp does, and know each connection until it is closed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._made: weakref.WeakSet[asyncio.BaseTransport] = weakref.WeakSet()

    async def _create_connection(self, *args: Any, **options: Any) -> ResponseHandler:
        protocol = await super()._create_connection(*args, **options)
        if protocol.transport is not None:
            self._made.add(protocol.transport)
        return protocol

    def abort_all(self) -> None:
        """
        Abort each connection that is still open; when the session is closed.

        A session knows those of its requests alone: one whose request was given up
        at the moment it was made could outlive the loop (seen once, under load).
        """
        for transport in list(self._made):
            transport.abort()  # type: ignore[attr-defined]


class MutatingProxy(LoopThread):
    """
    Stand between electors and an API server, and mutate what passes.

    The proxy is its own default lane; ``lane("a")`` gives another address, for which
    rules can be made alone. Without a rule, and without :meth:`at_random`, everything
    passes as it is.

    .. code-block:: python

        with LeaseServer() as server, MutatingProxy(server.url) as proxy:
            elector = Elector(lease_name="billing", server=proxy.url)
            proxy.add(Mutate(Mutation.HOLD_REQUEST, verb="update", seconds=3))
            proxy.at_random(0.1)
            ...
            proxy.log   # all that was done, when, and to which request

    Args:
        target: URL of the API server.
        chance: Decides what is random; a generator with a seed makes it repeatable.
        ca: Who vouches for the certificate of an https target, as PEM.
        token: A bearer token for requests that bring no Authorization of their own.
        on_mutation: Called, on the proxy's thread, with each thing that is done.

    Raises:
        ProtocolMisuseError: ``target`` is no address.
        ConfigurationError: an https target without ``ca``.
    """

    what = "mutating proxy"

    def __init__(
        self,
        target: str,
        *,
        chance: random.Random | None = None,
        ca: str | None = None,
        token: str | None = None,
        on_mutation: Callable[[Mutated], None] = lambda _: None,
    ) -> None:
        super().__init__()
        parts = urlsplit(target)
        if parts.scheme not in {"http", "https"} or parts.hostname is None:
            raise ProtocolMisuseError(
                f"{target!r} is no address to proxy: give http(s)://host:port"
            )
        if parts.scheme == "https" and ca is None:
            raise ConfigurationError(
                f"no CA for {target}: give ca=, the PEM text that vouches for it",
                option="ca",
            )
        self.target = target.rstrip("/")
        self.memory = Memory()
        self.plan = MutationPlan(chance or random.Random())
        self._ca = ca
        self._token = token
        self._on_mutation = on_mutation
        self._log: list[Mutated] = []
        self._lanes: dict[str, MutatingLane] = {}
        self._session: aiohttp.ClientSession | None = None
        self._connector: _Connector

    # What is done

    def add(self, *rules: Mutate) -> list[ActiveRule[Mutate]]:
        """Put rules in force, and return a handle for each, which counts its hits."""
        return self.plan.add(*rules)

    def remove(self, active: ActiveRule[Mutate]) -> None:
        """Take a rule back."""
        self.plan.remove(active)

    def clear(self) -> None:
        """Mutate nothing more; what is held stays held."""
        self.plan.clear()

    def at_random(
        self,
        share: float,
        *,
        weights: Mapping[Mutation, float] | None = None,
        hold: tuple[float, float] = HOLD,
    ) -> None:
        """
        Mutate a share of all requests and events from now on.

        Args:
            share: Of what no rule acts on; from 0 to 1.
            weights: How often each mutation is chosen beside the others; those left
                out never are. All alike unless given.
            hold: The shortest and the longest time anything is held, in seconds.

        Raises:
            ConfigurationError: no share, no weights, or no times.
        """
        self.plan.at_random(share, weights=weights, hold=hold)

    def replay(self, log: Iterable[str]) -> None:
        """
        Do again what a log tells, to the same requests of the same lanes.

        Args:
            log: Lines of JSON, as :meth:`.mutations.Mutated.to_json` makes them.

        Raises:
            ConfigurationError: one is no such line.
        """
        self.plan.add(*rules_of(log))

    @property
    def log(self) -> list[Mutated]:
        """Return all that was done so far, in order."""
        return list(self._log)

    def choose(
        self, occasion: Occasion, impossible: Iterable[Mutation] = ()
    ) -> Mutate | None:
        """Choose what is done to a request or event, and note it."""
        rule = self.plan.pick(occasion, frozenset(impossible))
        if rule is not None:
            done = Mutated(
                time.monotonic(),
                occasion.lane,
                occasion.number,
                occasion.verb,
                occasion.path,
                rule.mutation,
                rule.seconds,
                rule.status,
                rule.event_type,
            )
            self._log.append(done)
            self._on_mutation(done)
        return rule

    # Where it is

    def lane(self, name: str = "default") -> MutatingLane:
        """Return the lane of that name, opened on first use."""
        if name not in self._lanes:
            lane = MutatingLane(self, name)
            self.run(lane.open())
            self._lanes[name] = lane
        return self._lanes[name]

    @property
    def url(self) -> str:
        """Return the address of the default lane."""
        return self.lane().url

    @property
    def port(self) -> int:
        """Return the port of the default lane."""
        return self.lane().port

    async def send(
        self, request: web.BaseRequest, headers: Mapping[str, str], body: bytes
    ) -> aiohttp.ClientResponse:
        """Send a request to the server once; in the proxy's thread only."""
        assert self._session is not None
        return await self._session.request(
            request.method,
            URL(f"{self.target}{request.raw_path}", encoded=True),
            headers=headers,
            data=body or None,
            allow_redirects=False,
        )

    # Life

    def start(self) -> Self:
        """
        Begin to listen.

        Raises:
            ProtocolMisuseError: It runs already.
        """
        super().start()
        self.lane()
        return self

    def stop(self) -> None:
        """Drop every connection and end the thread; stopping twice is no error."""
        super().stop()
        self._lanes.clear()

    async def serve(self, ready: Callable[[], None], stopping: asyncio.Event) -> None:
        """Send requests to the server until the end; called in the proxy's loop."""
        self._session = self._new_session()
        try:
            ready()
            await stopping.wait()
            for lane in self._lanes.values():
                await lane.close()
        finally:
            await self._session.close()
            self._connector.abort_all()
            await settle()

    def _new_session(self) -> aiohttp.ClientSession:
        own = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        context: ssl.SSLContext | bool = True
        if self._ca is not None:
            context = ssl.create_default_context(cadata=self._ca)
        self._connector = _Connector(limit=0, force_close=True, ssl=context)
        session = aiohttp.ClientSession(
            connector=self._connector,
            auto_decompress=False,
            headers=own,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type"),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_PATIENCE),
        )
        # aiohttp sends a request again by itself if the server hangs up on it. Here
        # only mutations may do so; there is no public switch, and a test looks.
        session._retry_connection = False  # noqa: SLF001
        return session
