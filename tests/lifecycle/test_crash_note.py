"""The note of an elector: left once, looked after, and told of in the log."""

from __future__ import annotations

import queue
import threading

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.lifecycle import crash_note
from kubernetes_leader_election.lifecycle.crash_note import CrashNote
from kubernetes_leader_election.pods import note_file
from kubernetes_leader_election.pods.names import NoNote
from kubernetes_leader_election.pods.termination import TerminationFile
from kubernetes_leader_election.process.fork import this_process
from kubernetes_leader_election.sync import Elector
from kubernetes_leader_election.testing import LeaseServer
from tests.node_page import PATIENCE, eventually

UID = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
POD = "kubernetes-leader-election/pod"


class Log:
    """Keep what is said."""

    def __init__(self):
        self.lines = []

    def say(self, level, text, *args):
        """Take a line."""
        self.lines.append((level, text % args))


def note_threads():
    """Give the threads that look after a note now."""
    return {t for t in threading.enumerate() if t.name == "leader-election-note"}


def left(own, where="x"):
    """Leave a note, and return it once it is there."""
    taken = queue.SimpleQueue()
    own.leave(where, taken.put)
    return taken.get(timeout=PATIENCE)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Let this process find itself in a pod; return its termination file."""
    path = tmp_path / "termination-log"
    path.touch()
    file = TerminationFile(path=str(path), pod_uid=UID, container="billing")
    monkeypatch.setattr(note_file, "termination_file", lambda: file)
    monkeypatch.setattr(crash_note, "pod_namespace", lambda: "shop")
    monkeypatch.setenv("POD_NAME", "billing-0")
    things = this_process()._things
    monkeypatch.setitem(things, note_file._note, note_file._OnceLeft())
    return path


def test_note_says_where_it_is(place):
    """The names of the pod, and the nonce that stands in the file."""
    log = Log()
    note = left(CrashNote(log), "Lease shop/billing")
    assert (note.namespace, note.pod, note.uid, note.container) == (
        "shop",
        "billing-0",
        UID,
        "billing",
    )
    assert place.read_text() == f"{note.nonce}\n"
    assert not log.lines


def test_two_electors_of_a_process_have_one_note(place):
    """It is of the process, which ends as a whole."""
    notes = {left(CrashNote(Log())).nonce for _ in range(3)}
    assert len(notes) == 1


def test_why_there_is_no_note_is_said_once(place, monkeypatch):
    """Fault 77: and the election goes on."""
    monkeypatch.setattr(
        note_file, "termination_file", lambda: NoNote(why="this is no container")
    )
    log = Log()
    own = CrashNote(log)
    assert left(own, "Lease shop/billing") is None
    assert left(own, "Lease shop/billing") is None
    ((level, line),) = log.lines
    assert level == "info"
    assert line.startswith("Lease shop/billing: after a crash of this process others")
    assert line.endswith("this is no container")
    assert not own.is_good("Lease shop/billing")


@pytest.mark.parametrize("namespace", [None, "No_Namespace"])
def test_pod_without_a_namespace_leaves_nothing(place, monkeypatch, namespace):
    """Nothing is written where nobody could be told where to look."""
    monkeypatch.setattr(crash_note, "pod_namespace", lambda: namespace)
    assert left(CrashNote(Log())) is None
    assert place.read_text() == ""


def test_note_that_is_gone_is_said_once(place):
    """Fault 77: no later renewal is to carry it."""
    log = Log()
    own = CrashNote(log)
    left(own, "Lease shop/billing")
    assert own.is_good("Lease shop/billing")
    place.write_text("bye\n")
    eventually(lambda: not own.is_good("Lease shop/billing"))
    assert not own.is_good("Lease shop/billing")
    ((_, line),) = log.lines
    assert "no longer has the note of this process" in line


def test_missing_right_is_said_once(place):
    """Fault 76: with the rule to add; other errors are tried again without a word."""
    log = Log()
    own = CrashNote(log)
    for error in (None, LeaseApiError("gone", status=503)):
        answer = m.ProofUnreadable(request_id=1, error=error)
        own.on_no_proof("Lease shop/billing", answer)
    for _ in range(2):
        error = LeaseApiError("Add this rule: pods", status=403)
        answer = m.ProofUnreadable(request_id=1, error=error)
        own.on_no_proof("Lease shop/billing", answer)
    ((level, line),) = log.lines
    assert level == "info"
    assert line.endswith("Add this rule: pods")


def test_why_nothing_is_proved_is_said_of_each_leader(place):
    """Faults 74 and 75: whoever looks at the log sees what is waited for, and why."""
    log = Log()
    own = CrashNote(log)
    longest = "a" * 253
    for why in (f"the pod {longest} is gone", "the pod b is gone\x1b[2J" + 999 * "x"):
        answer = m.ProofRefuted(request_id=1, why=why)
        own.on_no_proof("Lease shop/billing", answer)
    assert [level for level, _ in log.lines] == ["info", "info"]
    first, second = (line for _, line in log.lines)
    assert first == (
        "Lease shop/billing: nothing proves the end of the leader (crash_takeover): the "
        f"pod {longest} is gone; where it crashes its lease duration is waited for"
    )
    assert "..." in second
    assert "the pod b is gone" in second
    assert "\x1b" not in second


def noted(lease):
    """Return whether a Lease has a note."""
    return POD in lease["metadata"].get("annotations", {})


def leader(server, **given):
    """Return an elector that leaves a note, and the queue of its renewals."""
    elector = Elector(
        lease_name="billing",
        identity="a",
        server=server.url,
        renew_interval_ms=100,
        lease_duration_sec=20,
        **given,
    )
    renewed = queue.SimpleQueue()
    elector.on("lease_renewed", renewed.put)
    return elector, renewed


def renew(renewed, times):
    """Wait for so many renewals from now on: those before may wait in the queue."""
    while not renewed.empty():
        renewed.get()
    for _ in range(times):
        renewed.get(timeout=PATIENCE)


def test_renewals_carry_the_note_as_long_as_it_is_there(place):
    """Fault 77: what was written over ends no term."""
    with LeaseServer() as server:
        elector, renewed = leader(server, crash_takeover=True)
        with elector:
            eventually(lambda: noted(server.lease("billing") or {"metadata": {}}))
            assert place.read_text().count("\n") == 1
            place.write_text("bye\n")
            eventually(lambda: not noted(server.lease("billing")))
            renew(renewed, 2)
            assert not noted(server.lease("billing"))
            assert elector.current_leader


@pytest.fixture
def hung(monkeypatch):
    """Let the disk hang that the note is on, until the test is over."""
    begun, over, ended = (threading.Event() for _ in range(3))

    def state(_):
        begun.set()
        over.wait(PATIENCE)
        ended.set()
        return "good"

    monkeypatch.setattr(note_file.NoteFile, "state", state)
    yield begun
    over.set()
    if begun.is_set():
        assert ended.wait(PATIENCE)


@pytest.fixture
def stuck(place, monkeypatch):
    """Let the disk hang that the note is to be left on, until it is let go."""
    go, file = threading.Event(), note_file.termination_file()

    def found():
        assert go.wait(PATIENCE)
        return file

    monkeypatch.setattr(note_file, "termination_file", found)
    yield go
    go.set()


def test_disk_that_hangs_holds_up_no_start(place, stuck):
    """Fault 77 and G8: the note is left where nothing waits for it, and goes along then."""
    with LeaseServer() as server:
        elector, renewed = leader(server, crash_takeover=True)
        with elector:
            renew(renewed, 2)
            assert elector.current_leader
            assert not noted(server.lease("billing"))
            stuck.set()
            eventually(lambda: noted(server.lease("billing")))


def test_note_is_left_by_one_thread_at_a_time(stuck):
    """Fault 77: who starts again while the disk hangs hears of the note; the old one not."""
    own, old, new = CrashNote(Log()), queue.SimpleQueue(), queue.SimpleQueue()
    before = note_threads()
    for take in (old.put, old.put, new.put):
        own.leave("x", take)
    assert len(note_threads() - before) <= 1
    stuck.set()
    assert new.get(timeout=PATIENCE).pod == "billing-0"
    assert old.empty()


def test_note_is_not_left_where_no_thread_is_to_be_had(place, monkeypatch):
    """Fault 77: it is said why, and the election goes on."""

    def no_thread(*_, **__):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(crash_note.native, "start_thread", no_thread)
    log = Log()
    CrashNote(log).leave("Lease shop/billing", None)
    ((_, line),) = log.lines
    assert line.endswith("no thread can be started (can't start new thread)")


def test_disk_that_hangs_stops_no_renewal(place, hung):
    """Fault 77 and G8: the note is looked for where nothing else waits for it."""
    with LeaseServer() as server:
        elector, renewed = leader(server, crash_takeover=True)
        with elector:
            assert hung.wait(PATIENCE)
            renew(renewed, 5)
            assert elector.current_leader
            eventually(lambda: noted(server.lease("billing")))


def test_note_is_looked_for_by_one_thread_at_a_time(place, hung, monkeypatch):
    """A disk that hangs for long costs no more than one thread."""
    monkeypatch.setattr(note_file, "LOOK_EVERY", 0.0)
    own = CrashNote(Log())
    left(own)
    before = note_threads()
    for _ in range(20):
        assert own.is_good("x")
    assert hung.wait(PATIENCE)
    assert len(note_threads() - before) <= 1


def test_note_is_looked_for_later_where_no_thread_is_to_be_had(place, monkeypatch):
    """Nothing is known of it then, and nothing fails."""
    monkeypatch.setattr(note_file, "LOOK_EVERY", 0.0)
    own = CrashNote(Log())
    left(own)
    place.write_text("bye\n")
    with monkeypatch.context() as full:

        def no_thread(*_, **__):
            raise RuntimeError("can't start new thread")

        full.setattr(note_file.native, "start_thread", no_thread)
        assert own.is_good("x")
        assert own.is_good("x")
    eventually(lambda: not own.is_good("x"))


def test_without_the_option_nothing_is_left(place):
    """Nobody is told what the program does not ask for."""
    with LeaseServer() as server:
        elector, renewed = leader(server)
        with elector:
            renew(renewed, 3)
            assert not noted(server.lease("billing"))
    assert place.read_text() == ""
