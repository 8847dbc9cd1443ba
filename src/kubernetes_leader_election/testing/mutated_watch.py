"""Watches of a mutating proxy: events passed on, or what is made of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Protocol

from aiohttp import web

from kubernetes_leader_election.testing.mutated_answers import Memory, failure
from kubernetes_leader_election.testing.mutations import Mutate, Mutation, Occasion

__all__ = ["relay_watch"]

VERSIONS_BACK = 10
"""How far back an old bookmark goes."""


class Chooser(Protocol):
    """Who says what is done to an event."""

    memory: Memory

    def choose(self, occasion: Occasion) -> Mutate | None:
        """Choose, and note it."""


async def relay_watch(
    pieces: AsyncIterator[bytes],
    response: web.StreamResponse,
    occasion: Occasion,
    chooser: Chooser,
) -> None:
    """
    Pass the events of a watch on until it ends.

    Raises:
        ConnectionError: The client or the server has left.
    """
    kept_back: bytes | None = None
    count = 0
    async for line in _lines(pieces):
        count += 1
        event = _decode(line)
        thing = event.get("object")
        if isinstance(thing, dict):
            chooser.memory.keep_event(occasion.path, thing)
        rule = chooser.choose(replace(occasion, number=f"{occasion.number}.{count}"))
        kind = rule.mutation if rule is not None else None
        if kind is Mutation.DROP_EVENT:
            continue
        if kind is Mutation.REORDER_EVENTS and kept_back is None:
            kept_back = line
            continue
        if kind is Mutation.SILENCE_WATCH:
            await asyncio.Event().wait()  # until the client has had enough
        if kind is Mutation.HOLD_EVENT:
            assert rule is not None
            await asyncio.sleep(rule.seconds or 0.0)
        if kind is Mutation.CUT_WATCH:
            await response.write(line[: len(line) // 2])
            return
        if kind is Mutation.ERROR_EVENT:
            expired = json.loads(failure(410, occasion.path).body)
            await response.write(_encode({"type": "ERROR", "object": expired}))
            return
        if kind is Mutation.OLD_BOOKMARK:
            await response.write(_old_bookmark(thing))
        if kind is Mutation.WRONG_EVENT_TYPE:
            assert rule is not None
            await response.write(_encode({**event, "type": rule.event_type}))
        else:
            await response.write(line * (2 if kind is Mutation.DOUBLE_EVENT else 1))
        if kept_back is not None:
            await response.write(kept_back)
            kept_back = None
    if kept_back is not None:
        await response.write(kept_back)


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line + b"\n"


def _decode(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _encode(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode() + b"\n"


def _old_bookmark(thing: Any) -> bytes:
    """Make a bookmark of a version that is older than an object's."""
    metadata = thing.get("metadata") if isinstance(thing, dict) else None
    text = metadata.get("resourceVersion", "") if isinstance(metadata, dict) else ""
    version = max(1, int(text) - VERSIONS_BACK) if str(text).isdecimal() else 1
    bookmark = {
        "kind": "Lease",
        "apiVersion": "coordination.k8s.io/v1",
        "metadata": {"resourceVersion": str(version), "creationTimestamp": None},
        "spec": {},
    }
    return _encode({"type": "BOOKMARK", "object": bookmark})
