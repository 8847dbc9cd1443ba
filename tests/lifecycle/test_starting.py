"""The first moments of a life: signals and stops in the middle of start()."""

from __future__ import annotations

import signal
import threading

import pytest

from kubernetes_leader_election import credentials, sync
from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.engine.driver import Driver
from kubernetes_leader_election.errors import ConfigurationError, CredentialsError
from kubernetes_leader_election.process.exit import ExitHandler, shared_exit
from kubernetes_leader_election.process.signals import shared_auto_close
from kubernetes_leader_election.process.timers import TimerThread
from tests.lifecycle.driven import until
from tests.lifecycle.stages import PATIENCE, holder, options

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def actions():
    """Give what the signals do now."""
    return [signal.getsignal(number) for number in SIGNALS]


def test_signals_are_caught_before_the_lease_can_be_held(client, monkeypatch):
    """Fault 13, fault 14: who sees the Lease held may send SIGTERM at once."""
    before, seen = actions(), []
    post = Driver.post

    def look(driver, word):
        if isinstance(word, m.StartAsked):
            seen.extend(actions())
        post(driver, word)

    monkeypatch.setattr(Driver, "post", look)
    elector = sync.Elector(**options(auto_close=True))
    elector.start()
    elector.stop(PATIENCE)
    assert len(seen) == 2
    assert not set(map(str, seen)) & set(map(str, before))
    assert actions() == before


def test_signals_are_given_back_when_start_fails(client, monkeypatch):
    """What start() could not begin leaves nothing behind, and can be tried again."""
    before = actions()
    given = options()["credentials"]
    monkeypatch.setattr(credentials, "discover", lambda: given)
    elector = sync.Elector(**options(credentials=None, namespace=None, auto_close=True))
    with pytest.raises(ConfigurationError, match="namespace"):
        elector.start()
    assert actions() == before
    assert elector.state.role == "stopped"
    given.namespace = "default"
    elector.start()
    elector.wait_until_leading(PATIENCE)
    elector.stop(PATIENCE)
    assert actions() == before


@pytest.mark.parametrize("lifecycle", [1, 2], ids=["first life", "second life"])
def test_stop_in_the_middle_of_start_is_not_lost(client, monkeypatch, lifecycle):
    """Fault 13: a signal handler of the application may call stop() anywhere."""
    elector = sync.Elector(**options())
    if lifecycle == 2:
        elector.start()
        elector.stop(PATIENCE)
    post, step, stepped = Driver.post, Driver.step, []

    def interrupted(driver, word):
        if isinstance(word, m.StartAsked):
            elector._lifecycle.ask_to_stop()
        post(driver, word)

    def note(driver, message):
        step(driver, message)
        kinds = (m.StartAsked, m.StopAsked)
        stepped.extend(kind for kind in kinds if isinstance(message, kind))

    monkeypatch.setattr(Driver, "post", interrupted)
    monkeypatch.setattr(Driver, "step", note)
    elector.start()
    # Once too early, for the core that was not started yet, and once more.
    until(lambda: stepped.count(m.StopAsked) == 2)
    assert stepped.index(m.StopAsked) < stepped.index(m.StartAsked)
    assert stepped.count(m.StartAsked) == 1
    assert elector.state.role == "stopped"
    assert not elector.current_leader
    assert holder(client) == ""


def test_stop_waits_for_its_own_life_alone(front, client):
    """G5: somebody starts the elector again at once: stop() returns all the same."""
    elector, begun = front.elector(), []
    lifecycle = elector._lifecycle

    def begin_again():
        if begun or lifecycle.running:
            return
        begun.append(lifecycle.number)
        lifecycle.begin(lambda former: former, probe=None)

    elector.start()
    elector.wait_until_leading(PATIENCE)
    # It is called before those who wait in stop() look, so they never see the end.
    lifecycle.waiters.add(begin_again)
    elector.stop(PATIENCE / 3)
    until(lambda: begun == [1])
    assert lifecycle.number == 2
    elector.wait_until_leading(PATIENCE)
    elector.stop(PATIENCE)
    assert holder(client) == ""


def test_stop_that_reaches_the_next_life_ends_it(client, monkeypatch):
    """G8: a life that the engine has ended is over for the front, too."""
    elector = sync.Elector(**options())
    elector.start()
    elector.wait_until_leading(PATIENCE)
    post, asked, go_on = Driver.post, threading.Event(), threading.Event()

    def late(driver, word):
        if isinstance(word, m.StopAsked) and threading.current_thread() is slow:
            asked.set()
            assert go_on.wait(PATIENCE)
        post(driver, word)

    monkeypatch.setattr(Driver, "post", late)
    slow = threading.Thread(target=elector.stop, args=(PATIENCE,), daemon=True)
    slow.start()
    assert asked.wait(PATIENCE)
    elector.stop(PATIENCE)
    elector.start()
    elector.wait_until_leading(PATIENCE)
    go_on.set()
    slow.join(PATIENCE)
    until(lambda: not elector.current_leader)
    until(lambda: not elector._lifecycle.running, "it neither takes part nor ends")
    elector.start()
    elector.wait_until_leading(PATIENCE)
    elector.stop(PATIENCE)
    assert holder(client) == ""


def test_life_does_not_end_before_the_engine_has_begun_it(client, monkeypatch):
    """G7: stop() returns when the Lease is released, not at what the last life left."""
    elector = sync.Elector(
        **options(liveness=lambda: True, liveness_timeout_sec=PATIENCE)
    )
    elector.start()
    elector.stop(PATIENCE)
    lifecycle, post, step = elector._lifecycle, Driver.post, Driver.step
    held, ended = threading.Event(), []

    def hold(driver, message):
        if isinstance(message, m.LivenessReported):
            assert held.wait(PATIENCE)
        step(driver, message)
        ended.append((type(message), not lifecycle.running))

    def slowly(driver, word):
        if isinstance(word, m.StopAsked):
            held.set()  # what came before is shown in the middle of this stop
            until(lambda: elector.current_leader or not lifecycle.running)
        post(driver, word)

    monkeypatch.setattr(Driver, "step", hold)
    elector.start()
    monkeypatch.setattr(Driver, "post", slowly)
    elector.stop(PATIENCE)
    assert (m.LivenessReported, True) not in ended
    until(lambda: holder(client) == "")


@pytest.mark.parametrize("lifecycle", [1, 2], ids=["first life", "second life"])
def test_stop_at_the_first_instant_of_start_leaves_nothing_watched(
    client, monkeypatch, lifecycle
):
    """Fault 14: a signal or an exit would wait for an elector that ended long ago."""
    elector = sync.Elector(**options(auto_close=True))
    if lifecycle == 2:
        elector.start()
        elector.stop(PATIENCE)
    watch = ExitHandler.watch

    def interrupted(handler, leaving):
        elector.stop(PATIENCE)
        watch(handler, leaving)

    before = actions()
    monkeypatch.setattr(ExitHandler, "watch", interrupted)
    elector.start()
    until(lambda: elector.state.role == "stopped")
    assert elector._lifecycle.shutdown not in shared_exit()._running
    assert elector._lifecycle.shutdown not in shared_auto_close()._watched
    shared_auto_close().take_back()
    assert actions() == before


def test_start_that_an_exception_interrupts_leaves_nobody_leading(client, monkeypatch):
    """G8: nobody knows of that life, so nobody would end it."""
    elector = sync.Elector(**options())
    post = Driver.post

    def interrupted(driver, word):
        post(driver, word)
        if isinstance(word, m.StartAsked):
            until(lambda: holder(client))
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Driver, "post", interrupted)
        with pytest.raises(KeyboardInterrupt):
            elector.start()
    until(lambda: not elector._lifecycle.running, "it leads, and nobody knows")
    assert holder(client) == ""
    elector.start()
    elector.wait_until_leading(PATIENCE)
    elector.stop(PATIENCE)
    assert holder(client) == ""


def test_lives_without_credentials_leave_no_look_for_them_behind(monkeypatch):
    """G9: one look at a time, however often it is stopped and started."""
    looks, later = [], []

    def nothing_there():
        looks.append(0)
        raise CredentialsError("not there yet")

    def call_later(timers, delay, callback):
        timer = original(timers, 3600.0, callback)
        if callback == elector._lifecycle._connect_again:
            later.append(timer)
        return timer

    monkeypatch.setattr(credentials, "discover", nothing_there)
    original = TimerThread.call_later
    elector = sync.Elector(**options(credentials=None))
    monkeypatch.setattr(TimerThread, "call_later", call_later)
    for _ in range(3):
        elector.start()
        elector.stop(PATIENCE)
    elector.start()
    for timer in tuple(later):
        timer.run()
    assert len(looks) == 5, "of former lives, too"
    elector.stop(PATIENCE)


def test_elector_that_requires_a_cluster_does_not_start_without_one(
    front, client, monkeypatch
):
    """Nobody leads by mistake where a cluster was forgotten; it may be started later."""
    monkeypatch.setattr(credentials, "discover", lambda: None)
    elector = front.elector(credentials=None, require_cluster=True)
    acquired = []
    elector.on(elector.EVENTS.LEADERSHIP_ACQUIRED, acquired.append)
    for _ in range(2):
        with pytest.raises(CredentialsError, match="require_cluster=True"):
            elector.start()
        assert elector.state.role == "stopped"
    assert acquired == []
    found = credentials.explicit(server="http://127.0.0.1:1")
    monkeypatch.setattr(credentials, "discover", lambda: found)
    elector.start()
    elector.wait_until_leading(timeout=PATIENCE)
