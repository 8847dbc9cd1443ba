"""Both fronts behind plain calls that block, so that one test plays on both."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from functools import partial

from kubernetes_leader_election import Elector, sync
from kubernetes_leader_election.process.log_thread import shared_log_thread
from tests.lifecycle.stages import PATIENCE, options


class Driven:
    """An elector for asyncio whose coroutines are run by whoever calls them."""

    def __init__(self, elector, front):
        self._elector = elector
        self._front = front

    def __getattr__(self, name):
        member = getattr(self._elector, name)
        if not inspect.iscoroutinefunction(member):
            return member
        return lambda *args, **named: self._front.call(member(*args, **named))


async def _kept(work):
    """Carry an error as it is: futures make copies of a TimeoutError."""
    try:
        result = await work
    except Exception as error:  # noqa: BLE001 - raised again by the caller
        return partial(_raise, error)
    return lambda: result


def _raise(error):
    raise error


class OnLoop:
    """Electors for asyncio, on a loop in a thread of its own."""

    name = "asyncio"

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.made = []

    def elector(self, **changes):
        """Make an elector; it is stopped after the test."""
        self.made.append(Driven(Elector(**options(**changes)), self))
        return self.made[-1]

    def call(self, work):
        """Run a coroutine on the loop and give its result."""
        return asyncio.run_coroutine_threadsafe(_kept(work), self.loop).result(
            PATIENCE
        )()

    def close(self):
        """End the loop and its thread."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(PATIENCE)
            self.loop.close()


class OnThreads:
    """Electors for threads."""

    name = "threads"

    def __init__(self):
        self.made = []

    def elector(self, **changes):
        """Make an elector; it is stopped after the test."""
        self.made.append(sync.Elector(**options(**changes)))
        return self.made[-1]

    def close(self):
        """Do nothing: there is no loop."""


class Log:
    """A logger of the application that keeps its lines."""

    def __init__(self):
        self.changed = threading.Condition()
        self.lines = []

    def _keep(self, level, text, args):
        with self.changed:
            self.lines.append((level, text % args if args else text))
            self.changed.notify_all()

    def debug(self, text, *args):
        self._keep("debug", text, args)

    def info(self, text, *args):
        self._keep("info", text, args)

    def warning(self, text, *args):
        self._keep("warning", text, args)

    def error(self, text, *args):
        self._keep("error", text, args)

    def wait_for(self, text):
        """Give the first line that contains ``text``, with its level."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.about(text), PATIENCE), text
            return self.about(text)[0]

    def written(self):
        """Give all lines, when the thread that writes them has come so far."""
        assert shared_log_thread().flush(PATIENCE)
        return tuple(self.lines)

    def about(self, text):
        """Give all lines that contain ``text``, with their levels."""
        return [line for line in self.lines if text in line[1]]


def until(condition, what=""):
    """Wait until something is true; fail after much too long a time."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, what or "waited in vain"
        time.sleep(0.002)
