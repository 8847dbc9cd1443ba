"""Answers of a mutating proxy: what it remembers, and what it makes of them."""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kubernetes_leader_election.testing.mutations import Mutation, Occasion

__all__ = ["Given", "Memory", "failure", "foreign", "oversized"]

MOST_ANSWERS = 256
MOST_STATES = 32
OVERSIZE = 16 << 20
"""Bytes; no client of Leases should read so many."""

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@dataclass(frozen=True, slots=True)
class Given:
    """An answer with its body, ready to be given."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Memory:
    """Bounded remembrance of answers and of the states of objects."""

    def __init__(self) -> None:
        self._answers: deque[tuple[tuple[str, str, str], Given]] = deque(
            maxlen=MOST_ANSWERS
        )
        self._states: dict[str, deque[Given]] = {}

    def keep(self, occasion: Occasion, given: Given) -> None:
        """Remember an answer, and the object in it."""
        self._answers.append((_key(occasion), given))
        if given.status in {200, 201} and occasion.verb in {"get", "update", "patch"}:
            self._keep_state(occasion.path, given)

    def keep_event(self, collection: str, thing: Mapping[str, Any]) -> None:
        """Remember the object that an event of a watch showed."""
        metadata = thing.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        if isinstance(name, str):
            body = json.dumps(thing).encode()
            self._keep_state(f"{collection}/{name}", Given(200, _JSON, body))

    def _keep_state(self, path: str, given: Given) -> None:
        states = self._states.setdefault(path, deque(maxlen=MOST_STATES))
        if not states or states[-1].body != given.body:
            states.append(replace(given, status=200))

    def impossible(self, occasion: Occasion) -> frozenset[Mutation]:
        """Return the mutations for which nothing fitting is remembered."""
        none = set()
        if len(self._states.get(occasion.path, ())) < 2:
            none.add(Mutation.STALE_READ)
        if self.last_answer(occasion) is None:
            none.add(Mutation.REPLAY_ANSWER)
        if self.other_answer(occasion) is None:
            none.add(Mutation.SWAP_ANSWER)
        return frozenset(none)

    def last_answer(self, occasion: Occasion) -> Given | None:
        """Return the last answer to the same request of the same lane."""
        wanted = _key(occasion)
        return next((a for key, a in reversed(self._answers) if key == wanted), None)

    def other_answer(self, occasion: Occasion) -> Given | None:
        """Return the last answer to another kind of request, or of another lane."""
        own = _key(occasion)
        return next((a for key, a in reversed(self._answers) if key != own), None)

    def older_state(self, occasion: Occasion) -> Given:
        """Return a state of the object that is not the newest one known."""
        older = list(self._states[occasion.path])[:-1]
        # By the number alone, so that a replay finds the same one.
        return random.Random(f"{occasion.lane}:{occasion.number}").choice(older)


_JSON: Mapping[str, str] = {"Content-Type": "application/json"}


def _key(occasion: Occasion) -> tuple[str, str, str]:
    return (occasion.lane, occasion.verb, occasion.path)


def failure(status: int, path: str) -> Given:
    """Return a failure as an API server words it."""
    headers = dict(_JSON)
    if status == 429:
        headers["Retry-After"] = "1"
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "a mutation of a test",
        "reason": _REASONS.get(status, ""),
        "details": {
            "name": path.rpartition("/")[2],
            "group": "coordination.k8s.io",
            "kind": "leases",
        },
        "code": status,
    }
    return Given(status, headers, json.dumps(body).encode())


def foreign(given: Given) -> Given:
    """Return an answer that shows an object of another name."""
    try:
        thing = json.loads(given.body)
        thing["metadata"]["name"] = f"{thing['metadata'].get('name', '')}-other"
    except (ValueError, KeyError, TypeError, AttributeError):
        thing = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "other"}}
    return replace(given, body=json.dumps(thing).encode())


def oversized(given: Given) -> Given:
    """Return an answer that is still right, and far too large."""
    return replace(given, body=given.body + b" " * OVERSIZE)
