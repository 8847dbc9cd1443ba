"""
A compare-and-swap store for one Lease, with the rules of the real API server.

It shares no code with the core: the core's mistakes must not be made here again.
Objects are never changed once stored, so they are handed out without copies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

_MICRO_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}(Z|[+-]\d{2}:\d{2})"
).fullmatch
_INT32 = 2**31 - 1
_TIMES = ("acquireTime", "renewTime")
_LEAST = (("leaseDurationSeconds", 1), ("leaseTransitions", 0))

CREATED = "2025-01-01T00:00:00Z"
"""When every Lease was created: nobody looks."""
RHO = 0.1
"""The bound on the error of a clock's rate that the guarantees assume."""
STEP_DOWN = "kubernetes-leader-election/step-down"
SUCCESSOR = "kubernetes-leader-election/successor"
TOKEN = "kubernetes-leader-election/fencing-token"  # noqa: S105 - no secret
POD = "kubernetes-leader-election/pod"
CHALLENGE = "kubernetes-leader-election/challenge"
"""Annotations of ours, as the documentation names them."""

_is_micro_time = lru_cache(maxsize=256)(lambda text: _MICRO_TIME(text) is not None)
"""Each time is written more than once: an acquire time with every renewal."""

Stamp = tuple[str, str, object, object]
"""Uid, holder, acquire time, renew time: what proves who wrote a record."""
Key = tuple[str, str, object, object, object, object]
"""Uid, holder, duration, acquire time, renew time, transitions: what counts as change."""


class Stored:
    """One version of the Lease, with what the checkers look at taken out once."""

    __slots__ = (
        "asked",
        "challenged",
        "duration",
        "held",
        "holder",
        "key",
        "lease",
        "mark",
        "pod",
        "restores",
        "stamp",
        "successor",
        "uid",
        "version",
    )

    def __init__(
        self, lease: Mapping[str, Any], version: int, uid: str, restores: int = 0
    ) -> None:
        spec = lease.get("spec") or {}
        self.lease = lease
        self.version = version
        self.restores = restores
        """How often the store had gone back to a backup when this was stored."""
        self.mark = (restores, version)
        """That, and the version: what is newer, whatever a restore made of versions."""
        self.uid = uid
        self.holder: str = spec.get("holderIdentity") or ""
        self.held = bool(self.holder)
        annotations = (lease.get("metadata") or {}).get("annotations") or {}
        self.asked: object = annotations.get(STEP_DOWN)
        """The term that is asked to end, by its acquire time."""
        self.successor: object = annotations.get(SUCCESSOR)
        self.duration: int | None = spec.get("leaseDurationSeconds")
        acquired, renewed = spec.get("acquireTime"), spec.get("renewTime")
        transitions = spec.get("leaseTransitions")
        holder = self.holder
        self.pod: object = annotations.get(POD)
        """Where the proof of its holder's end would be found, if it is for this record."""
        self.challenged = False
        """Whether its holder is asked, about this very record, whether it lives."""
        if CHALLENGE in annotations:
            about = f"1 {acquired} {renewed} {holder}"
            self.challenged = annotations[CHALLENGE] == about
        self.key: Key = (uid, holder, self.duration, acquired, renewed, transitions)
        self.stamp: Stamp = (uid, holder, acquired, renewed)

    @property
    def noted(self) -> tuple[str, str, float] | None:
        """Return uid, nonce and challenge, in seconds, of the note for this record."""
        text, (_, holder, _, acquired, renewed, _) = self.pod, self.key
        record = f" {acquired} {renewed} {holder}"
        if not isinstance(text, str) or not text.startswith("1 ") or not holder:
            return None
        fields = text.removesuffix(record).split(" ")
        if not text.endswith(record) or len(fields) != 7:
            return None
        return fields[3], fields[5], int(fields[6]) / 1000


class Change(NamedTuple):
    """One entry of the watch history."""

    time: float
    version: int
    type: str
    stored: Stored


class Answer(NamedTuple):
    """What the server answers: an HTTP status, and an object or a reason."""

    status: int
    stored: Stored | None = None
    reason: str = ""


CONFLICT = Answer(409, None, "Conflict")
WRONG_UID = Answer(409, None, "Precondition failed: UID in precondition")
NO_VERSION = Answer(422, None, "must be specified for an update")
NOT_FOUND = Answer(404, None, "NotFound")


def refuse(spec: Mapping[str, Any]) -> Answer | None:
    """Validate a spec as the server does; None when it is good."""
    get = spec.get
    holder, duration = get("holderIdentity"), get("leaseDurationSeconds")
    transitions = get("leaseTransitions")
    if (  # nearly all of them are good
        type(holder) is str
        and type(duration) is type(transitions) is int
        and 1 <= duration <= _INT32
        and 0 <= transitions <= _INT32
        and type(acquired := get("acquireTime")) is str
        and type(renewed := get("renewTime")) is str
        and _is_micro_time(acquired)
        and _is_micro_time(renewed)
    ):
        return None
    for name in _TIMES:
        value = get(name)
        if value is not None and not (isinstance(value, str) and _is_micro_time(value)):
            return Answer(400, None, f"spec.{name} cannot be parsed as a MicroTime")
    for name, least in _LEAST:
        value = get(name)
        if value is None or (type(value) is int and least <= value <= _INT32):
            continue
        if type(value) is not int or value > _INT32:
            return Answer(400, None, f"spec.{name} cannot be decoded as an int32")
        return Answer(422, None, f"spec.{name}: must be at least {least}")
    if holder is not None and not isinstance(holder, str):
        return Answer(400, None, "spec.holderIdentity cannot be decoded as a string")
    return None


class LeaseStore:
    """
    Keep one named Lease and the history that watches are served from.

    ``current`` is the Lease now or None; ``version`` is the counter that all objects
    of the server share, so it grows by more than one a write.
    """

    __slots__ = (
        "_made",
        "_restores",
        "cap",
        "current",
        "floor",
        "history",
        "name",
        "namespace",
        "takes_away",
        "version",
    )

    def __init__(self, *, name: str, namespace: str, version: int = 100) -> None:
        self.name = name
        self.namespace = namespace
        self.version = version
        self.floor = version
        self.current: Stored | None = None
        self.history: list[Change] = []
        self.cap: int | None = None
        """Seconds to which a policy cuts each duration that is written."""
        self.takes_away: str | None = None
        """An annotation that a policy takes off whatever is written."""
        self._made = 0
        self._restores = 0

    def put(self, time: float, lease: Mapping[str, Any]) -> Answer:
        """Replace the Lease, or create it where there is none."""
        metadata: Mapping[str, Any] = lease.get("metadata") or {}
        spec: Mapping[str, Any] = lease.get("spec") or {}
        if metadata.get("name") != self.name:
            return Answer(400, None, "the name of the object does not match the URL")
        refused = refuse(spec)
        if refused is not None:
            return refused
        if self.cap is not None and (spec.get("leaseDurationSeconds") or 0) > self.cap:
            lease = {**lease, "spec": {**spec, "leaseDurationSeconds": self.cap}}
        notes = metadata.get("annotations")
        if self.takes_away is not None and notes and self.takes_away in notes:
            notes = {k: v for k, v in notes.items() if k != self.takes_away}
            metadata = {**metadata, "annotations": notes}
            lease = {**lease, "metadata": metadata}
        current = self.current
        uid = metadata.get("uid")
        if current is None:
            if uid:
                return WRONG_UID
            self._made += 1
            return Answer(201, self._store(time, "ADDED", lease, f"uid-{self._made}"))
        if uid and uid != current.uid:
            return WRONG_UID
        version = metadata.get("resourceVersion")
        if not version or version == "0":
            return NO_VERSION
        if version != str(current.version):
            return CONFLICT
        if lease == current.lease:
            return Answer(200, current)  # a no-op: same version, no event
        return Answer(200, self._store(time, "MODIFIED", lease, current.uid))

    def delete(self, time: float) -> Answer:
        """Delete the Lease; the event carries its last state at a new version."""
        current = self.current
        if current is None:
            return NOT_FOUND
        self._store(time, "DELETED", current.lease, current.uid)
        self.current = None
        return Answer(200, current)

    def label(self, time: float, value: str) -> None:
        """Change a label and nothing else, as controllers do."""
        self._touch(time, "labels", "touched", value)

    def recreate(self, time: float) -> bool:
        """Delete the Lease and create it from its own manifest: only the uid is new."""
        gone = self.current
        if gone is None:
            return False
        self.delete(time)
        self._create_again(time, gone)
        return True

    def move(self, time: float) -> None:
        """Create the Lease from its manifest on a server that has just begun to count."""
        gone = self.current
        assert gone is not None
        self.lose()
        self._create_again(time, gone)

    def lose(self) -> None:
        """Go back to a backup from before the Lease was made."""
        self._restores += 1
        self.version = self.floor = 10 * self._restores
        self.history, self.current = [], None

    def _create_again(self, time: float, gone: Stored) -> None:
        metadata = dict(gone.lease["metadata"])
        del metadata["uid"], metadata["resourceVersion"]
        self.put(time, {**gone.lease, "metadata": metadata})

    def annotate(self, time: float, name: str, value: str) -> None:
        """Change an annotation and nothing else."""
        self._touch(time, "annotations", name, value)

    def _touch(self, time: float, field: str, name: str, value: str) -> None:
        if self.current is not None:
            metadata = self.current.lease["metadata"]
            named = {**(metadata.get(field) or {}), name: value}
            lease = {**self.current.lease, "metadata": {**metadata, field: named}}
            self._store(time, "MODIFIED", lease, self.current.uid)

    def edit(self, time: float, changes: Mapping[str, Any]) -> bool:
        """Change the spec as a person with an editor does; False without a Lease."""
        if self.current is None:
            return False
        lease = {
            **self.current.lease,
            "spec": {**self.current.lease["spec"], **changes},
        }
        self._store(time, "MODIFIED", lease, self.current.uid)
        return True

    def put_back(self, time: float, old: Stored, **changes: object) -> None:
        """Replace the Lease by an old manifest of itself, perhaps edited, by hand."""
        current = self.current
        assert current is not None
        lease = {**old.lease, "spec": {**old.lease["spec"], **changes}}
        self._store(time, "MODIFIED", lease, current.uid)

    def restore(self, time: float) -> bool:
        """Go back to a backup taken at ``time``; False when there is none so old."""
        past = [change for change in self.history if change.time <= time]
        if not past or past[-1].version == self.version:
            return False
        last = past[-1]
        self.version = last.version
        self.floor = last.version
        self.history = []
        self._restores += 1
        self.current = None
        if last.type != "DELETED":
            old = last.stored
            self.current = Stored(old.lease, old.version, old.uid, self._restores)
        return True

    def roll_back(self) -> bool:
        """
        Go back to when another one held the Lease, and count on from where it was.

        So does a restore of etcd that raises the revision, as Kubernetes advises.
        """
        newest, current = self.version, self.current
        if current is None or not current.held:
            return False
        later: float | None = None
        for change in reversed(self.history):
            past, later, after = change.stored, change.time, later
            if change.time == after:
                continue  # a backup has what is there when an instant is over
            if change.type != "DELETED" and past.held and past.holder != current.holder:
                self.restore(change.time)
                self.version = newest + 100
                return True
        return False

    def compact(self) -> None:
        """Forget the history: every watch that starts in the past gets a 410."""
        self.floor = self.version

    def since(self, version: int) -> list[Change] | None:
        """Return what happened after ``version``; None when that is too old."""
        if version < self.floor:
            return None
        changes: list[Change] = []
        for change in reversed(self.history):
            if change.version <= version:
                break
            changes.append(change)
        changes.reverse()
        return changes

    def at(self, time: float) -> Stored | None:
        """Return the Lease as a lagging reader saw it at ``time``."""
        if not self.history:
            return self.current
        for change in reversed(self.history):
            if change.time <= time:
                return None if change.type == "DELETED" else change.stored
        return None

    def _store(
        self, time: float, kind: str, lease: Mapping[str, Any], uid: str
    ) -> Stored:
        # Other objects are written too: 1 to 3 versions a write.
        self.version += 1 + self.version % 3
        current = self.current
        metadata = {
            **lease["metadata"],
            "namespace": self.namespace,
            "uid": uid,
            "resourceVersion": str(self.version),
        }
        made = current.lease["metadata"]["creationTimestamp"] if current else CREATED
        metadata["creationTimestamp"] = made
        whole = {**lease, "metadata": metadata}
        stored = Stored(whole, self.version, uid, self._restores)
        self.current = stored
        self.history.append(Change(time, self.version, kind, stored))
        return stored
