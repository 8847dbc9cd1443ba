"""
Work that a signal tears while its threads go on: held, waited for, then released.

Real processes, and a rival that waits for the Lease: what the threads of the one did is
compared with when the other began, on the clock that both share.
"""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import threading
import time

import pytest

from kubernetes_leader_election import sync
from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.lifecycle import leftover_threads
from kubernetes_leader_election.lifecycle.leftover_threads import Beginning
from tests.lifecycle.driven import until
from tests.lifecycle.programs import PATIENCE
from tests.lifecycle.stages import FAST

pytestmark = pytest.mark.slow

RELEASES = "RHYTHM = STEADY\n"
"""For programs whose Lease is released: no busy machine lets it run out before."""
RUNS_OUT = "RHYTHM = FAST\n"
"""For programs whose Lease is left to run out."""
JOB = """
from concurrent.futures import ThreadPoolExecutor

def job(seconds=2.5):
    until = None  # so many seconds after it was told, however late that comes
    while until is None or time.monotonic() < until:
        say("act", time.monotonic())
        time.sleep(0.02)
        if until is None and not elector.current_leader:
            until = time.monotonic() + seconds
    say("done")
"""

THREADS = """
elector = sync.Elector(**options(grace_sec=0.5, **RHYTHM))
shared = ThreadPoolExecutor()

def pool(term):
    with ThreadPoolExecutor() as pool:
        pool.submit(job)
        term.lost.wait()

def thread(term):
    thread = threading.Thread(target=job)
    thread.start()
    term.lost.wait()
    thread.join()

def pool_of_the_program(term):
    future = shared.submit(job)
    term.lost.wait()
    future.result()

def pool_in_a_hold(term):
    with term.hold("upload"):
        pool(term)

def call_in_a_thread(term):
    term.to_thread(job)

def pool_and_an_error_of_its_own(term):
    try:
        pool(term)
    except BaseException as error:
        raise RuntimeError("the work was interrupted") from error

def thread_and_an_error_of_its_own(term):
    try:
        thread(term)
    except BaseException as error:
        raise RuntimeError("the work was interrupted") from error

def pool_and_no_error_at_all(term):
    try:
        pool(term)
    except BaseException:
        pass

def daemon(term):
    thread = threading.Thread(target=job, args=(600,), daemon=True)
    thread.start()
    term.lost.wait()
    thread.join()
"""

TEARING = (
    "pool",
    "thread",
    "pool_of_the_program",
    "pool_in_a_hold",
    "call_in_a_thread",
)


class Rival:
    """Another replica, which notes when it began to lead."""

    def __init__(self, running):
        self.began = self.why = None
        self._led = threading.Event()
        self._elector = sync.Elector(
            lease_name=running.lease,
            identity="rival",
            credentials=explicit(server=running.server.url),
            auto_close=False,
            **FAST,
        )
        self._elector.on("leadership_acquired", self._note)
        self._elector.start()
        self._elector.wait_for_leader(PATIENCE)

    def _note(self, event):
        if self.began is None:  # it may lose the Lease, and have it again
            self.began, self.why = time.monotonic(), event.why
        self._led.set()

    def wait(self):
        """Wait until it leads."""
        assert self._led.wait(PATIENCE)

    def close(self):
        """Take part no more."""
        self._elector.stop(PATIENCE)


@pytest.fixture
def rival(request):
    """Give a function that starts a rival of a program."""

    def start(running):
        made = Rival(running)
        request.addfinalizer(made.close)
        return made

    return start


def acts(running):
    """Give the moments at which the job of a program did something."""
    return [float(line.split()[1]) for line in running.said if line.startswith("act")]


def ended(running, rival):
    """Wait for the end of a program, and see that nobody acted at the rival's time."""
    code = running.finish()
    rival.wait()
    assert acts(running)[-1] < rival.began
    return code


@pytest.mark.row(
    "Signals, exit, fork",
    "work in the main thread that such an exception ends has left threads behind",
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
@pytest.mark.parametrize("body", TEARING)
def test_torn_scope_holds_the_lease_for_the_threads_it_left(
    program, rival, body, number
):
    """G5, fault 10: the job goes to its end, and nobody else works before."""
    running = program(RELEASES + JOB + THREADS + f"elector.run({body})")
    running.wait_for("act")
    other = rival(running)
    running.send(number)
    code = ended(running, other)
    assert code == (143 if number == signal.SIGTERM else -signal.SIGINT)
    assert "done" in running.said
    assert other.why == "release", "it has run out"


def test_torn_scope_whose_body_raises_an_error_of_its_own_is_held_as_well(
    program, rival
):
    """G5: what a program makes of the exception does not matter."""
    running = program(
        RELEASES + JOB + THREADS + "elector.run(pool_and_an_error_of_its_own)"
    )
    running.wait_for("act")
    other = rival(running)
    running.send()
    assert ended(running, other) == 1
    assert "done" in running.said


def test_torn_scope_whose_body_makes_nothing_of_it_is_held_as_well(program, rival):
    """G5: a body that swallows the exception has been interrupted all the same."""
    running = program(
        RELEASES + JOB + THREADS + "elector.run(pool_and_no_error_at_all)"
    )
    running.wait_for("act")
    other = rival(running)
    running.send()
    ended(running, other)
    assert "done" in running.said


def test_torn_hold_without_a_scope_is_held_as_well(program, rival):
    """G5: a second signal tears it, which does not wait as the grace does."""
    source = "elector.start()\npool_in_a_hold(elector.wait_until_leading())"
    running = program(RELEASES + JOB + THREADS + source)
    running.wait_for("act")
    other = rival(running)
    running.send()
    until(lambda: "this is still running: hold" in running.errors)
    running.send()
    assert ended(running, other) == 143
    assert "done" in running.said


@pytest.mark.parametrize("body", ["thread", "thread_and_an_error_of_its_own"])
def test_torn_scope_without_our_handlers_is_held_as_well(program, rival, body):
    """G5: Ctrl-C of Python's own, with auto_close=False, tears a scope just so."""
    threads = THREADS.replace("**RHYTHM", "auto_close=False, **RHYTHM")
    running = program(RELEASES + JOB + threads + f"elector.run({body})")
    running.wait_for("act")
    other = rival(running)
    running.send(signal.SIGINT)
    ended(running, other)
    assert "done" in running.said


def test_torn_scope_is_released_when_its_threads_end_in_a_program_that_goes_on(
    program, rival
):
    """G7: who keeps the exception from ending the program waits for no exit."""
    running = program(
        RELEASES
        + JOB
        + THREADS
        + textwrap.dedent(
            """
            try:
                elector.run(pool)
            except SystemExit:
                pass
            while elector.state.role != "stopped":
                time.sleep(0.01)
            say("stopped")
            sys.stdin.read()
            """
        ),
        stdin=True,
    )
    running.wait_for("act")
    other = rival(running)
    running.send()
    running.wait_for("stopped")
    other.wait()
    assert "done" in running.said
    assert acts(running)[-1] < other.began
    running.process.stdin.close()
    assert running.finish() == 0


@pytest.mark.row(
    "Signals, exit, fork",
    "the same, and one of them is a daemon thread that was started since the work began",
)
def test_torn_scope_with_a_daemon_thread_is_not_released(program, rival):
    """G5: nobody waits for a daemon, and it acts until the process has ended."""
    running = program(RUNS_OUT + JOB + THREADS + "elector.run(daemon)")
    running.wait_for("act")
    other = rival(running)
    running.send()
    running.process.wait(PATIENCE)
    assert running.holder == f"me-{running.pid}"
    assert ended(running, other) == 143


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_further_signals_end_the_wait_for_threads_and_release_nothing(
    program, rival, number
):
    """Fault 13: who insists is not kept waiting; the Lease runs out then."""
    endless = "job.__defaults__ = (600,)\nelector.run(pool)"
    running = program(RUNS_OUT + JOB + THREADS + endless)
    running.wait_for("act")
    other = rival(running)
    while running.process.poll() is None:
        running.send(number)
        time.sleep(0.3)  # what a person takes between two
    assert running.holder == f"me-{running.pid}"
    ended(running, other)
    assert "done" not in running.said


def test_scope_of_a_thread_whose_join_was_torn_goes_to_its_end(program, rival):
    """Fault 16: up to Python 3.12 the interpreter itself does not wait for it then."""
    running = program(
        RELEASES
        + JOB
        + THREADS
        + textwrap.dedent(
            """
            def work():
                with elector.leadership():
                    job()
            elector.start()
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            """
        )
    )
    running.wait_for("act")
    other = rival(running)
    for _ in range(2):
        running.send(signal.SIGINT)
        for _ in range(10):
            running.wait_for("act")
    ended(running, other)
    assert "done" in running.said


LOOP = """
elector = Elector(**options(grace_sec=0.5, **RHYTHM))

async def pool(term):
    with ThreadPoolExecutor() as pool:
        pool.submit(job)
        await asyncio.Event().wait()

async def call_in_a_thread(term):
    await term.to_thread(job)

async def hold_in_a_pool(term):
    def held():
        with term.hold("upload"):
            job()
    asyncio.get_running_loop().run_in_executor(None, held)
    await asyncio.Event().wait()
"""


@pytest.mark.parametrize("body", ["call_in_a_thread", "hold_in_a_pool"])
@pytest.mark.parametrize("ending", ["SIGTERM", "a step-down"])
def test_work_that_a_cancelled_body_handed_to_a_thread_is_over_before_another_leads(
    program, rival, body, ending
):
    """G5: the body ends at once, its thread later, and the Lease is released then."""
    running = program(
        RELEASES
        + JOB
        + LOOP
        + textwrap.dedent(
            f"""
            async def main():
                async with asyncio.TaskGroup() as group:
                    group.create_task(elector.run({body}))
                    await asyncio.to_thread(sys.stdin.readline)
                    await elector.step_down(stay_out=60)
                    await elector.stop()
            asyncio.run(main())
            """
        ),
        stdin=True,
    )
    running.wait_for("act")
    other = rival(running)
    if ending == "SIGTERM":
        running.send()
        other.wait()
    running.process.stdin.write(b"\n")
    running.process.stdin.flush()
    ended(running, other)
    assert "done" in running.said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
@pytest.mark.parametrize("again", [0, 1, 2])
def test_torn_scope_of_a_loop_holds_the_lease_for_the_threads_it_left(
    program, rival, number, again
):
    """G5: on a loop, a further signal tears the wait for a pool; the job ends first."""
    rhythm = RUNS_OUT if number == signal.SIGTERM and again == 2 else RELEASES
    running = program(rhythm + JOB + LOOP + "asyncio.run(elector.run(pool))")
    running.wait_for("act")
    other = rival(running)
    running.send(number)
    for _ in range(again):
        for _ in range(10):
            running.wait_for("act")
        running.send(number)
    ended(running, other)
    if number == signal.SIGINT or again < 2:
        assert "done" in running.said  # a third SIGTERM is the default action's


def test_thread_that_is_yet_to_begin_is_left_by_who_started_it(monkeypatch):
    """Fault 10: Ctrl-C in the wait for its first step; one that never comes is no work."""
    beginning = Beginning()
    thread = threading.Thread(target=print)
    monkeypatch.setitem(threading._limbo, thread, thread)  # as its start does
    assert beginning.left() == (thread,)
    monkeypatch.setattr(leftover_threads, "BEGINS_WITHIN", 0.05)
    until(lambda: beginning.left() == ())


def test_living_threads_are_those_that_run():
    """A thread whose join() was interrupted still runs, whatever is_alive() says."""
    from kubernetes_leader_election.lifecycle.leftover_threads import living

    go, began = threading.Event(), threading.Event()

    def work():
        began.set()
        go.wait(PATIENCE)

    thread = threading.Thread(target=work)
    thread.start()
    assert began.wait(PATIENCE)

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            thread.join()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert thread in living()
    go.set()
    while thread in living():
        time.sleep(0.001)


PROCESS_1 = """
assert os.getpid() == 1
elector.run(pool)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a process namespace needs root")
def test_further_sigterm_ends_process_1_while_it_waits_for_threads(program):
    """Fault 14: the kernel's default action would not end it, and the wait has no end."""
    unshare = ("unshare", "--pid", "--fork", "--kill-child")
    running = program(
        RUNS_OUT + JOB + THREADS + "job.__defaults__ = (600,)" + PROCESS_1,
        command=[*unshare, sys.executable, "-W", "error", "-c"],
    )
    running.wait_for("act")
    until = time.monotonic() + PATIENCE
    while running.process.poll() is None and time.monotonic() < until:
        running.send_to_child(signal.SIGTERM)
        time.sleep(0.3)  # what a person takes between two
    assert running.finish() == 143
    assert running.holder == "me-1"
