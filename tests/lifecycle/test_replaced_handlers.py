"""Handlers of signals that others replace: it is said whose they are, and put back."""

from __future__ import annotations

import signal

import pytest

from tests.lifecycle.driven import until

pytestmark = pytest.mark.slow

OWNERS = {
    "__main__.theirs": "signal.signal(signal.SIGTERM, theirs)",
    "nobody (the default action)": "signal.signal(signal.SIGTERM, signal.SIG_DFL)",
    "nobody (it is ignored)": "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
}


@pytest.mark.row("Signals, exit, fork", "another handler was installed after ours")
@pytest.mark.parametrize(("owner", "install"), OWNERS.items(), ids=OWNERS)
def test_renewal_names_the_new_owner_of_a_signal_once(program, owner, install):
    """Fault 13: SIGTERM that stops nothing is seen before the day it comes."""
    running = program(
        f"""
        log_to_stderr()
        def theirs(*_):
            pass
        renewed = []
        elector = sync.Elector(**options(**STEADY))
        elector.on(EVENTS.LEASE_RENEWED, renewed.append)
        elector.start()
        elector.wait_until_leading()
        {install}
        say("installed")
        seen = len(renewed)
        until(lambda: len(renewed) >= seen + 4)
        elector.stop()
        """
    )
    assert running.finish() == 0, running.errors
    line = f"SIGTERM is handled by {owner} now"
    assert running.errors.count(line) == 1
    assert "SIGINT is handled" not in running.errors


@pytest.mark.row("Signals, exit, fork", "another handler was installed after ours")
def test_what_is_added_to_a_loop_is_named(program):
    """Fault 13: as Kopf and hypercorn do; the noop of asyncio would say nothing."""
    running = program(
        """
        log_to_stderr()
        async def main():
            stop = asyncio.Event()
            async with Elector(**options(**STEADY)) as elector:
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
                await elector.wait_until_leading()
                say("leads")
                await stop.wait()
        asyncio.run(main())
        """
    )
    running.wait_for("leads")
    until(lambda: "added to an event loop" in running.errors)
    running.send()
    assert running.finish() == 0
    assert running.holder == ""


@pytest.mark.row(
    "Signals, exit, fork", "the same, by the `main` of `run`, which has ended"
)
@pytest.mark.parametrize("front", ["asyncio", "threads"])
@pytest.mark.parametrize(
    "install",
    [
        "add_to_loop(lambda: None)",
        "signal.signal(signal.SIGTERM, lambda *_: None)",
        "signal.signal(signal.SIGTERM, signal.SIG_DFL)",
    ],
    ids=["on the loop", "a function", "the default action"],
)
def test_handler_that_the_work_installed_is_taken_back_when_it_ends(
    program, front, install
):
    """Fault 13: as of Kopf in run(): after its term SIGTERM stopped nothing for ever."""
    source = """
        def add_to_loop(callback):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, callback)
        async def work(term):
            if term.number == 1:
                INSTALL
                await elector.step_down(stay_out=0)
            say("leads")
            await asyncio.Event().wait()
        def work_of_a_thread(term):
            async def install():
                INSTALL
            if term.number == 1:
                asyncio.run(install())
                elector.step_down(stay_out=0)
                return
            say("leads")
            term.lost.wait()
        if FRONT == "asyncio":
            elector = Elector(**options())
            asyncio.run(elector.run(work))
        else:
            elector = sync.Elector(**options())
            elector.run(work_of_a_thread)
    """.replace("INSTALL", install).replace("FRONT", repr(front))
    running = program(source)
    running.wait_for("leads")
    running.send(signal.SIGTERM)
    assert running.finish() == 143
    assert running.holder == ""


@pytest.mark.row(
    "Signals, exit, fork",
    "SIGTERM or SIGINT, `auto_close=True`, started in the main thread",
)
def test_ctrl_c_raises_no_keyboard_interrupt_where_nobody_expects_one(program):
    """A worker of gunicorn with uvicorn gives up Python's handler, as this does."""
    running = program(
        """
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        with sync.Elector(**options()) as elector, elector.leadership() as term:
            say("leads")
            term.lost.wait()
        """
    )
    running.wait_for("leads")
    running.send(signal.SIGINT)
    assert running.finish() == 130
    assert "KeyboardInterrupt" not in running.errors
    assert running.holder == ""
