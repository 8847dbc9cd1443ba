"""One request on its way through a mutating proxy, and what is done to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, Protocol, TypeVar

import aiohttp
from aiohttp import web

from kubernetes_leader_election.testing.mutated_answers import (
    Given,
    Memory,
    failure,
    foreign,
    oversized,
)
from kubernetes_leader_election.testing.mutated_watch import relay_watch
from kubernetes_leader_election.testing.mutations import Mutate, Mutation, Occasion

Result = TypeVar("Result")
NOT_PASSED_ON = frozenset(
    {
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that are about one connection."""


class Server(Protocol):
    """The way to the API server, and who says what is done on it."""

    memory: Memory

    def choose(
        self, occasion: Occasion, impossible: Iterable[Mutation] = ()
    ) -> Mutate | None:
        """Choose what is done to a request or event, and note it."""

    async def send(
        self, request: web.BaseRequest, headers: Mapping[str, str], body: bytes
    ) -> aiohttp.ClientResponse:
        """Send a request to the server once."""


class Client(Protocol):
    """Where the request came from: what is begun for it goes on when it has left."""

    def start(self, job: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Let something go on though the client leaves."""

    async def ask(
        self, sent: Coroutine[Any, Any, aiohttp.ClientResponse]
    ) -> aiohttp.ClientResponse:
        """Send something to the server and return its answer, of which the head came."""


class Exchange:
    """One request on its way, and what is done to it."""

    def __init__(
        self,
        server: Server,
        client: Client,
        request: web.BaseRequest,
        body: bytes,
        occasion: Occasion,
    ) -> None:
        self._server = server
        self._client = client
        self._request = request
        self._body = body
        self._occasion = occasion

    async def answer(self) -> web.StreamResponse:
        """Serve the request, mutated or not."""
        memory = self._server.memory
        rule = self._server.choose(self._occasion, memory.impossible(self._occasion))
        if self._occasion.verb == "watch":
            return await self._watch(rule)
        if rule is not None and rule.mutation is Mutation.STALE_READ:
            return _response(memory.older_state(self._occasion))
        # What was begun goes on when the client has given up: it lands late.
        job = self._client.start(self._serve(rule))
        given = await asyncio.shield(job)
        if given is None:
            return self._abort()
        return await self._deliver(given, rule)

    async def _serve(self, rule: Mutate | None) -> Given | None:
        """Ask the server as the rule wants it; None drops the client."""
        memory, occasion = self._server.memory, self._occasion
        kind = rule.mutation if rule is not None else None
        seconds = (rule.seconds or 0.0) if rule is not None else 0.0
        if kind is Mutation.DROP_REQUEST:
            return None
        if kind is Mutation.HOLD_REQUEST:
            await asyncio.sleep(seconds)
        # Looked up first: this request's own answer is none of the old ones.
        old = memory.last_answer(occasion) if kind is Mutation.REPLAY_ANSWER else None
        other = memory.other_answer(occasion) if kind is Mutation.SWAP_ANSWER else None
        given = await self._ask()
        if given is not None and kind is Mutation.SEND_TWICE:
            given = await self._ask()
        if given is None:
            return None
        if kind is Mutation.RESEND_LATER:
            self._client.start(self._ask_later(seconds))
        if kind is Mutation.HOLD_ANSWER:
            await asyncio.sleep(seconds)
        if kind is Mutation.DROP_ANSWER:
            return None
        if kind is Mutation.FAIL_AFTER_APPLY:
            assert rule is not None
            return failure(rule.status or 500, occasion.path)
        if kind is Mutation.FOREIGN_ANSWER:
            return foreign(given)
        if kind is Mutation.OVERSIZE_ANSWER:
            return oversized(given)
        return old or other or given

    async def _ask_later(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._ask()

    async def _ask(self) -> Given | None:
        """Send the request to the server once; None if no whole answer came."""
        try:
            async with await self._send() as answer:
                body = await answer.read()
                given = Given(answer.status, _passed_on(answer.headers), body)
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None
        self._server.memory.keep(self._occasion, given)
        return given

    async def _send(self) -> aiohttp.ClientResponse:
        """Send the request as it came, and return the answer to be read."""
        return await self._client.ask(
            self._server.send(
                self._request, _passed_on(self._request.headers), self._body
            )
        )

    async def _watch(self, rule: Mutate | None) -> web.StreamResponse:
        if rule is not None and rule.mutation is Mutation.DROP_REQUEST:
            return self._abort()
        if rule is not None and rule.mutation is Mutation.HOLD_REQUEST:
            await asyncio.sleep(rule.seconds or 0.0)
        if rule is not None and rule.mutation is Mutation.FAIL_AFTER_APPLY:
            return _response(failure(rule.status or 500, self._occasion.path))
        try:
            async with await self._send() as answer:
                if answer.status != 200:
                    given = Given(
                        answer.status, _passed_on(answer.headers), await answer.read()
                    )
                    return _response(given)
                response = web.StreamResponse(headers=_passed_on(answer.headers))
                response.enable_chunked_encoding()
                await response.prepare(self._request)
                pieces = answer.content.iter_any()
                await relay_watch(pieces, response, self._occasion, self._server)
        except (aiohttp.ClientError, OSError, TimeoutError):
            return self._abort()
        with contextlib.suppress(ConnectionError):
            await response.write_eof()
        return response

    async def _deliver(self, given: Given, rule: Mutate | None) -> web.StreamResponse:
        kind = rule.mutation if rule is not None else None
        if kind is Mutation.TRUNCATE_ANSWER:
            response = web.StreamResponse(status=given.status, headers=given.headers)
            response.content_length = len(given.body)
            await response.prepare(self._request)
            await response.write(given.body[: len(given.body) // 2])
            return self._end(response)
        response = _response(given)
        if kind is Mutation.DUPLICATE_ANSWER:
            await response.prepare(self._request)
            await response.write_eof()
            transport = self._request.transport
            if transport is not None:
                transport.write(_raw(given))
        return response

    def _end(self, response: web.StreamResponse) -> web.StreamResponse:
        """Close the client's connection in order, in the middle of an answer."""
        if self._request.transport is not None:
            self._request.transport.close()
        return response

    def _abort(self) -> web.StreamResponse:
        """Reset the client's connection."""
        if self._request.transport is not None:
            self._request.transport.abort()
        return web.Response()


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in headers.items() if k.lower() not in NOT_PASSED_ON}


def _response(given: Given) -> web.StreamResponse:
    return web.Response(status=given.status, headers=given.headers, body=given.body)


def _raw(given: Given) -> bytes:
    lines = [f"HTTP/1.1 {given.status} Again"]
    lines += [f"{name}: {value}" for name, value in given.headers.items()]
    lines += [f"Content-Length: {len(given.body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + given.body
