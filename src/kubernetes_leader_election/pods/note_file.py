"""
The note that this process leaves in its container's termination file.

A nonce that nobody can guess, on a line of its own. The kubelet shows it in the pod's
status, and only after this very container has ended.
"""

from __future__ import annotations

import os
import secrets
import stat
import time
from typing import Final, Literal

from kubernetes_leader_election.pods.names import NoNote
from kubernetes_leader_election.pods.termination import (
    TerminationFile,
    termination_file,
)
from kubernetes_leader_election.process import native
from kubernetes_leader_election.process.fork import PerProcess
from kubernetes_leader_election.values import Value, hidden

__all__ = [
    "KUBELET_READS",
    "LONGEST_LINE",
    "NoteFile",
    "NoteLook",
    "leave_note",
    "look_of_process",
    "note_of_process",
]

KUBELET_READS: Final = 4096
"""Bytes at the end of the file that the kubelet reads when the container has ended."""
LONGEST_LINE: Final = 64
"""Bytes that a note takes at most, so that one write is never a part of it."""
LOOK_EVERY: Final = 1.0
"""Seconds at least between two looks at a note."""
_NONCE_BYTES: Final = 16

NoteState = Literal["good", "replaced", "lost"]
"""``replaced``: the file is another one; ``lost``: the nonce is no longer in it."""


class NoteFile(Value):
    """The note of this process. It keeps no descriptor open."""

    file: TerminationFile
    nonce: str = hidden()
    device: int
    inode: int

    def state(self) -> NoteState:
        """
        Return what has become of the note: a kubelet would show it only while "good".

        Opens and reads the file, a few kilobytes on the node's disk.
        """
        try:
            descriptor = _open(self.file.path, os.O_RDONLY)
        except OSError:
            return "replaced"
        try:
            status = os.fstat(descriptor)
            if (status.st_dev, status.st_ino) != (self.device, self.inode):
                return "replaced"
            return (
                "good" if _has_line(descriptor, status.st_size, self.nonce) else "lost"
            )
        except OSError:
            return "lost"
        finally:
            os.close(descriptor)

    def is_good(self) -> bool:
        """Return whether a kubelet would show the note, if the container ended now."""
        return self.state() == "good"


class NoteLook:
    """
    What the last look at a note found. Any thread; never blocks.

    A look is a short thread's own, at most one at a time: the file lies on the node's
    disk, which may hang, and whoever renews must not hang with it. Nothing depends on
    how old the answer is: with a note that is gone nobody proves anything.
    """

    def __init__(self, file: NoteFile) -> None:
        self._file = file
        self._lock = native.Lock()
        self._state: NoteState = "good"
        """What the last look found; a note that was just left is there."""
        self._looking = False
        """Whether a look is under way. Under the lock."""
        self._looked_at = 0.0
        """When the last one began (CLOCK_MONOTONIC). Under the lock."""

    def is_good(self) -> bool:
        """Return whether the last look found the note, and look again for the next."""
        if self._begins():
            try:
                native.start_thread(self._look, name="leader-election-note")
            except (RuntimeError, MemoryError):
                self._looking = False  # no thread to be had: looked at later
        return self._state == "good"

    def _begins(self) -> bool:
        now = time.monotonic()
        with self._lock:
            early = now < self._looked_at + LOOK_EVERY
            if self._looking or early or self._state != "good":
                return False
            self._looking, self._looked_at = True, now
            return True

    def _look(self) -> None:
        try:
            self._state = self._file.state()
        finally:
            self._looking = False


def leave_note(file: TerminationFile) -> NoteFile | NoNote:
    """
    Append a new nonce to the termination file, in one write, and read it back.

    Blocks for that write. What is already in the file stays.
    """
    nonce = secrets.token_hex(_NONCE_BYTES)
    try:
        descriptor = _open(file.path, os.O_RDWR | os.O_APPEND)
    except OSError as error:
        return _unusable(file, error)
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            return NoNote(why=f"{file.path} is no file")
        # What stands in it may have no end of line: the note needs a line of its own.
        line = f"{chr(10) if before.st_size else ''}{nonce}\n".encode()
        written = os.write(descriptor, line)
        after = os.fstat(descriptor)
        if written != len(line) or not _has_line(descriptor, after.st_size, nonce):
            return NoNote(why=f"what was written to {file.path} cannot be read back")
    except OSError as error:
        return _unusable(file, error)
    finally:
        os.close(descriptor)
    return NoteFile(file=file, nonce=nonce, device=before.st_dev, inode=before.st_ino)


def note_of_process() -> NoteFile | NoNote:
    """
    Return the note of this process, which the first call leaves; a child has its own.

    May be called by any thread.
    """
    return _note()()


def look_of_process() -> NoteLook | None:
    """Return who looks after the note of this process; None: it has left none."""
    return _note().look


class _OnceLeft:
    """The note of one process, left when it is first asked for."""

    def __init__(self) -> None:
        self._lock = native.Lock()
        self._note: NoteFile | NoNote | None = None
        self.look: NoteLook | None = None
        """Looks after it; None: there is none."""

    def __call__(self) -> NoteFile | NoNote:
        with self._lock:
            if self._note is None:
                file = termination_file()
                self._note = file if isinstance(file, NoNote) else leave_note(file)
                if not isinstance(self._note, NoNote):
                    self.look = NoteLook(self._note)
            return self._note


_note: Final = PerProcess(_OnceLeft)


def _open(path: str, flags: int) -> int:
    """Open without following a link, waiting for a pipe, or leaving it to a child."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _has_line(descriptor: int, size: int, nonce: str) -> bool:
    """Return whether the nonce is a whole line of what the kubelet would read."""
    start = max(0, size - KUBELET_READS)
    lines = os.pread(descriptor, KUBELET_READS, start).split(b"\n")
    return nonce.encode() in (lines[1:] if start else lines)


def _unusable(file: TerminationFile, error: OSError) -> NoNote:
    return NoNote(
        why=f"the termination file {file.path} cannot be used "
        f"({error.strerror or error})"
    )
