"""
Who set which field: the ``managedFields`` of metadata.

A field is a path such as ``("f:spec", "f:holderIdentity")``. Labels and annotations are
owned key by key, finalizers value by value, owner references by uid; everything else
in a Lease is a single value. Of kinds that are only kept, the books are as shallow.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from kubernetes_leader_election.testing.lease_server.kubectl.go_time import (
    write_seconds,
)

__all__ = ["Managers", "Path", "body_of", "leaves", "track_update"]

Path = tuple[str, ...]

_UNTRACKED = frozenset(
    {
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "generation",
        "managedFields",
        "resourceVersion",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    }
)
_META = "f:metadata"
_HEAD = frozenset({"kind", "apiVersion", "metadata"})


class UpdateOptions(Protocol):
    """What tracking needs to know of a write."""

    @property
    def now(self) -> datetime:
        """Return the moment of the write."""

    @property
    def manager(self) -> str:
        """Return the writer's name."""


def leaves(document: Mapping[str, Any], *, parents: bool = True) -> dict[Path, Any]:
    """
    Flatten an object into its owned paths and their values.

    With ``parents`` the maps and lists that hold owned keys are paths themselves.
    """
    found: dict[Path, Any] = {}
    for key, value in document.get("metadata", {}).items():
        if key in _UNTRACKED:
            continue
        root = (_META, f"f:{key}")
        children = _children(key, value)
        if children is None:
            found[root] = value
            continue
        if parents or not children:
            found[root] = None
        for child, one in children.items():
            found[*root, child] = one
    for section, held in body_of(document).items():
        if held == {} and not parents:
            # Whoever applies an empty spec owns that it is there.
            found[f"f:{section}",] = held
        if not isinstance(held, dict):
            found[f"f:{section}",] = held
            continue
        for key, value in held.items():
            found[f"f:{section}", f"f:{key}"] = value
    return found


def body_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an object has beside its type and its metadata: a spec, as a rule."""
    return {key: one for key, one in document.items() if key not in _HEAD}


def _children(key: str, value: Any) -> dict[str, Any] | None:
    if key in {"labels", "annotations"}:
        return {f"f:{name}": one for name, one in value.items()}
    if key == "finalizers":
        return {f"v:{json.dumps(one)}": one for one in value}
    if key == "ownerReferences":
        return {
            "k:" + json.dumps({"uid": one.get("uid", "")}, separators=(",", ":")): one
            for one in value
        }
    return None


@dataclass(slots=True)
class _Entry:
    """The fields of one manager, in one way of writing."""

    fields: set[Path]
    time: str | None


class Managers:
    """The books of one object: an entry for each manager and operation."""

    def __init__(self, entries: Iterable[Mapping[str, Any]] = ()) -> None:
        self._entries: dict[tuple[str, str, str], _Entry] = {}
        for entry in entries:
            key = (
                entry.get("operation", ""),
                entry.get("manager", ""),
                entry.get("apiVersion", ""),
            )
            fields = _paths(entry.get("fieldsV1") or {})
            self._entries[key] = _Entry(fields, entry.get("time"))

    def __bool__(self) -> bool:
        return bool(self._entries)

    def fields(self, operation: str, manager: str, api_version: str) -> set[Path]:
        """Return what the manager owns."""
        entry = self._entries.get((operation, manager, api_version))
        return set(entry.fields) if entry else set()

    def others(
        self, operation: str, manager: str
    ) -> list[tuple[tuple[str, str, str], set[Path]]]:
        """Return the entries of everybody else."""
        return [
            (key, entry.fields)
            for key, entry in self._entries.items()
            if key[:2] != (operation, manager)
        ]

    def book(
        self, operation: str, manager: str, version: str, fields: set[Path], now: str
    ) -> None:
        """Write down what the manager owns from now on; who owns nothing is gone."""
        if fields:
            self._entries[operation, manager, version] = _Entry(fields, now)
        else:
            self._entries.pop((operation, manager, version), None)

    def drop(self, fields: set[Path], *, but: tuple[str, str] | None = None) -> None:
        """Take fields from everybody; who owned nothing else is gone."""
        for key, entry in list(self._entries.items()):
            if key[:2] == but or not entry.fields & fields:
                continue
            entry.fields = entry.fields - fields
            if not entry.fields:
                del self._entries[key]

    def documents(self) -> list[dict[str, Any]]:
        """Return the entries as they stand on the wire, in the real server's order."""
        ordered = sorted(
            self._entries.items(),
            key=lambda item: (item[0][0], item[1].time or "", item[0][1]),
        )
        return [
            {
                "manager": manager,
                "operation": operation,
                "apiVersion": version,
                **({"time": entry.time} if entry.time else {}),
                "fieldsType": "FieldsV1",
                "fieldsV1": _tree(entry.fields),
            }
            for (operation, manager, version), entry in ordered
        ]


def _paths(tree: Mapping[str, Any], prefix: Path = ()) -> set[Path]:
    found: set[Path] = set()
    for key, below in tree.items():
        if key == ".":
            found.add(prefix)
        elif below:
            found |= _paths(below, (*prefix, key))
        else:
            found.add((*prefix, key))
    return found


def _tree(paths: Iterable[Path]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    ordered = sorted(paths)
    inner = {path[:depth] for path in ordered for depth in range(1, len(path))}
    for path in ordered:
        node = root
        for step in path:
            node = node.setdefault(step, {})
        if path in inner:
            node["."] = {}
    return root


def _is_readable(entry: Mapping[str, Any]) -> bool:
    """Return whether an entry sent by a client can be used; else the stored ones are."""
    return (
        entry.get("operation") in {"Apply", "Update"}
        and bool(entry.get("apiVersion"))
        and entry.get("fieldsType") == "FieldsV1"
    )


_TRACKED = ("generateName", "labels", "annotations", "ownerReferences", "finalizers")


def _compared(
    live: dict[str, Any] | None, new: dict[str, Any]
) -> tuple[dict[Path, Any], dict[Path, Any]]:
    """Return the paths before and after; of equal metadata none, which is quicker."""
    if live is None:
        return {}, leaves(new)
    old_meta, new_meta = live["metadata"], new["metadata"]
    if all(old_meta.get(key) == new_meta.get(key) for key in _TRACKED):
        return leaves(body_of(live)), leaves(body_of(new))
    return leaves(live), leaves(new)


def _owns(
    entry: Mapping[str, Any],
    changed: set[Path],
    new: Mapping[str, Any],
    options: UpdateOptions,
) -> bool:
    """Return whether the writer has all these fields of the spec already."""
    writer = ("Update", options.manager, new["apiVersion"])
    found = (entry.get("operation"), entry.get("manager"), entry.get("apiVersion"))
    owned = (entry.get("fieldsV1") or {}).get("f:spec", {})
    return found == writer and all(
        path[0] == "f:spec" and path[1] in owned for path in changed
    )


def track_update(
    live: dict[str, Any] | None, new: dict[str, Any], options: UpdateOptions
) -> list[dict[str, Any]]:
    """Return the entries after a create or an update; ``live`` is None for a create."""
    sent = new["metadata"].get("managedFields")
    if live is not None and sent in ([], [{}]):
        return []
    if sent and not all(map(_is_readable, sent)):
        sent = None
    known = live["metadata"].get("managedFields", []) if live else []
    if live is not None and not (sent or known):
        # Switched off by an empty list, until the next apply.
        return []
    before, after = _compared(live, new)
    changed = {
        path
        for path, value in after.items()
        if path not in before or before[path] != value
    }
    removed = before.keys() - after.keys()
    entries: list[dict[str, Any]] = sent or known
    if not changed and not removed:
        return entries
    if not removed and len(entries) == 1 and _owns(entries[0], changed, new, options):
        # A renewal, the common case: the same fields by the same hand.
        return [{**entries[0], "time": write_seconds(options.now)}]
    managers = Managers(entries)
    version = new["apiVersion"]
    own = managers.fields("Update", options.manager, version)
    managers.drop(changed | removed, but=("Update", options.manager))
    owned = (own | changed) - removed
    now = write_seconds(options.now)
    managers.book("Update", options.manager, version, owned, now)
    return managers.documents()
