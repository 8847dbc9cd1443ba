"""Small programs with an elector, each a process of its own on the embedded Lease API."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

from tests.programs import ROOT, let_main_thread_wait

PATIENCE = 60.0
"""Seconds until a program that should have said something, or ended, is given up."""
WITHOUT_PARENT = 10.0
"""Seconds in which the children of a program end that was killed."""

PRELUDE = """
import asyncio, os, signal, sys, threading, time
from kubernetes_leader_election import EVENTS, Elector, LeadershipLostError, sync
from kubernetes_leader_election.credentials import explicit

if "KEEP" not in os.environ and signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # The tests themselves may run in the background of a shell, which ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

def options(**more):
    return dict(
        lease_name=os.environ["LEASE"], identity=f"me-{os.getpid()}",
        credentials=explicit(server=os.environ["LEASE_URL"]), **more)

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

FAST = dict(renew_interval_ms=100, lease_duration_sec=2)  # ended soon by the clock
SLOWER = dict(renew_interval_ms=100, lease_duration_sec=4)  # not by 2 s without a turn
STEADY = dict(renew_interval_ms=100, lease_duration_sec=20)  # by no busy machine
CALM = dict(renew_interval_ms=2000, lease_duration_sec=20)  # with threads that sleep

def until(condition):
    while not condition():
        time.sleep(0.01)  # between two looks; a test that looks in vain fails

def live_on():
    time.sleep(600)  # until a signal ends the program; else its test fails

def log_to_stderr(level="INFO"):
    import logging
    class Lines(logging.Handler):
        # Each line is one write, so that none comes into the middle of a traceback's.
        def emit(self, record):
            os.write(2, (self.format(record) + "\\n").encode())
    logging.basicConfig(level=level, handlers=[Lines()])
"""


class Program:
    """One running program."""

    def __init__(self, server, lease, source="", *, command=None, stdin=False):
        self.server, self.lease = server, lease
        self.lines = queue.SimpleQueue()
        self.said = []
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        code = PRELUDE + textwrap.dedent(source)
        self.process = subprocess.Popen(  # noqa: S603 - our own program
            [*(command or [sys.executable, "-W", "error", "-c"]), code]
            if source
            else command,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,  # some import from the tests
            env={**os.environ, "LEASE": lease, "LEASE_URL": server.url},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.decode().strip())
        self.lines.put(None)

    @property
    def pid(self):
        """The process id."""
        return self.process.pid

    @property
    def errors(self):
        """What it wrote to stderr so far."""
        # Its descriptor shares our place in the file: to move that would let it write
        # over what it wrote before.
        descriptor = self._errors.fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode()

    @property
    def holder(self):
        """Who holds the Lease of the program; empty for nobody."""
        lease = self.server.lease(self.lease)
        return (lease or {"spec": {}})["spec"].get("holderIdentity") or ""

    def wait_for(self, beginning):
        """Give the next line that begins so."""
        while True:
            try:
                line = self.lines.get(timeout=PATIENCE)
            except queue.Empty:
                line = None
            assert line is not None, (
                f"never said {beginning!r}; said {self.said}; {self.errors}"
            )
            self.said.append(line)
            if line.startswith(beginning):
                return line

    def send(self, number=signal.SIGTERM, *, at_once=False):
        """
        Send it a signal, not before its main thread waits; return the moment before.

        ``at_once``: its main thread is busy on purpose.
        """
        if not at_once:
            let_main_thread_wait(self.pid)
        before = time.monotonic()  # all processes of a machine have one such clock
        self.process.send_signal(number)
        return before

    def send_to_child(self, number):
        """Send a signal to its only child."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        os.kill(int(children), number)

    def finish(self):
        """Wait for its end and give the exit code."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        while (line := self.lines.get()) is not None:
            self.said.append(line)
        return code

    def _left_behind(self):
        """Give who else could still write to us: its children."""
        pipe = os.fstat(self.process.stdout.fileno()).st_ino
        left = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended
                if (process / "fd" / "1").stat().st_ino == pipe:
                    left.append(int(process.name))
        return left

    def close(self):
        """End it for sure, and fail where children of it live on."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)
        self._reader.join(WITHOUT_PARENT)
        left = self._left_behind() if self._reader.is_alive() else []
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._reader.join(PATIENCE)
        assert not left, f"left processes behind: {left}; {self.errors}"
        self.process.stdout.close()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self._errors.close()
