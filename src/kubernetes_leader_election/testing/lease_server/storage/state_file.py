"""
A file that keeps the objects: a line for each change, written before it is answered.

The file begins with every object as it was at the last start and grows by one line a
change; it is rewritten (into a second file, which then takes its place) when it has
grown long. A process killed at any instant leaves at worst half a line at the end,
whose change nobody was told of: it is dropped on the next start. Against a loss of
power there is no promise.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.testing.lease_server.api.resources import RESOURCES
from kubernetes_leader_election.testing.lease_server.storage.store import (
    Backup,
    Change,
    Key,
    Store,
    Stored,
)

__all__ = ["Keeper", "load"]

REWRITE_AFTER = 10_000
"""Lines after which the file is rewritten: a few megabytes of Leases."""

_BY_NAME = {one.qualified: one for one in RESOURCES}


_BEGIN = b'{"revision":'
"""How each line begins."""


def _line(key: Key, revision: int, document: dict[str, Any] | None) -> bytes:
    resource, namespace, name = key
    content = {
        "revision": revision,
        "key": [resource.qualified, namespace, name],
        "object": document,
    }
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def load(file: Path, store: Store) -> None:
    """
    Fill a store from a file; a file that is not there is an empty one.

    Raises:
        ConfigurationError: The file is something else.
    """
    try:
        lines = file.read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    # What follows the last newline is empty, or was cut off by a kill; it counts only
    # where it cannot be one of our lines, so that no other file is written over.
    if _BEGIN.startswith(lines[-1][: len(_BEGIN)]):
        lines.pop()
    objects: dict[Key, Stored] = {}
    revision = store.revision
    for number, line in enumerate(lines, start=1):
        try:
            content = json.loads(line)
            plural, namespace, name = content["key"]
            key = (_BY_NAME[plural], namespace, name)
            revision = max(revision, int(content["revision"]))
            if content["object"] is None:
                objects.pop(key, None)
            else:
                version = int(content["object"]["metadata"]["resourceVersion"])
                objects[key] = Stored(content["object"], version)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ConfigurationError(
                f"{file}, line {number}, is not the state of a Lease server; "
                "give another file, or move this one away",
                option="state",
            ) from error
    store.restore(Backup(revision, objects))


class Keeper:
    """Write every change of a store to a file, before anybody is told of it."""

    def __init__(self, file: Path, store: Store) -> None:
        self._file = file
        self._store = store
        self._lines = 0
        self._descriptor = -1
        self.rewrite()
        store.listeners.append(self._changed)

    def _changed(self, change: Change) -> None:
        gone = change.kind == "DELETED"
        document = None if gone else change.stored.document
        self._write(_line(change.key, change.revision, document))
        self._lines += 1
        if self._lines >= REWRITE_AFTER:
            self.rewrite()

    def _write(self, content: bytes) -> None:
        view = memoryview(content)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def rewrite(self) -> None:
        """Write the present state anew and put it in the place of the old file."""
        fresh = self._file.with_name(self._file.name + ".new")
        backup = self._store.backup()
        lines = [
            _line(key, backup.revision, stored.document)
            for key, stored in backup.objects.items()
        ]
        fresh.write_bytes(b"".join(lines))
        descriptor = os.open(fresh, os.O_WRONLY | os.O_APPEND)
        fresh.replace(self._file)
        self.close()
        self._descriptor = descriptor
        self._lines = 0

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
