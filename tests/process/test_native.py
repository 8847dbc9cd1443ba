"""Originals of what gevent patches, and what is built of them."""

from __future__ import annotations

import queue
import socket
import sys
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor

import pytest

from kubernetes_leader_election import Elector, sync
from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.process import native
from tests.lifecycle.driven import until
from tests.lifecycle.stages import PATIENCE, options


@pytest.fixture
def patched(monkeypatch):
    """Let the modules look as gevent leaves them, with originals that are known."""
    saved = {
        ("time", "sleep"): time.sleep,
        ("_thread", "start_new_thread"): sys.modules["_thread"].start_new_thread,
    }

    def get_original(module, name):
        return saved.get((module, name)) or getattr(sys.modules[module], name)

    monkey = types.SimpleNamespace(get_original=get_original)
    monkeypatch.setitem(sys.modules, "gevent.monkey", monkey)
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("slept in the loop"))
    monkeypatch.setattr(
        sys.modules["_thread"],
        "start_new_thread",
        lambda *_: pytest.fail("began a greenlet"),
    )
    return saved


def test_without_a_patch_all_is_what_the_modules_have(monkeypatch):
    """Looked up at each use, as tests and tools of an application replace things too."""
    assert not native.is_patched()
    assert native.original("socket", "socket") is socket.socket
    assert isinstance(native.SimpleQueue(), queue.SimpleQueue)
    assert native.get_ident() == threading.get_ident()
    monkeypatch.setattr(socket, "getaddrinfo", "another")
    assert native.original("socket", "getaddrinfo") == "another"


def test_under_a_patch_originals_are_used(patched):
    """Sleeping and starting threads go past what stands in the modules."""
    assert native.is_patched()
    native.sleep(0.0)
    done = native.Gate()
    native.start_thread(done.open, name="leader-election-x")
    assert done.wait(PATIENCE)


def test_while_gevent_is_being_imported_nothing_is_patched(monkeypatch):
    """Another thread finds the module, of which the better part is still to come."""
    monkeypatch.setitem(sys.modules, "gevent.monkey", types.ModuleType("gevent.monkey"))
    assert not native.is_patched()
    assert native.original("socket", "socket") is socket.socket


def start_work(function):
    """Start a thread for work of the application."""
    thread = native.work_thread(function, name="leader-election-x")
    thread.start()
    return thread


@pytest.mark.parametrize(
    "start",
    [lambda function: native.start_thread(function, name="x"), start_work],
    ids=["ours", "work"],
)
def test_thread_from_before_a_patch_ends_without_a_word(monkeypatch, start):
    """Fault 16: Python's own end looks for a thread by its number, which gevent replaces."""
    complaints = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    goes_on = native.Gate()
    thread = start(lambda: goes_on.wait(PATIENCE))
    number = threading.get_ident
    monkeypatch.setattr(
        threading, "get_ident", lambda: number() + (number() == thread.ident)
    )
    goes_on.open()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert complaints == []
    assert thread not in threading.enumerate()


def test_patch_that_comes_while_a_thread_is_started_holds_up_nobody(monkeypatch):
    """A Thread is a greenlet then, in the thread of who starts it: it starts another."""
    monkeypatch.setattr(native._Thread, "start", lambda thread: thread.run())
    ran_in = native.SimpleQueue()
    native.start_thread(lambda: ran_in.put(native.get_ident()), name="x")
    assert ran_in.get(timeout=PATIENCE) != native.get_ident()


def test_work_thread_is_one_that_gevent_knows_where_it_has_patched(patched):
    """The class in the module then is gevent's; ours would never hear of the end."""
    thread = native.work_thread(print, name="x")
    assert type(thread) is threading.Thread
    assert not thread.daemon


@pytest.mark.parametrize("part", ["thread", "socket", "select"])
@pytest.mark.parametrize("kind", [Elector, sync.Elector], ids=["asyncio", "threads"])
def test_elector_is_refused_where_eventlet_has_patched(monkeypatch, kind, part):
    """In one sentence that says what to use; only where it has, and what matters."""
    patcher = types.SimpleNamespace(is_monkey_patched=lambda name: name == part)
    monkeypatch.setitem(sys.modules, "eventlet.patcher", patcher)
    elector = kind(**options())
    with pytest.raises(ConfigurationError, match="eventlet has patched"):
        elector._lifecycle.begin(lambda _: pytest.fail("began"), probe=None)
    assert elector.state.role == "stopped"


def test_eventlet_that_has_patched_nothing_is_none_of_our_business(monkeypatch):
    """A library of the application may import it."""
    patcher = types.SimpleNamespace(is_monkey_patched=lambda name: name == "time")
    monkeypatch.setitem(sys.modules, "eventlet.patcher", patcher)
    native.refuse_eventlet()


def test_condition_wakes_one_at_a_time():
    """Each notification ends one wait, and a wait without one ends by its time."""
    condition, woken = native.Condition(), []

    def wait(number):
        with condition:
            woken.append((number, condition.wait(PATIENCE)))

    with ThreadPoolExecutor(2) as pool:
        waits = [pool.submit(wait, number) for number in range(2)]
        until(lambda: len(condition._waiting) == 2)
        with condition:
            condition.notify()
        until(lambda: len(woken) == 1)
        assert not all(one.done() for one in waits)
        with condition:
            condition.notify()
    assert sorted(woken) == [(0, True), (1, True)]
    with condition:
        condition.notify()  # nobody waits: it is forgotten
        assert condition.wait(0.001) is False
    assert not condition._waiting


def test_semaphore_lets_in_as_many_as_there_is_room_for():
    """Whoever comes next waits for one to leave."""
    semaphore = native.Semaphore(2)
    semaphore.acquire()
    semaphore.acquire()
    with ThreadPoolExecutor(1) as pool:
        third = pool.submit(semaphore.acquire)
        until(lambda: semaphore._changed._waiting)
        assert not third.done()
        semaphore.release()
        third.result(PATIENCE)


def test_gate_opens_for_all():
    """Waits end by their time as long as it is closed, and at once after that."""
    gate = native.Gate()
    assert gate.wait(0.0) is False
    assert gate.wait(0.001) is False
    gate.open()
    assert gate.wait(0.0)
    assert gate.wait(PATIENCE)


def test_wake_ups_are_counted_once_for_each_wait():
    """What came before a wait ends it; what came twice ends one wait alone."""
    wake_ups = native.wake_ups()
    wake_ups.put(None)
    wake_ups.put(None)
    began = time.monotonic()
    wake_ups.wait(PATIENCE)
    assert time.monotonic() - began < PATIENCE
    wake_ups.wait(0.001)
    wake_ups.close()
    wake_ups.put(None)  # who was about to wake it is not hurt
