"""The first moments of a life: signals and stops in the middle of start()."""

from __future__ import annotations

import signal

import pytest

from kubernetes_leader_election import credentials, sync
from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.engine.driver import Driver
from kubernetes_leader_election.errors import ConfigurationError
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
        stepped.append(type(message))

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
    lifecycle.add_waiter(begin_again)
    elector.stop(PATIENCE / 3)
    until(lambda: begun == [1])
    assert lifecycle.number == 2
    elector.wait_until_leading(PATIENCE)
    elector.stop(PATIENCE)
    assert holder(client) == ""
