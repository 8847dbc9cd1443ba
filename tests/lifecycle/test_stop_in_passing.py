"""
A handler of signals stops the elector while its thread enters or leaves some work.

The thread goes on with that only when the handler has returned, so the handler must not
wait for it. The call that the signal would interrupt makes the handler's call itself.
"""

from __future__ import annotations

import pytest

from kubernetes_leader_election.lifecycle.term_work import TermWork
from tests.lifecycle.driven import OnThreads, until
from tests.lifecycle.stage_threads import spawn
from tests.lifecycle.stages import PATIENCE, STEADY, holder


@pytest.fixture
def elector(client):
    """Give an elector for threads that leads."""
    threads = OnThreads()
    elector = threads.elector(**STEADY)
    elector.start()
    elector.wait_until_leading(PATIENCE)
    yield elector
    elector.stop()


def as_handler(monkeypatch, owner, name, call):
    """Let a handler of signals make a call, once, when this one begins; give its count."""
    original, calls = getattr(owner, name), []

    def interrupted(*args):
        if not calls:
            calls.append(name)
            call()
        return original(*args)

    monkeypatch.setattr(owner, name, interrupted)
    return calls


WORK = {
    "a guard": (lambda elector: elector.guard(), "end_hold"),
    "a hold": (lambda elector: elector.wait_until_leading().hold("upload"), "end_hold"),
    "a scope": (lambda elector: elector.leadership(), "leave"),
}


@pytest.mark.parametrize("asked", ["stop", "step_down"])
@pytest.mark.parametrize(("work", "ends_by"), WORK.values(), ids=WORK)
def test_handler_that_interrupts_the_end_of_work_does_not_wait_for_it(
    client, elector, monkeypatch, work, ends_by, asked
):
    """Else both wait for ever; and the Lease is released when the work has ended."""
    calls = as_handler(
        monkeypatch, elector._lifecycle, ends_by, getattr(elector, asked)
    )

    def run():
        with work(elector):
            pass

    spawn(run).result(PATIENCE)
    assert calls
    until(lambda: holder(client) == "")


@pytest.mark.parametrize("asked", ["stop", "step_down"])
@pytest.mark.parametrize("work", [work for work, _ in WORK.values()], ids=WORK)
def test_handler_that_interrupts_the_beginning_of_work_does_not_wait_for_it(
    client, elector, monkeypatch, work, asked
):
    """The work has been counted, and its block has not been entered."""
    original, calls = TermWork.take, []

    def taken(self, hold):
        took = original(self, hold)
        if took and not calls:
            calls.append(hold)
            getattr(elector, asked)()
        return took

    monkeypatch.setattr(TermWork, "take", taken)

    def run():
        with work(elector):
            pass

    spawn(run).exception(PATIENCE)  # of a term that is over by then, perhaps
    assert calls
    until(lambda: holder(client) == "")
