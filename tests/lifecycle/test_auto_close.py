"""Who is asked to stop by a signal, and when the signal is sent once more."""

from __future__ import annotations

import asyncio
import queue
import signal
import sys
import threading
import time
from signal import pthread_kill

import pytest

from kubernetes_leader_election.process import signal_thread
from kubernetes_leader_election.process.signal_table import State
from kubernetes_leader_election.process.signal_thread import Delivery
from kubernetes_leader_election.process.signals import AutoClose
from tests.lifecycle.driven import until
from tests.lifecycle.kernel_waits import settled

PATIENCE = 20.0


class Quick:
    """An elector that has nothing to do but to stop."""

    grace = 0.5
    asked_at = None

    def __init__(self, auto_close):
        self.auto_close = auto_close

    def on_signal(self, *, ends_main_thread):
        """Stop at once."""
        self.auto_close.forget(self)

    def time_left(self):
        """Give what is left of the grace."""
        gone = 0.0 if self.asked_at is None else time.monotonic() - self.asked_at
        return self.grace - gone

    def time_held(self):
        """Give what is left of the term: more than any test takes."""
        return 600.0

    def holds_main_thread(self):
        """Say that the main thread is in no guard."""
        return False

    def is_of_main_thread_alone(self):
        """Say that others may be at work."""
        return False

    def works_in_main_thread(self):
        """Say that nothing does."""
        return False


class Slow(Quick):
    """An elector whose work in the main thread does not end by itself."""

    grace = 0.1
    asked = 0

    def on_signal(self, *, ends_main_thread):
        """Begin to stop."""
        self.asked += 1
        self.asked_at = time.monotonic()

    def works_in_main_thread(self):
        """Say that it does."""
        return True


class Patient(Slow):
    """An elector whose work in the main thread has a minute to end."""

    grace = 60.0

    def __init__(self, auto_close):
        super().__init__(auto_close)
        self.was_asked = threading.Event()

    def on_signal(self, *, ends_main_thread):
        """Begin to stop."""
        self.was_asked.set()


class Alone(Patient):
    """An elector under which nobody but the main thread can be at work."""

    def is_of_main_thread_alone(self):
        """Say so."""
        return True


@pytest.fixture
def sent(monkeypatch):
    """Give the signals that are sent once more, instead of sending them."""
    sent = queue.SimpleQueue()
    monkeypatch.setattr(
        signal,
        "pthread_kill",
        lambda _, number: None if number == signal.SIGURG else sent.put(number),
    )
    # On a busy machine the main thread may meet one late.
    monkeypatch.setattr(signal_thread, "MISSED", 600.0)
    return sent


@pytest.fixture
def auto_close():
    """Give one of its own, and take its handlers back when the test is over."""
    auto_close = AutoClose()
    yield auto_close
    for elector in tuple(auto_close._watched):
        auto_close.forget(elector)
    auto_close.take_back()


def test_loop_that_does_not_run_is_not_woken(sent):
    """A loop that was stopped and kept would collect callbacks."""

    async def watch():
        auto_close.watch(elector)

    auto_close = AutoClose()
    elector = Quick(auto_close)
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(watch())
        signal.raise_signal(signal.SIGTERM)
        assert sent.get(timeout=60) == signal.SIGTERM
        until(auto_close._thread._inbox.empty)
        assert not loop._ready
    finally:
        loop.close()
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGTERM)


async def have_signal_taken_by_another_thread(elector):
    """Wait in the loop; tell whether the elector was asked to stop meanwhile."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    main, seen = threading.get_native_id(), []

    def take():
        settled(main)  # or it would see the signal before it waits
        # The interpreter is told in this thread, and acts in the main one.
        pthread_kill(threading.get_ident(), signal.SIGTERM)
        elector.was_asked.wait(PATIENCE)
        seen.append(elector.was_asked.is_set())
        loop.call_soon_threadsafe(over.set)

    thread = threading.Thread(target=take)
    thread.start()
    await over.wait()
    thread.join()
    return seen == [True]


@pytest.mark.skipif(
    sys.platform != "linux", reason="that the loop waits is seen in /proc"
)
@pytest.mark.parametrize("earlier", ["none", "of the program"])
def test_signal_that_another_thread_takes_is_seen_at_once(sent, auto_close, earlier):
    """Fault 13: the loop would wait on, with nothing else to wake it up."""
    elector = Patient(auto_close)

    async def lead():
        if earlier != "none":
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, print)
        auto_close.watch(elector)
        return await have_signal_taken_by_another_thread(elector)

    seen = asyncio.run(lead())
    auto_close.forget(elector)
    assert sent.get(timeout=60) == signal.SIGTERM
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGTERM)
    assert seen  # last, so that no signal is left to come up in pytest itself


def test_what_wakes_the_loop_for_others_is_left_to_them(auto_close):
    """A program whose own handlers asyncio calls goes on hearing of its signals."""
    elector = Quick(auto_close)

    async def lead():
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, heard.set)
        auto_close.watch(elector)
        signal.raise_signal(signal.SIGUSR1)
        await asyncio.wait_for(heard.wait(), PATIENCE)
        heard.clear()
        auto_close.forget(elector)
        auto_close.take_back()
        signal.raise_signal(signal.SIGUSR1)
        await asyncio.wait_for(heard.wait(), PATIENCE)

    asyncio.run(lead())


def test_nothing_is_woken_any_more_when_handlers_are_taken_back(auto_close):
    """What was there before is there again."""
    elector = Quick(auto_close)

    async def lead():
        auto_close.watch(elector)
        auto_close.forget(elector)
        auto_close.take_back()

    asyncio.run(lead())
    assert signal.set_wakeup_fd(-1) == -1


def test_signal_is_sent_once_more_and_only_once(sent, auto_close):
    """Fault 13: a second one would come to the default action, in the midst of it."""
    auto_close.watch(Quick(auto_close))
    signal.raise_signal(signal.SIGTERM)
    assert sent.get(timeout=60) == signal.SIGTERM
    auto_close.forget(Quick(auto_close))  # some other one ends meanwhile
    until(auto_close._thread._inbox.empty)
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(queue.Empty):
        sent.get(timeout=0.1)


def test_signal_is_not_sent_once_more_while_electors_stop(sent, auto_close):
    """Fault 13: it would end the main thread, and with it what they still have to do."""
    elector = Patient(auto_close)
    auto_close.watch(elector)
    signal.raise_signal(signal.SIGTERM)
    assert elector.was_asked.wait(60)
    auto_close.forget(Quick(auto_close))  # some other one ends meanwhile
    until(auto_close._thread._inbox.empty)
    with pytest.raises(queue.Empty):
        sent.get(timeout=0.1)
    auto_close.forget(elector)
    assert sent.get(timeout=60) == signal.SIGTERM
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGTERM)


def test_signal_stops_an_elector_that_began_while_an_older_one_still_stops(
    sent, auto_close
):
    """Fault 13: as in a program that caught KeyboardInterrupt and elects anew."""
    old, new = Slow(auto_close), Slow(auto_close)
    auto_close.watch(old)
    signal.raise_signal(signal.SIGINT)
    assert sent.get(timeout=60) == signal.SIGINT
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    auto_close.watch(new)
    signal.raise_signal(signal.SIGINT)
    assert sent.get(timeout=60) == signal.SIGINT
    assert (old.asked, new.asked) == (1, 1)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_signal_ends_a_main_thread_that_another_signal_only_asked(sent, auto_close):
    """Fault 13: the earlier handler of SIGTERM goes on; SIGINT after it is not lost."""
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
    elector = Slow(auto_close)
    auto_close.watch(elector)
    try:
        signal.raise_signal(signal.SIGTERM)
        until(lambda: elector.asked == 1)
        signal.raise_signal(signal.SIGINT)
        assert sent.get(timeout=60) == signal.SIGINT
        assert heard == [1]
        assert elector.asked == 1
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_signal_is_not_sent_once_more_before_the_electors_were_asked(sent, auto_close):
    """Fault 13: an elector that ends just when the signal comes does not speak for all."""
    elector = Slow(auto_close)
    auto_close.watch(elector)
    # Between these two another elector ends, and its end is seen first.
    auto_close._thread._delivery = Delivery(signal.SIGINT)
    auto_close.forget(Quick(auto_close))
    with pytest.raises(queue.Empty):
        sent.get(timeout=0.1)
    auto_close._thread._inbox.put(signal.SIGINT)
    assert sent.get(timeout=60) == signal.SIGINT
    assert elector.asked == 1
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_signal_waits_for_no_end_of_the_grace_where_the_lease_is_lost(sent, auto_close):
    """G2: work in the main thread has the stop budget left, and hears of it at once."""
    elector = Patient(auto_close)
    auto_close.watch(elector)
    signal.raise_signal(signal.SIGTERM)
    assert elector.was_asked.wait(60)
    elector.time_left = lambda: 0.0
    auto_close.look_again()
    assert sent.get(timeout=60) == signal.SIGTERM
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGTERM)


def test_signal_looks_again_when_the_lease_runs_out(sent, auto_close):
    """G2, fault 07: by the clock, with an engine that says nothing."""
    elector = Patient(auto_close)
    elector.time_left = iter((0.2, 0.0)).__next__
    auto_close.watch(elector)
    signal.raise_signal(signal.SIGTERM)
    assert sent.get(timeout=60) == signal.SIGTERM
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGTERM)


def test_grace_ends_no_scope_around_a_guard_of_another_elector(sent, auto_close):
    """The exception would tear both: it comes when the guard has been left, or by a loss."""
    elector, guarded = Slow(auto_close), Patient(auto_close)
    guarded.holds_main_thread = lambda: True
    auto_close.watch(elector)
    auto_close.watch(guarded)
    signal.raise_signal(signal.SIGTERM)
    assert guarded.was_asked.wait(60)
    with pytest.raises(queue.Empty):
        sent.get(timeout=5 * elector.grace)
    assert auto_close.state is State.STOPPING
    guarded.holds_main_thread = lambda: False
    auto_close.look_again()
    assert sent.get(timeout=60) == signal.SIGTERM
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGTERM)


def test_loss_ends_the_main_thread_also_in_a_guard(sent, auto_close):
    """G2: what is left then is the stop budget, as for any work."""
    elector = Patient(auto_close)
    elector.holds_main_thread = lambda: True
    elector.time_held = iter((0.2, 0.0)).__next__
    auto_close.watch(elector)
    signal.raise_signal(signal.SIGTERM)
    assert sent.get(timeout=60) == signal.SIGTERM
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGTERM)


def test_signal_is_sent_at_once_only_where_all_work_is_of_the_main_thread(
    sent, auto_close
):
    """G5: one elector with work elsewhere is enough to wait for it."""
    alone, other = Alone(auto_close), Patient(auto_close)
    auto_close.watch(alone)
    auto_close.watch(other)
    signal.raise_signal(signal.SIGTERM)
    assert other.was_asked.wait(60)
    with pytest.raises(queue.Empty):
        sent.get(timeout=0.1)
    auto_close.forget(other)
    assert sent.get(timeout=60) == signal.SIGTERM
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGTERM)


def test_signal_that_the_main_thread_has_not_met_is_sent_until_it_is(
    sent, auto_close, monkeypatch
):
    """It may come just before a wait, of which Python lets it interrupt none."""
    monkeypatch.setattr(signal_thread, "MISSED", 0.05)
    auto_close.watch(Quick(auto_close))
    signal.raise_signal(signal.SIGTERM)
    assert sent.get(timeout=60) == signal.SIGTERM
    assert sent.get(timeout=60) == signal.SIGTERM
    delivery = auto_close._thread._delivery
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGTERM)
    while not sent.empty():
        sent.get()
    auto_close._thread._send_again(delivery)
    assert sent.empty()


def test_signal_that_is_being_sent_ends_nothing_twice(sent, auto_close):
    """The one that is met then is followed by another, which finds our handler."""
    elector = Patient(auto_close)
    auto_close.watch(elector)
    signal.raise_signal(signal.SIGTERM)
    assert elector.was_asked.wait(60)
    with auto_close._thread._sending:
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGTERM)


def test_signal_waits_for_work_elsewhere_that_takes_too_long(sent, auto_close):
    """G5: the exception would end the main thread, not the work that the Lease is for."""
    elector = Slow(auto_close)
    elector.works_in_main_thread = lambda: False
    auto_close.watch(elector)
    signal.raise_signal(signal.SIGTERM)
    until(lambda: auto_close.state is State.OVERDUE)
    with pytest.raises(queue.Empty):
        sent.get(timeout=0.1)
    auto_close.forget(elector)
    assert sent.get(timeout=60) == signal.SIGTERM
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGTERM)


def test_signal_is_not_sent_once_more_when_another_ended_the_program(sent, auto_close):
    """Fault 13: what was there before ours is back by then, and would end it anew."""
    elector = Patient(auto_close)
    auto_close.watch(elector)
    signal.raise_signal(signal.SIGTERM)
    assert elector.was_asked.wait(60)
    first = auto_close._thread._delivery
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGTERM)
    auto_close._thread._send_again(first)
    assert sent.empty()
    assert auto_close.state is State.AT_REST


def test_signal_whose_exception_was_dropped_ends_with_the_next_one(
    sent, auto_close, monkeypatch
):
    """Fault 13: sent after that, it would come to the default action, amid `finally`."""
    monkeypatch.setattr(signal_thread, "PAUSE", PATIENCE)
    auto_close.watch(Quick(auto_close))
    signal.raise_signal(signal.SIGTERM)
    assert sent.get(timeout=60) == signal.SIGTERM
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGTERM)
    auto_close._on_dropped(auto_close._exceptions._newest)  # as Python tells of it
    auto_close.take_back()
    assert signal.getsignal(signal.SIGTERM) == auto_close._on_signal, "it is on its way"
    delivery = auto_close._thread._delivery
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGTERM)
    delivery.sent_at -= 600.0  # the pause is over
    auto_close._thread.look_again()
    with pytest.raises(queue.Empty):
        sent.get(timeout=1.0)
