"""
The storage: objects, one counter of versions for all of them, and a history.

Pure: no clock, no threads, no randomness; the moment and the new uid come in with the
call. It plays the part etcd plays, and the rules of the API stand in ``registry.py``.

**Theory of operation.** Every change takes the next number of one counter, the
resourceVersion, and is appended to the history. Documents are immutable once stored:
whoever wants another one builds it anew. A watch is a place in the history; what it
may still ask for is bounded below by ``compacted`` (raised by forgetting) and
``started`` (raised by a restart of the server, which empties the history).
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from kubernetes_leader_election.testing.lease_server.api.resources import Resource
from kubernetes_leader_election.testing.lease_server.http.statuses import encode

__all__ = ["Backup", "Change", "Key", "Store", "Stored"]

ChangeKind = Literal["ADDED", "MODIFIED", "DELETED"]
Key = tuple[Resource, str, str]
"""Resource, namespace ("" for kinds without one) and name."""

HISTORY_LIMIT = 10_000
"""
Changes remembered for watches: about ten megabytes of Leases.

The real server keeps 100 to 102,400, as many as there are in 75 seconds.
"""


class Stored:
    """
    One version of one object: a document, its bytes, or both.

    What is present has both; what is history keeps the bytes alone, which are a fifth
    of the size, and is read again in the rare case that somebody asks.
    """

    __slots__ = ("_document", "_encoded", "revision")

    def __init__(self, document: dict[str, Any], revision: int) -> None:
        self._document: dict[str, Any] | None = document
        self._encoded: bytes | None = None
        self.revision = revision

    @property
    def document(self) -> dict[str, Any]:
        """Return the object; nobody may change it."""
        if self._document is not None:
            return self._document
        assert self._encoded is not None
        document: dict[str, Any] = json.loads(self._encoded)
        return document

    @property
    def encoded(self) -> bytes:
        """Return the object as JSON, encoded once."""
        if self._encoded is None:
            self._encoded = encode(self._document)
        return self._encoded

    def shrink(self) -> None:
        """Become history: keep the bytes alone."""
        if self._document is not None:
            self._encoded = self.encoded
            self._document = None

    @property
    def uid(self) -> str:
        """Return the object's uid."""
        uid: str = self.document["metadata"]["uid"]
        return uid


@dataclass(slots=True)
class Change:
    """One entry of the history; for a deletion ``stored`` is the last state."""

    kind: ChangeKind
    key: Key
    stored: Stored
    previous: Stored | None
    _line: bytes | None = field(default=None, repr=False)

    def delivered(self) -> None:
        """Forget the line; whoever asks later gets it made anew."""
        self._line = None

    @property
    def revision(self) -> int:
        """Return the number this change took."""
        return self.stored.revision

    @property
    def line(self) -> bytes:
        """Return the watch event as one line of JSON, encoded once for all watches."""
        if self._line is None:
            self._line = watch_line(self.kind, self.stored.encoded)
        return self._line


def watch_line(kind: str, encoded: bytes) -> bytes:
    """Frame an encoded object as one line of a watch."""
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), encoded.rstrip(b"\n"))


@dataclass(frozen=True, slots=True)
class Backup:
    """All objects and the counter at one moment, as a backup of etcd holds them."""

    revision: int
    objects: dict[Key, Stored]


class Store:
    """
    Keep objects by key, number every change, remember the latest changes.

    .. code-block:: python

        store = Store()
        key = (LEASES, "default", "payments")
        store.put(key, {"metadata": {"name": "payments"}})
        assert store.get(key).revision == store.revision
    """

    def __init__(
        self, *, revision: int = 1, history_limit: int = HISTORY_LIMIT
    ) -> None:
        self.revision = revision
        self.started = revision
        self.compacted = revision
        self.listeners: list[Callable[[Change], None]] = []
        self._objects: dict[Key, Stored] = {}
        self._by_place: dict[tuple[Resource, str], dict[str, Stored]] = {}
        self._history: deque[Change] = deque()
        self._history_limit = history_limit

    def get(self, key: Key) -> Stored | None:
        """Find an object."""
        return self._objects.get(key)

    def objects(self, resource: Resource, namespace: str = "") -> list[Stored]:
        """Return the objects of a namespace, or of all, sorted as etcd sorts them."""
        if namespace:
            place = self._by_place.get((resource, namespace), {})
            return [place[name] for name in sorted(place)]
        found: list[Stored] = []
        # By whole keys: a hyphen in a namespace comes before the slash behind another.
        spaces = sorted(
            (space for kind, space in self._by_place if kind == resource),
            key=lambda space: f"{space}/",
        )
        for space in spaces:
            place = self._by_place[resource, space]
            found += [place[name] for name in sorted(place)]
        return found

    def put(self, key: Key, document: dict[str, Any]) -> Stored:
        """Store a document under the next number, which is written into it."""
        previous = self._objects.get(key)
        stored = self._number(document)
        self._objects[key] = stored
        self._by_place.setdefault(key[:2], {})[key[2]] = stored
        kind: ChangeKind = "ADDED" if previous is None else "MODIFIED"
        self._remember(Change(kind, key, stored, previous))
        return stored

    def remove(self, key: Key) -> Stored:
        """Take an object away; its last state gets the next number."""
        previous = self._objects.pop(key)
        place = self._by_place[key[:2]]
        del place[key[2]]
        if not place:
            del self._by_place[key[:2]]
        stored = self._number(previous.document)
        self._remember(Change("DELETED", key, stored, previous))
        return stored

    def _number(self, document: dict[str, Any]) -> Stored:
        self.revision += 1
        metadata = _with_version(document["metadata"], str(self.revision))
        return Stored({**document, "metadata": metadata}, self.revision)

    def _remember(self, change: Change) -> None:
        self._history.append(change)
        if len(self._history) > self._history_limit:
            self.compacted = self._history.popleft().revision
        for listener in self.listeners:
            listener(change)
        change.delivered()
        if change.previous is not None:
            change.previous.shrink()

    @property
    def oldest(self) -> int:
        """Return the oldest resourceVersion a watch may start from."""
        return max(self.compacted, self.started)

    def since(self, revision: int) -> Iterator[Change]:
        """Return the remembered changes after ``revision``, oldest first."""
        newer: list[Change] = []
        for change in reversed(self._history):
            if change.revision <= revision:
                break
            newer.append(change)
        return reversed(newer)

    def earlier(self, key: Key, versions: int) -> Stored | None:
        """Return the state of an object ``versions`` changes of it ago, if remembered."""
        current = self._objects.get(key)
        for change in reversed(self._history):
            if versions == 0:
                return current
            if change.key == key:
                current = change.previous
                versions -= 1
        return current

    def objects_as_of(
        self, resource: Resource, namespace: str, revision: int
    ) -> list[Stored]:
        """Return the objects as they were at a remembered version, in storage order."""
        state = {
            key: stored
            for key, stored in self._objects.items()
            if key[0] == resource and (not namespace or key[1] == namespace)
        }
        for change in reversed(self._history):
            if change.revision <= revision:
                break
            if change.key[0] != resource or (namespace and change.key[1] != namespace):
                continue
            if change.previous is None:
                state.pop(change.key, None)
            else:
                state[change.key] = change.previous
        ordered = sorted(state, key=lambda one: f"{one[1]}/{one[2]}")
        return [state[key] for key in ordered]

    def compact(self) -> None:
        """Forget the history: a watch from any earlier version is answered 410."""
        self._history.clear()
        self.compacted = self.revision

    def restart(self) -> None:
        """Forget what a restarted server would not know."""
        # A real server writes a few objects of its own on start; so the version of
        # even an untouched object is too old afterwards.
        self.revision += 1
        self._history.clear()
        self.started = self.revision

    def backup(self) -> Backup:
        """Copy everything, as a backup of etcd does."""
        return Backup(self.revision, dict(self._objects))

    def restore(self, backup: Backup) -> None:
        """Go back to a backup, the counter too: versions will be given out again."""
        self._objects = dict(backup.objects)
        self._by_place = {}
        for key, stored in self._objects.items():
            self._by_place.setdefault(key[:2], {})[key[2]] = stored
        self._history.clear()
        self.revision = self.compacted = self.started = backup.revision


_ORDER = (
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
)


def _with_version(metadata: dict[str, Any], version: str) -> dict[str, Any]:
    """Write the version where the real server writes it: right after the uid."""
    if "resourceVersion" in metadata:
        return {**metadata, "resourceVersion": version}
    ordered = {key: metadata[key] for key in _ORDER if key in metadata}
    ordered["resourceVersion"] = version
    ordered.update((key, metadata[key]) for key in metadata if key not in ordered)
    return ordered
