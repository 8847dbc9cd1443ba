"""
One daemon thread with one queue, for all Leases of the process.

It makes no request itself and calls nobody who may block, so renewals go on while
the application's event loop is stuck or its threads keep the processor busy.

**One input, drain to the end, re-arm, wait.**
"""

from __future__ import annotations

import contextlib
import heapq
import logging
import queue
import time
from itertools import count
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakValueDictionary, finalize

from kubernetes_leader_election.core.messages import Message
from kubernetes_leader_election.core.timing import ElectionSettings
from kubernetes_leader_election.engine.calls import Completed, Workers
from kubernetes_leader_election.engine.clock_alarm import Alarm, ClockAlarm
from kubernetes_leader_election.engine.clocks import Clock, SystemClock
from kubernetes_leader_election.engine.view import View
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.process import native
from kubernetes_leader_election.process.fork import PerProcess, Process, on_child

if TYPE_CHECKING:
    from kubernetes_leader_election.credentials.base import Credentials

LONGEST_WAIT: Final = 3600.0
"""Seconds: queues do not take an endless number."""
AFTER_FAILURE: Final = 0.1
"""Seconds before the engine goes on after an exception that no driver kept."""
MOST_NEWS: Final = 50
"""Inputs that are taken before a timer that is due: some ten milliseconds at most."""
LONGEST_TURN: Final = 30.0
"""Seconds after which a thread that was asked to turn and has not is given up."""
ASKED_EVERY: Final = 1.0
"""Seconds between two such questions at least, however often somebody wants to know."""

ENDED: Final = -1.0
"""In the place of the time of the last turn, once the thread is no more."""

Input = Message | Completed | None
"""What a driver takes; None: its timer, or to look again."""


class Driven(Protocol):
    """One election, as far as the thread that drives it is concerned."""

    @property
    def settings(self) -> ElectionSettings:
        """Checked settings."""
        ...

    @property
    def client(self) -> LeaseClient | None:
        """What makes its requests; None: leadership is assumed."""
        ...

    @property
    def view(self) -> View:
        """What any thread may know of it."""
        ...

    @property
    def in_term(self) -> bool:
        """Whether a term is held, or its end is on the way."""
        ...

    @property
    def is_stopped(self) -> bool:
        """Whether it takes no part in the election."""
        ...

    @property
    def next_deadline(self) -> float | None:
        """The CLOCK_BOOTTIME at which it is due; None: there is no such time."""
        ...

    def step(self, message: Input) -> None:
        """Take one input, and do all that follows from it."""
        ...


class Engine:
    """
    Drive any number of elections on one thread.

    Args:
        clock: the clocks of this machine, unless a test brings its own.
        alarm: tells when they jump; a test that brings the clocks brings it, too.

    """

    def __init__(self, clock: Clock | None = None, alarm: Alarm | None = None) -> None:
        self._clock = clock or SystemClock()
        self._alarm = alarm or ClockAlarm(self.look)
        self._inputs: queue.SimpleQueue[tuple[Driven, Input] | None] = (
            native.SimpleQueue()
        )
        self._starting = native.Lock()
        self._thread: object = None
        self._timers: list[tuple[float, int, Driven]] = []
        self._due: dict[Driven, float] = {}
        self._numbers = count()
        self._in_term: set[Driven] = set()
        self._running: set[Driven] = set()
        self._failed = False
        self._turned_at = 0.0
        """When it turned last (CLOCK_MONOTONIC); 0.0: not started; ENDED. The thread."""
        self._asked_at = 0.0
        """When it was last asked to turn, to see whether it does. By ``problem``."""
        self._clients: WeakValueDictionary[int, LeaseClient] = WeakValueDictionary()
        self.workers = Workers()

    # Any thread ---------------------------------------------------------------

    def start(self) -> None:
        """Start the thread if it does not run. Never from a signal handler."""
        if self._thread is not None:
            return
        with self._starting:
            if self._thread is None:
                self._thread = native.start_thread(self._run, name="leader-election")

    def post(self, driver: Driven, message: Input) -> None:
        """Queue one input. Never blocks; safe in a signal handler."""
        self._inputs.put((driver, message))

    def look(self) -> None:
        """Have the clocks of leaders looked at: they may have jumped. Never blocks."""
        self._inputs.put(None)

    def problem(self) -> str:
        """
        Say what is wrong with the thread; empty where it works, or was not started.

        For probes. It is asked to turn, and the next call looks whether it has. Any
        thread; never blocks.
        """
        now, turned, asked = time.monotonic(), self._turned_at, self._asked_at
        if not turned:
            return ""
        if turned == ENDED:
            return "the thread of the election has ended"
        if turned < asked:
            silent = now - asked
            if silent <= LONGEST_TURN:
                return ""
            return f"the thread of the election has not turned for {silent:.0f} s"
        if now - asked >= ASKED_EVERY:
            self._asked_at = now
            self.look()
        return ""

    def client_for(self, credentials: Credentials) -> LeaseClient:
        """Return the one client of these credentials: electors share connections."""
        self.start()
        with self._starting:
            # A client lives as long as an elector that has it, and its credentials
            # with it, so that no other takes their id.
            client = self._clients.get(id(credentials))
            if client is None:
                client = LeaseClient(credentials)
                finalize(client, client.closer()).atexit = False
                self._clients[id(credentials)] = client
            return client

    def drop_after_fork(self) -> None:
        """In a child: close inherited descriptors without a word to anybody."""
        self._alarm.drop_after_fork()
        for client in list(self._clients.values()):
            client.drop_after_fork()

    # The thread ---------------------------------------------------------------

    def _run(self) -> None:
        try:
            while True:
                self._turned_at = time.monotonic()
                try:
                    self._turn()
                except Exception as error:  # noqa: BLE001 - only the process may end this thread
                    self._report(error)
                if self._failed:
                    self._failed = False
                    native.sleep(AFTER_FAILURE)
        finally:
            # By what is no Exception, raised into it from outside: probes are told at once.
            self._turned_at = ENDED

    def _report(self, error: Exception) -> None:
        """Fault 07: drivers keep their own troubles, so this is the clock or memory."""
        self._failed = True
        with contextlib.suppress(Exception):
            _log().error(
                "the engine of leader elections failed; it goes on", exc_info=error
            )

    def _turn(self) -> None:
        """Take what comes before the next timer; then do what is due."""
        try:
            self._take(self._inputs.get(timeout=self._wait()))
            # News that is here already can make a candidate's write needless.
            for _ in range(MOST_NEWS):
                if self._failed:
                    break  # what failed is the next in the queue: it rests first
                self._take(self._inputs.get_nowait())
        except queue.Empty:
            pass
        self._step_due()

    def _wait(self) -> float:
        """Return the seconds until the next timer, no more than a leader may sleep."""
        wait = LONGEST_WAIT
        deadline = self._next_deadline()
        if deadline is not None:
            wait = max(0.0, deadline - self._clock.now().boottime)
        if not self._alarm.rings:
            for driver in self._in_term:
                # Rule 14: timed waits stand still in suspend, so none is long.
                wait = min(wait, driver.settings.stop_budget / 2)
        return min(wait, LONGEST_WAIT)

    def _next_deadline(self) -> float | None:
        """Return when the next timer of a driver is due; None where there is none."""
        while self._timers:
            deadline, _, driver = self._timers[0]
            if self._due.get(driver) == deadline:
                return deadline
            # Called off: the answer came before the time limit of its request, say.
            heapq.heappop(self._timers)
        return None

    def _take(self, news: tuple[Driven, Input] | None) -> None:
        if news is not None:
            self._step(*news)  # else what is due is looked at anyway

    def _step(self, driver: Driven, message: Input) -> None:
        try:
            driver.step(message)
            self._note_life(driver)
        except Exception as error:  # noqa: BLE001 - the others are due as well
            self._report(error)
            self.post(driver, None)  # or its timer would be lost
        if driver.in_term:
            if driver not in self._in_term:
                self._in_term.add(driver)
                self._alarm.start()
        else:
            self._in_term.discard(driver)
        deadline = driver.next_deadline
        if deadline is None:
            self._due.pop(driver, None)
        elif self._due.get(driver) != deadline:
            self._due[driver] = deadline
            heapq.heappush(self._timers, (deadline, next(self._numbers), driver))

    def _note_life(self, driver: Driven) -> None:
        """Close idle connections when the last elector that uses them has stopped."""
        if not driver.is_stopped:
            self._running.add(driver)
        elif driver in self._running:
            self._running.discard(driver)
            client = driver.client
            if client is not None and all(
                d.client is not client for d in self._running
            ):
                client.close_idle()

    def _step_due(self) -> None:
        now = self._clock.now()
        due = []
        while (deadline := self._next_deadline()) is not None:
            if deadline > now.boottime:
                break
            _, _, driver = heapq.heappop(self._timers)
            del self._due[driver]
            due.append(driver)
        # A jump of a clock has no timer: leaders look at each waking (rule 14).
        due += [
            driver
            for driver in self._in_term
            if (belief := driver.view.term_deadline) is not None
            and driver not in due
            and not belief.holds(now)
        ]
        for driver in due:
            self._step(driver, None)


shared_engine: Final = PerProcess(Engine)
"""Return the engine of this process."""


def _log() -> logging.Logger:
    return logging.getLogger("kubernetes_leader_election")


def _after_fork_in_child(parent: Process) -> None:
    """Fault 15: no thread lived on. Drop the descriptors of the parent's engine."""
    engine = shared_engine.of(parent)
    if engine is not None:
        try:
            engine.drop_after_fork()
        except Exception as error:  # noqa: BLE001 - a fork hook has nobody to raise to
            _log().error(
                "inherited connections could not be dropped after a fork",
                exc_info=error,
            )


on_child(_after_fork_in_child)
