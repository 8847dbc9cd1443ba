"""The thread for what is best effort: nobody waits for it, and it gives nothing up."""

from __future__ import annotations

import itertools
import queue
import threading
import time

import pytest

from kubernetes_leader_election.errors import LeaderElectionError, LeaseApiError
from kubernetes_leader_election.publish import worker as module
from kubernetes_leader_election.publish.worker import ROOM, Worker
from tests.node_page import eventually
from tests.publish.told import Told


class Job:
    """Do what the test says."""

    def __init__(self, *steps):
        self.steps = iter(steps)
        self.words = []
        self.times = queue.Queue()
        self.closed = threading.Event()

    def take(self, word):
        """Keep a word."""
        self.words.append(word)

    def work(self):
        """Do the next step: a number is a pause, an error is raised."""
        self.times.put(time.monotonic())
        step = next(self.steps, None)
        if isinstance(step, BaseException):
            raise step
        return step() if callable(step) else step

    def close(self):
        """Note the end."""
        self.closed.set()


@pytest.fixture
def start():
    """Give a function that starts a worker; it is ended after the test."""
    made = []

    def begin(job):
        worker = Worker(job, Told(), name="leader-election-test")
        made.append(worker)
        worker.start()
        return worker

    yield begin
    for worker in made:
        worker.end()
        assert worker.wait(30.0)


def test_word_is_worked_on(start):
    """At once."""
    job = Job()
    start(job).put("a")
    job.times.get(timeout=30)
    assert job.words == ["a"]


def test_it_comes_again_when_it_said_so(start):
    """After the pause that the job asked for."""
    job = Job(0.01, None)
    start(job).put("a")
    first, second = (job.times.get(timeout=30) for _ in range(2))
    assert second - first >= 0.01


def test_failure_is_tried_again_after_a_growing_pause(start, monkeypatch):
    """Fault 80: and said each time; the log says it once."""
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.02)
    job = Job(*(LeaderElectionError("no") for _ in range(3)))
    worker = start(job)
    worker.put("a")
    times = [job.times.get(timeout=30) for _ in range(4)]
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    for pause, least in zip(pauses, (0.02, 0.04, 0.08), strict=True):
        assert pause >= least
    assert worker._says.failures == ["no"] * 3


def test_server_that_asks_to_wait_is_heard(start, monkeypatch):
    """Fault 80: but for no longer than a minute."""
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.001)
    job = Job(LeaseApiError("busy", retry_after=0.05))
    start(job).put("a")
    first, second = (job.times.get(timeout=30) for _ in range(2))
    assert second - first >= 0.05


def test_what_nobody_foresaw_ends_no_thread(start, monkeypatch):
    """Fault 07: of its kind only, as the text may hold a token (fault 50)."""
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.001)
    job = Job(ValueError("secret"))
    worker = start(job)
    worker.put("a")
    for _ in range(2):
        job.times.get(timeout=30)
    (said,) = worker._says.failures
    assert "ValueError" in said
    assert "secret" not in said


def test_queue_is_bounded_and_never_waits(start):
    """Fault 80: who puts is the engine's thread."""
    held, going = threading.Event(), threading.Event()

    def hang():
        going.set()
        held.wait(30)

    worker = start(Job(hang))
    worker.put("first")
    assert going.wait(30)
    for number in range(ROOM + 10):
        worker.put(number)
    held.set()
    assert worker.dropped == 10


def test_end_tries_once_more_what_there_is_to_do(start):
    """And then closes what it has, whatever comes of it."""
    job = Job(LeaderElectionError("no"))
    worker = start(job)
    worker.put("last")
    worker.end()
    assert worker.wait(30.0)
    assert job.closed.is_set()
    assert job.words == ["last"]


def test_thread_that_is_not_to_be_had_keeps_nobody_waiting(monkeypatch):
    """Its end is now."""

    def none(*_, **__):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(module.native, "start_thread", none)
    worker = Worker(Job(), Told(), name="x")
    with pytest.raises(RuntimeError):
        worker.start()
    assert worker.wait(0.0)
    eventually(lambda: worker.wait(0.0))
