"""
Signals that the main thread does not meet by itself, because it waits without an end.

Python calls handlers in the main thread, between two bytecodes. The kernel may give a
signal of the process to any thread that does not block it, and the main thread may be just
about to wait: both times nothing ends that wait. The tests have another thread take the
signal, on purpose.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import select
import signal
import sys
import threading
import types

import pytest

from kubernetes_leader_election.process import missed_signals
from kubernetes_leader_election.process.missed_signals import MissedSignals
from kubernetes_leader_election.process.signals import AutoClose
from tests.lifecycle.driven import until
from tests.lifecycle.kernel_waits import settled
from tests.lifecycle.test_auto_close import PATIENCE, Patient

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="that the main thread waits is seen in /proc"
)

WAITS = [
    "lock.acquire()",
    "threading.Event().wait()",
    "select.select([], [], [])",
    "time.sleep(600)",  # what a signal has to end
]

TAKEN_ELSEWHERE = """
    import select
    from tests.lifecycle.kernel_waits import settled
    main = threading.get_native_id()
    lock = threading.Lock()
    lock.acquire()

    def take():
        settled(main)
        # The interpreter is told in this thread, and acts in the main one.
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    def work(term):
        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        try:
            WAIT
        finally:
            say("ended", term.is_lost)

    sync.Elector(grace_sec=0.5, **options()).run(work)
"""


@pytest.mark.slow
@pytest.mark.row(
    "Signals, exit, fork",
    "another thread takes the signal, or it comes just before the main thread waits",
)
@pytest.mark.parametrize("wait", WAITS)
def test_signal_that_another_thread_takes_is_met_in_a_wait_without_an_end(
    program, wait
):
    """Fault 13: the main thread would wait on until the kubelet kills the process."""
    running = program(TAKEN_ELSEWHERE.replace("WAIT", wait))
    assert running.wait_for("ended") == "ended True"
    running.finish()
    assert running.holder == ""


@pytest.fixture
def missed(monkeypatch):
    """Give what watches over SIGUSR1, whose handler says that it was called."""
    monkeypatch.setattr(missed_signals, "MISSED", 0.01)
    monkeypatch.delitem(sys.modules, "trio", raising=False)  # a plugin may import it
    calls = []

    def handle(number, _frame):
        missed.met()
        calls.append(number)

    missed = MissedSignals(lambda number: number == signal.SIGUSR1, lambda: None)
    missed.calls = calls
    earlier = signal.signal(signal.SIGUSR1, handle)
    urgent = signal.signal(signal.SIGURG, signal.SIG_DFL)
    yield missed
    missed.end()
    signal.signal(signal.SIGURG, urgent)
    signal.signal(signal.SIGUSR1, earlier)
    signal.set_wakeup_fd(-1)


def wait_while_another_thread_takes(number, over):
    """Wait for a lock in the main thread; return whether ``over`` came true meanwhile."""
    lock, main, seen = threading.Lock(), threading.get_native_id(), []
    lock.acquire()

    def take():
        settled(main)
        signal.pthread_kill(threading.get_ident(), number)
        seen.append(over())
        lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    lock.acquire()
    thread.join()
    return seen == [True]


def becomes(condition):
    """Wait until that is true; False if it does not become so."""
    try:
        until(condition)
    except AssertionError:
        return False
    return True


def test_signal_is_met_once_although_the_wait_goes_on(missed):
    """The wait is interrupted by another signal, so that this is no second one."""
    missed.begin()
    assert wait_while_another_thread_takes(
        signal.SIGUSR1, lambda: becomes(lambda: missed.calls)
    )
    assert missed.calls == [signal.SIGUSR1]


def test_elector_is_asked_to_stop_in_a_wait_without_an_end(monkeypatch):
    """Fault 13: all of it together, for a program that has no event loop."""
    monkeypatch.delitem(sys.modules, "trio", raising=False)  # a plugin may import it
    auto_close = AutoClose()
    elector = Patient(auto_close)
    auto_close.watch(elector)
    try:
        asked = wait_while_another_thread_takes(
            signal.SIGTERM, lambda: elector.was_asked.wait(PATIENCE)
        )
    finally:
        with pytest.raises(SystemExit):
            signal.raise_signal(signal.SIGTERM)
        auto_close.forget(elector)
        auto_close.take_back()
    assert asked
    assert signal.set_wakeup_fd(-1) == -1


def test_main_thread_is_interrupted_until_it_meets_the_signal(missed, monkeypatch):
    """An interruption may come an instant too early as well."""
    tries, real = [], signal.pthread_kill

    def third_time_lucky(thread, number):
        tries.append(number)
        if len(tries) >= 3:
            real(thread, number)

    def take(number):
        real(threading.get_ident(), number)

    missed.begin()
    lock, main = threading.Lock(), threading.get_native_id()
    lock.acquire()

    def other():
        settled(main)
        take(signal.SIGUSR1)
        becomes(lambda: missed.calls)
        lock.release()

    monkeypatch.setattr(signal, "pthread_kill", third_time_lucky)
    thread = threading.Thread(target=other)
    thread.start()
    lock.acquire()
    thread.join()
    # The third one wakes it; there are more of them if it is slow to go on.
    assert len(tries) >= 3
    assert set(tries) == {signal.SIGURG}
    assert missed.calls == [signal.SIGUSR1]


def test_main_thread_that_met_its_signal_is_not_interrupted(missed, monkeypatch):
    """What it waits in next is not the business of a signal that is over."""
    sent, raised = [], 0
    monkeypatch.setattr(signal, "pthread_kill", lambda *which: sent.append(which))
    # However slow this machine is, the main thread meets each in time.
    monkeypatch.setattr(
        missed_signals.native, "sleep", lambda _: until(lambda: met(raised))
    )

    def met(number):
        return len(missed.calls) == number

    missed.begin()
    for row in (1, 1, 3):
        raised += row
        for _ in range(row):
            signal.raise_signal(signal.SIGUSR1)
        settled_thread(missed)
    assert len(missed.calls) == 5
    assert sent == []


def test_handler_of_an_interruption_stays(missed):
    """Python would write to stderr of a signal that comes when it is taken back."""
    missed.begin()
    handler = signal.getsignal(signal.SIGURG)
    missed.end()
    assert signal.getsignal(signal.SIGURG) == handler
    # Also that of a parent process, which its child has none of its own beside.
    other = MissedSignals(lambda _number: False, lambda: None)
    other.begin()
    assert signal.getsignal(signal.SIGURG) == other._on_interrupt
    other.end()


def settled_thread(missed):
    """Wait until the thread has read what Python wrote, and let it act on that."""
    until(lambda: not _readable(missed._pipe[0]))
    done = threading.Event()
    done.wait(0.03)  # three times the pause after which it would send


def _readable(descriptor):
    return bool(select.select([descriptor], [], [], 0)[0])


@pytest.fixture
def of_others():
    """Give the pipe of somebody who has the place, as an event loop has one."""
    reads, writes = os.pipe()
    os.set_blocking(reads, False)
    os.set_blocking(writes, False)
    signal.set_wakeup_fd(writes)
    yield reads, writes
    signal.set_wakeup_fd(-1)
    os.close(reads)
    os.close(writes)


@pytest.mark.parametrize("call", ["begin", "end"])
def test_descriptor_of_others_is_left_to_them_with_what_came_in_between(
    missed, monkeypatch, of_others, call
):
    """A loop goes on hearing of its signals, be it there first or not."""
    missed.begin()
    real, swaps = signal.set_wakeup_fd, []

    def swap(descriptor, **options):
        used = real(descriptor, **options)
        swaps.append(descriptor)
        if len(swaps) == 1:
            signal.raise_signal(signal.SIGUSR1)  # comes just then
        return used

    monkeypatch.setattr(signal, "set_wakeup_fd", swap)
    getattr(missed, call)()
    monkeypatch.undo()
    assert swaps
    assert os.read(of_others[0], 9) == bytes([signal.SIGUSR1])
    assert signal.set_wakeup_fd(-1) == of_others[1]


def test_descriptor_that_others_took_is_not_written_to_once_it_is_ours_again(
    missed, of_others
):
    """Uvloop gives the place back to who had it, and closes its own: that has another."""
    signal.set_wakeup_fd(-1)
    missed.begin()
    ours = signal.set_wakeup_fd(of_others[1])
    missed.begin()
    signal.set_wakeup_fd(ours)
    signal.raise_signal(signal.SIGUSR1)
    settled_thread(missed)
    with pytest.raises(BlockingIOError):
        os.read(of_others[0], 9)
    assert wait_while_another_thread_takes(
        signal.SIGUSR1, lambda: becomes(lambda: len(missed.calls) == 2)
    )


def test_descriptor_that_is_closed_is_nobodys(missed):
    """Python would not take it back; an elector has to start all the same."""
    missed.begin()
    missed.end()  # what it opens has other numbers than what is closed now
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    signal.set_wakeup_fd(writes)
    os.close(reads)
    os.close(writes)
    missed.begin()
    assert wait_while_another_thread_takes(
        signal.SIGUSR1, lambda: becomes(lambda: missed.calls)
    )


def test_copy_in_a_child_tells_its_parent_of_no_signal(monkeypatch):
    """Both get the signal of a terminal, and the pipe is one: the parent would wait on."""
    auto_close, met = AutoClose(), []
    monkeypatch.setattr(auto_close._handlers, "met", lambda: met.append(1))
    monkeypatch.setattr(auto_close._process, "_forked", True)
    with monkeypatch.context() as patched:
        patched.setattr(signal, "signal", lambda *_: None)
        patched.setattr(signal, "raise_signal", lambda *_: None)
        auto_close._on_signal(signal.SIGTERM, None)
    assert met == []


def test_handler_of_the_program_for_sigurg_is_never_called(missed):
    """SIGURG is for out-of-band data: whoever handles it is not interrupted by it."""
    urgent = []

    def of_the_program(*_):
        urgent.append(1)

    earlier = signal.signal(signal.SIGURG, of_the_program)
    try:
        missed.begin()
        wait_while_another_thread_takes(
            signal.SIGUSR1,
            lambda: threading.Event().wait(0.1),  # ten times the first pause
        )
        missed.end()
        assert signal.getsignal(signal.SIGURG) is of_the_program
    finally:
        signal.signal(signal.SIGURG, earlier)
    assert urgent == []


def test_library_that_warns_of_a_taken_place_finds_it_free(missed, monkeypatch):
    """Trio does, at its start: a program with ``-W error`` would not start any more."""
    monkeypatch.setitem(sys.modules, "trio", types.ModuleType("trio"))
    missed.begin()
    assert signal.set_wakeup_fd(-1) == -1

    async def in_a_loop():
        missed.begin()

    asyncio.run(in_a_loop())  # where trio does not start
    assert signal.set_wakeup_fd(-1) != -1


def test_library_that_anyio_imports_late_finds_it_free(missed, monkeypatch):
    """``anyio.run(..., backend="trio")`` does, also after an elector was started."""
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: "there" if name == "trio" else real(name),
    )
    monkeypatch.setitem(sys.modules, "anyio", types.ModuleType("anyio"))
    missed.begin()
    assert signal.set_wakeup_fd(-1) == -1


def is_open(descriptor, inode):
    """Tell whether that is open, and has not become another one's since."""
    try:
        return os.fstat(descriptor).st_ino == inode
    except OSError:
        return False


def test_election_does_without_where_no_thread_is_left(missed, monkeypatch):
    """As before: the signal is met when the wait ends by itself."""

    def refuse(*_, **__):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(missed_signals.native, "start_thread", refuse)
    made, pipe = [], os.pipe

    def make_and_note():
        ends = pipe()
        made.extend((end, os.fstat(end).st_ino) for end in ends)
        return ends

    monkeypatch.setattr(os, "pipe", make_and_note)
    missed.begin()
    assert made
    assert not [end for end, inode in made if is_open(end, inode)]
    assert signal.set_wakeup_fd(-1) == -1
