"""The kernel's order to end this process: its timers, its signal, and who meddles with it."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from kubernetes_leader_election.engine.clocks import SystemClock
from kubernetes_leader_election.process import kernel_timers, process_end
from kubernetes_leader_election.process.fork import this_process
from kubernetes_leader_election.process.process_end import EndTimer, ProcessEnd

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has such timers"
)
HARMLESS = signal.SIGRTMIN + 7
"""A signal that a test takes in the place of one that ends the process."""
PATIENCE = 30.0
FAR = 1e6
"""Seconds that no test lasts."""


def arm(timer, *, boottime=FAR, wall=FAR):
    """Arm a timer so many seconds from now, on each of its clocks."""
    now = SystemClock().now()
    timer.arm(boottime=now.boottime + boottime, wall=now.wall / 1e6 + wall)


@pytest.fixture
def went_off():
    """Give an event that a timer of the signal above sets."""
    event = threading.Event()
    former = signal.signal(HARMLESS, lambda *_: event.set())
    yield event
    signal.signal(HARMLESS, former)


@pytest.fixture
def timer(went_off):
    """Give a timer that ends nothing."""
    end = ProcessEnd()
    end.number = HARMLESS
    made = EndTimer(end)
    yield made
    made.call_off()


@pytest.fixture
def first_process(monkeypatch):
    """Make it look as if this were process 1, and give what there is to end it."""
    monkeypatch.setattr(process_end, "_is_first_process", lambda: True)
    end = ProcessEnd()
    yield end
    for user in tuple(
        end._users
    ):  # so that no handler stays in the process of the tests
        end.end(user)


def handler(number):
    """Give the handler of a signal as the kernel has it: 0 for the default one."""
    return process_end._handler_of(number)


# Timers -------------------------------------------------------------------------


def test_timer_goes_off_at_its_time_of_each_clock(timer, went_off):
    """At once where that is over, by either clock: so is a process ended that wakes up."""
    arm(timer, boottime=-1)
    assert went_off.wait(PATIENCE)
    went_off.clear()
    arm(timer, wall=-1)
    assert went_off.wait(PATIENCE)
    went_off.clear()
    arm(timer, boottime=0.05)
    assert went_off.wait(PATIENCE)


def left(timer):
    """Give the seconds until a timer goes off, by the kernel; 0.0: it does not."""
    found = []
    for part in (*timer._by_boottime, *timer._by_wall):
        spec = kernel_timers._TimerSpec()
        assert part._libc.timer_gettime(part._id, ctypes.byref(spec)) == 0
        found.append(spec.value.seconds + spec.value.nanoseconds / 1e9)
    return found


def number_of(timer):
    """Give its number, which is counted anew in each process."""
    return timer._by_wall[-1]._id.value or 0


def test_timers_go_by_the_clocks_that_count_a_suspend():
    """Rule 14: a machine that slept finds the limit over; so does one whose clock is set."""
    assert time.CLOCK_BOOTTIME == kernel_timers.CLOCK_BOOTTIME
    assert time.CLOCK_REALTIME == kernel_timers.CLOCK_REALTIME


def test_timer_can_be_moved_and_called_off(timer, went_off):
    """Rule 14: the newest renewal counts, and after the end of the work nothing does."""
    arm(timer, boottime=1000, wall=2000)
    arm(timer, boottime=FAR, wall=2 * FAR)
    by_boottime, by_wall = left(timer)
    assert by_boottime == pytest.approx(FAR, abs=600)
    assert by_wall == pytest.approx(2 * FAR, abs=600)
    timer.call_off()
    assert left(timer) == [0.0, 0.0]
    assert not went_off.is_set()


def test_timer_goes_with_its_last_reference(went_off):
    """Nothing is left in the kernel of work that ended."""
    end = ProcessEnd()
    end.number = HARMLESS
    made = EndTimer(end)
    number, libc = made._by_boottime[0]._id, made._by_boottime[0]._libc
    arm(made)
    del made
    gc.collect()
    spec = kernel_timers._TimerSpec()
    assert libc.timer_gettime(number, ctypes.byref(spec)) != 0
    assert not went_off.is_set()


def test_system_without_timers_says_so(monkeypatch):
    """A sandbox that refuses timer_create() is told of; nothing is begun without."""
    monkeypatch.setattr(
        kernel_timers, "_library_of_timers", lambda: Refusing(kernel_timers._libc)
    )
    with pytest.raises(OSError, match="timer_create"):
        ProcessEnd().begin("a test")


class Refusing:
    """A C library whose kernel lets nobody make timers."""

    def __init__(self, libc):
        self._libc = libc

    def __getattr__(self, name):
        return getattr(self._libc, name)

    def timer_create(self, *_):
        ctypes.set_errno(1)
        return -1


def test_child_neither_moves_nor_drops_what_its_parent_has(went_off):
    """Fault 15: timers are not inherited, but their numbers are: a child has its own."""
    end = ProcessEnd()
    end.number = HARMLESS
    made = EndTimer(end)
    arm(made)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            own = [EndTimer(end)]
            while number_of(own[-1]) < number_of(made):
                own.append(EndTimer(end))
            for timer in own:
                arm(timer)
            arm(made, boottime=2 * FAR, wall=2 * FAR)
            moved = max(left(own[-1])) > 1.5 * FAR
            made.call_off()
            del made
            gc.collect()
            code = 1 if moved or min(map(min, map(left, own))) == 0.0 else 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert min(left(made)) > 0
    assert not went_off.is_set()


# The signal ---------------------------------------------------------------------


def test_ordinary_process_is_killed(monkeypatch):
    """SIGKILL needs no handler, cannot be blocked, and reaches a process that is stopped."""
    monkeypatch.setattr(process_end, "_is_first_process", lambda: False)
    end = ProcessEnd()
    end.begin("a test")
    assert end.number == signal.SIGKILL
    assert str(end) == "SIGKILL"
    end.end("a test")


def test_first_process_has_the_c_library_end_it(first_process):
    """Process 1 ignores a SIGKILL of its own: _exit is the handler, and no Python runs."""
    first_process.begin("a test")
    number = first_process.number
    assert number in range(signal.SIGRTMIN, signal.SIGRTMAX + 1)
    assert handler(number) == process_end._exit_of_libc()
    assert str(first_process) == f"exit code {number}"


def test_handler_that_was_reset_is_put_back(first_process):
    """A program that resets all handlers takes the fence away until the next renewal."""
    first_process.begin("a test")
    number = first_process.number
    signal.signal(number, signal.SIG_DFL)
    assert "put back" in first_process.look()
    assert first_process.number == number
    assert handler(number) == process_end._exit_of_libc()
    assert first_process.look() == ""


def test_signal_that_others_handle_is_left_to_them(first_process):
    """Their signal must not end the process, and ours not call their handler."""
    first_process.begin("a test")
    former = first_process.number
    signal.signal(former, lambda *_: None)
    theirs = handler(former)
    try:
        assert str(former) in first_process.look()
        assert first_process.number != former
        assert handler(former) == theirs
        assert handler(first_process.number) == process_end._exit_of_libc()
    finally:
        signal.signal(former, signal.SIG_DFL)


def test_signal_in_use_is_not_taken(first_process, monkeypatch):
    """Handled, or blocked as by who waits for it: another one is free; or none is."""
    handled, blocked, free = range(signal.SIGRTMIN + 3, signal.SIGRTMIN + 6)
    monkeypatch.setattr(
        process_end, "_real_time_signals", lambda: (handled, blocked, free)
    )
    former = signal.signal(handled, lambda *_: None)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {blocked})
    try:
        first_process.begin("a test")
        assert first_process.number == free
        first_process.end("a test")
        monkeypatch.setattr(process_end, "_real_time_signals", lambda: (handled,))
        with pytest.raises(OSError, match="every real-time signal"):
            ProcessEnd().begin("a test")
    finally:
        signal.signal(handled, former)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def test_program_that_blocks_all_signals_is_ended_all_the_same(first_process):
    """The thread that looks lets it through, whatever mask it was started with."""
    mask = signal.pthread_sigmask(
        signal.SIG_BLOCK, range(signal.SIGRTMIN, signal.SIGRTMAX + 1)
    )
    try:
        first_process.begin("a test")  # in a thread of the application: left as it is
        assert first_process.number in signal.pthread_sigmask(signal.SIG_BLOCK, ())
        first_process.look()
        assert first_process.number not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def test_last_user_gives_the_signal_back(first_process):
    """A process without electors is as it was."""
    first_process.begin("one")
    first_process.begin("two")
    number = first_process.number
    first_process.end("one")
    assert handler(number) == process_end._exit_of_libc()
    first_process.end("two")
    assert handler(number) == 0


def test_child_does_not_keep_the_handler(first_process, monkeypatch):
    """Fault 15: a signal that means nothing to a forked worker must not end it."""
    things = this_process()._things
    monkeypatch.setitem(things, process_end.shared_process_end, first_process)
    first_process.begin("a test")
    number = first_process.number
    child = os.fork()
    if child == 0:
        os._exit(0 if handler(number) == 0 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert handler(number) == process_end._exit_of_libc()


# Whole processes ----------------------------------------------------------------

IN_C = """
import ctypes, os, sys, time
from kubernetes_leader_election.process import process_end
if sys.argv[1] == "first":
    process_end._is_first_process = lambda: True
end = process_end.shared_process_end()
end.begin(None)
timer = process_end.EndTimer(end)
os.write(1, str(end.number).encode())
timer.arm(boottime=time.clock_gettime(time.CLOCK_BOOTTIME) + 0.05, wall=time.time() + 60)
ctypes.PyDLL(None).sleep(60)  # the lock of the interpreter is not given up for that
"""


@pytest.mark.parametrize("kind", ["first", "ordinary"])
def test_process_that_keeps_the_interpreters_lock_is_ended(kind):
    """Fault 06: no Python can run any more, and none is needed."""
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", IN_C, kind],
        check=False,
        capture_output=True,
        timeout=PATIENCE,
    )
    number = int(done.stdout)
    assert done.returncode == (number if kind == "first" else -signal.SIGKILL)
    assert done.stderr == b""


WAITING_FOR_ALL = """
import os, signal, sys, threading, time
from kubernetes_leader_election.process import process_end
process_end._is_first_process = lambda: True
end = process_end.shared_process_end()
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
end.begin(None)
looked = threading.Event()
def look():
    end.look()
    looked.set()
    time.sleep(60)
threading.Thread(target=look, daemon=True).start()
looked.wait()
timer = process_end.EndTimer(end)
os.write(1, str(end.number).encode())
timer.arm(boottime=time.clock_gettime(time.CLOCK_BOOTTIME) + 0.05, wall=time.time() + 60)
signal.sigwait(signal.valid_signals())
time.sleep(10)  # the other thread may be late on a busy machine; without it this ends well
"""


def test_thread_that_waits_for_all_signals_takes_none_away():
    """The one of the election gets it in any case: so does one that waits for a disk."""
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", WAITING_FOR_ALL],
        check=False,
        capture_output=True,
        timeout=PATIENCE,
    )
    assert done.returncode == int(done.stdout.split()[0])
    assert done.stderr == b""
