"""The note in the termination file: left once, whole, and looked after."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from pathlib import Path

import pytest
from tests.pods.conftest import UID

from kubernetes_leader_election.pods import note_file
from kubernetes_leader_election.pods.names import NoNote
from kubernetes_leader_election.pods.note_file import (
    KUBELET_READS,
    LONGEST_LINE,
    NoteFile,
    leave_note,
    note_of_process,
)
from kubernetes_leader_election.pods.termination import TerminationFile
from kubernetes_leader_election.process.fork import this_process


@pytest.fixture
def path(tmp_path):
    """Make an empty termination file."""
    made = tmp_path / "termination-log"
    made.touch()
    return made


@pytest.fixture
def file(path):
    """Say what a pod's mounts would say of it."""
    return TerminationFile(path=str(path), pod_uid=UID, container="billing")


def test_note_is_a_line_of_its_own(path, file):
    """Note is a line of its own."""
    note = leave_note(file)
    assert path.read_text() == f"{note.nonce}\n"
    assert re.fullmatch(r"[0-9a-f]{32}", note.nonce)
    assert len(note.nonce) + 2 <= LONGEST_LINE
    assert note.is_good()


def test_what_stood_in_the_file_stays(path, file):
    """What stood in the file stays."""
    path.write_text("half a line")
    note = leave_note(file)
    assert path.read_text() == f"half a line\n{note.nonce}\n"


def test_note_is_one_write(path, file, monkeypatch):
    """Note is one write."""
    writes = []
    write = os.write
    monkeypatch.setattr(
        os, "write", lambda fd, data: writes.append(data) or write(fd, data)
    )
    leave_note(file)
    assert len(writes) == 1


def test_two_notes_differ(file):
    """Two notes differ."""
    assert leave_note(file).nonce != leave_note(file).nonce


def test_nonce_is_never_shown(file):
    """Nonce is never shown."""
    note = leave_note(file)
    assert note.nonce not in repr(note)


def open_files():
    """Give the names of the files that this process has open."""
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # that of the listing itself, or of a thread
            yield str(descriptor.readlink())


def test_no_descriptor_is_kept(file):
    """No descriptor is kept."""
    note = leave_note(file)
    note.is_good()
    assert file.path not in open_files()


def test_file_that_was_replaced_is_seen(path, file):
    """Fault 77: another file of that name is none of the kubelet's."""
    note = leave_note(file)
    path.rename(path.with_name("old"))
    assert note.state() == "replaced"
    path.write_text(f"{note.nonce}\n")
    assert note.state() == "replaced"


def test_nonce_that_is_gone_is_seen(path, file):
    """Fault 77: written over by the program itself, as its last words."""
    note = leave_note(file)
    path.write_text("bye\n")
    assert note.state() == "lost"
    assert not note.is_good()


def test_nonce_that_is_part_of_a_line_is_lost(path, file):
    """Nonce that is part of a line is lost."""
    note = leave_note(file)
    path.write_text(f"x{note.nonce}\n")
    assert note.state() == "lost"


@pytest.mark.parametrize("more", [0, 1])
def test_only_the_end_of_the_file_counts(path, file, more):
    """Only the end of the file counts."""
    note = leave_note(file)
    line = len(note.nonce) + 1
    # The end of the line before is what tells that the note is a whole one.
    path.write_bytes(
        b"a\n" + path.read_bytes() + b"x" * (KUBELET_READS - line - 1 + more)
    )
    assert note.state() == ("good", "lost")[more]


@pytest.mark.parametrize("odd", ["missing", "directory", "link", "pipe"])
def test_what_cannot_be_used_leaves_no_note(path, file, odd):
    """What cannot be used leaves no note."""
    path.unlink()
    match odd:
        case "directory":
            path.mkdir()
        case "link":
            path.symlink_to("/dev/null")
        case "pipe":
            os.mkfifo(path)
    assert isinstance(leave_note(file), NoNote)


def test_link_is_not_followed(path, file, tmp_path):
    """Whoever may write in its folder must not choose the file that is written."""
    path.rename(tmp_path / "other")
    path.symlink_to(tmp_path / "other")
    assert isinstance(leave_note(file), NoNote)
    assert (tmp_path / "other").read_text() == ""


def test_what_cannot_be_read_back_is_no_note(file, monkeypatch):
    """What cannot be read back is no note."""
    monkeypatch.setattr(os, "write", lambda fd, data: len(data))
    assert "read back" in leave_note(file).why


def test_full_disk_is_no_note(file, monkeypatch):
    """Full disk is no note."""

    def full(_fd, _data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    assert "No space left" in leave_note(file).why


@pytest.fixture
def in_a_pod(file, monkeypatch):
    """Let this process find that file, as in a pod."""
    monkeypatch.setattr(note_file, "termination_file", lambda: file)
    things = this_process()._things
    monkeypatch.setitem(things, note_file._note, note_file._OnceLeft())


@pytest.mark.usefixtures("in_a_pod")
def test_process_leaves_one_note_from_however_many_threads(path):
    """Process leaves one note from however many threads."""
    notes = []
    threads = [
        threading.Thread(target=lambda: notes.append(note_of_process()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(notes)) == 1
    assert path.read_text() == f"{notes[0].nonce}\n"


@pytest.mark.usefixtures("in_a_pod")
def test_child_process_leaves_a_note_of_its_own(path):
    """Child process leaves a note of its own."""
    note = note_of_process()
    child = os.fork()
    if child == 0:
        os._exit(0 if note_of_process().nonce != note.nonce else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert len(path.read_text().split()) == 2
    assert note_of_process() is note


def test_machine_that_is_no_pod_says_why():
    """Machine that is no pod says why."""
    assert isinstance(note_of_process(), NoNote | NoteFile)
