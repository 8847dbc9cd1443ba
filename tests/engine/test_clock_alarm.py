"""What the kernel tells of its clocks, and what is done where it tells nothing."""

from __future__ import annotations

import ctypes
import errno
import os
import queue
import struct
import threading

import pytest

from kubernetes_leader_election.engine.clock_alarm import (
    MOST_IN_A_ROW,
    ClockAlarm,
)
from kubernetes_leader_election.process import kernel_timers, native
from tests.lifecycle.driven import until

PATIENCE = 20.0


class FakeWallClock:
    """
    An alarm of the kernel whose clock is set by the test: a pipe that can be read.

    It tells of as many jumps as it is given.
    """

    tells = True

    def __init__(self, jumps=1):
        self.fd, self._setter = os.pipe()
        self._jumps = jumps

    def set(self):
        """Set the clock."""
        os.write(self._setter, b"!")

    def clear(self):
        """Take note of it."""
        os.read(self.fd, 1)
        self._jumps -= 1
        self.tells = self._jumps > 0

    def close(self):
        """Close both ends."""
        os.close(self.fd)
        os.close(self._setter)


@pytest.fixture
def jumps():
    """Give the queue of what was told."""
    return queue.SimpleQueue()


@pytest.fixture
def started(monkeypatch, jumps):
    """Start an alarm on a clock."""

    def start(wall_clock):
        monkeypatch.setattr(kernel_timers, "WallClockAlarm", lambda: wall_clock)
        alarm = ClockAlarm(lambda: jumps.put(alarm.rings))
        alarm.start()
        return alarm

    return start


def test_each_jump_is_told(started, jumps):
    """Rule 14: after a suspend, and whenever the wall clock is set."""
    clock = FakeWallClock(jumps=3)
    alarm = started(clock)
    until(lambda: alarm.rings)
    assert jumps.empty()
    for _ in range(3):
        clock.set()
        assert jumps.get(timeout=PATIENCE) is True
    assert jumps.get(timeout=PATIENCE) is False, "the engine looks by itself now"
    clock.close()


def test_alarm_that_rings_without_end_is_not_heeded(started, jumps):
    """A sandbox whose timer is always ready costs the alarm, and no hot loop."""
    clock = FakeWallClock()
    clock.clear = lambda: None
    alarm = started(clock)
    until(lambda: alarm.rings)
    clock.set()
    told = 0
    while jumps.get(timeout=PATIENCE):
        told += 1
    assert 0 < told <= MOST_IN_A_ROW + 1
    assert not alarm.rings
    clock.close()


@pytest.mark.parametrize("call", ["_make_timer", "_set_timer"])
def test_where_nobody_tells_of_jumps_that_is_known(monkeypatch, jumps, call):
    """gVisor, an old kernel, a filter of calls: then the engine looks often (rule 14)."""

    def refuse(*_):
        raise OSError(errno.EINVAL, call)

    monkeypatch.setattr(kernel_timers, call, refuse)
    alarm = ClockAlarm(lambda: jumps.put(None))
    alarm.start()
    jumps.get(timeout=PATIENCE)
    assert not alarm.rings


def test_import_torn_by_a_patch_of_gevent_is_no_trouble(monkeypatch, jumps):
    """It replaces what an import has locked: RuntimeError, and the engine looks often."""

    def refuse():
        raise RuntimeError("cannot release un-acquired lock")

    complaints = []
    monkeypatch.setattr(threading, "excepthook", complaints.append)
    monkeypatch.setattr(kernel_timers, "WallClockAlarm", refuse)
    before = set(threading.enumerate())
    alarm = ClockAlarm(lambda: jumps.put(None))
    alarm.start()
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
    jumps.get(timeout=PATIENCE)
    assert not alarm.rings
    assert complaints == []


def test_no_thread_to_be_had_is_no_trouble(monkeypatch):
    """Fault 07: where no thread can be started, the engine looks often."""

    def refuse(*_, **__):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(native, "start_thread", refuse)
    alarm = ClockAlarm(lambda: None)
    alarm.start()
    assert not alarm.rings


def test_child_process_closes_its_copy_and_is_told_nothing(started):
    """Fault 15: in a child no thread of ours lives on, and nobody tells."""
    clock = FakeWallClock()
    alarm = started(clock)
    until(lambda: alarm.rings)
    child = os.fork()
    if child == 0:
        alarm.drop_after_fork()
        try:
            os.fstat(clock.fd)
        except OSError:
            os._exit(1 if alarm.rings else 0)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    clock.set()  # it tells of no more: that ends its thread
    until(lambda: not alarm.rings)
    clock.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone may set the wall clock")
def test_kernel_tells_of_a_wall_clock_that_is_set(jumps):
    """Rule 14, fault 04: by so little that nobody else can notice."""
    alarm = ClockAlarm(lambda: jumps.put(None))
    alarm.start()
    until(lambda: alarm.rings)
    for microseconds in (1, -1):
        seconds, rest = divmod(microseconds, 1_000_000)
        # timex, ADJ_SETOFFSET
        fields = struct.pack("@I68xqq120x", 0x100, seconds, rest)
        order = ctypes.create_string_buffer(fields, len(fields))
        if ctypes.CDLL(None, use_errno=True).adjtimex(order) < 0:
            pytest.skip("this root may not set the wall clock")
        jumps.get(timeout=PATIENCE)
