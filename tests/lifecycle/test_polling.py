"""Programs that ask whether they lead, and a signal: who may be at work is what counts."""

from __future__ import annotations

import signal
import time

import pytest

pytestmark = pytest.mark.slow

LONG = "grace_sec=None, stop_budget_sec=600, lease_duration_sec=20_000, renew_interval_ms=1_000_000"
"""Who waits for this stop budget, or grace, never ends within the patience of a test."""
ENDS = {signal.SIGTERM: 143, signal.SIGINT: -signal.SIGINT}

POLLS_UNTIL_THE_EXIT = """
    elector = sync.Elector(LONG, **options())
    elector.start()
    try:
        while True:
            if elector.current_leader:
                elector.ensure(0.1)
                say("leads")
            time.sleep(0.01)  # polling is what this is about
    finally:
        say("finally", elector.current_leader, elector.leader_identity == elector.identity)
"""
POLLS_IN_A_BLOCK = """
    try:
        with sync.Elector(LONG, **options()) as elector:
            while True:
                if elector.current_leader:
                    say("leads")
                time.sleep(0.01)  # polling is what this is about
    finally:
        say("finally", elector.current_leader)
"""
POLLS_ON_A_LOOP = """
    async def main():
        elector = Elector(LONG, **options())
        elector.on(EVENTS.LEADER_CHANGED, lambda _: None)
        async with elector:
            while True:
                if elector.current_leader:
                    say("leads")
                await asyncio.sleep(0.01)  # polling is what this is about
    try:
        asyncio.run(main())
    finally:
        say("finally")
"""


@pytest.mark.row(
    "Signals, exit, fork",
    "the same, and nobody but the main thread was told that it leads",
)
@pytest.mark.parametrize("number", list(ENDS), ids=lambda n: n.name)
@pytest.mark.parametrize(
    "source",
    [POLLS_UNTIL_THE_EXIT, POLLS_IN_A_BLOCK, POLLS_ON_A_LOOP],
    ids=["until the exit", "in a block", "on a loop"],
)
def test_signal_ends_a_program_that_polls_at_once(program, source, number):
    """Fault 13: its exception is what ends the work; released at the exit, not before."""
    running = program(source.replace("LONG", LONG))
    running.wait_for("leads")
    running.send(number)
    assert running.finish() == ENDS[number]
    assert running.said[-1].startswith("finally")
    assert running.holder == ""
    if source is POLLS_UNTIL_THE_EXIT:
        assert running.said[-1] == "finally False True"  # held while that runs


BESIDE = {
    "a thread was told by current_leader": """
        told(lambda: elector.current_leader)
    """,
    "a thread was told by ensure": """
        told(lambda: elector.ensure(0.1))
    """,
    "a thread was told by remaining": """
        told(lambda: elector.remaining())
    """,
    "a thread was told by the state": """
        told(lambda: elector.state.is_leader)
    """,
    "a term was given out": """
        elector.wait_until_leading()
    """,
    "a thread was started since": """
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    """,
}


@pytest.mark.row(
    "Signals, exit, fork",
    "the same, and nobody but the main thread was told that it leads",
)
@pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE)
def test_signal_waits_for_the_stop_budget_where_others_may_be_at_work(program, beside):
    """G5: what is not known to be over keeps the Lease, as far as anybody can tell."""
    running = program(
        """
        elector = sync.Elector(stop_budget_sec=1, **options())
        elector.start()
        def told(ask):
            thread = threading.Thread(target=ask)
            thread.start()
            thread.join()
        until(lambda: elector.current_leader)
        BESIDE
        say("leads")
        try:
            live_on()
        finally:
            say("finally")
        """.replace("BESIDE", beside.strip())
    )
    running.wait_for("leads")
    sent = running.send()
    running.wait_for("finally")
    assert time.monotonic() - sent >= 1.0
    assert running.finish() == 143
    assert running.holder == ""


@pytest.mark.row(
    "Signals, exit, fork",
    "the same, and nobody but the main thread was told that it leads",
)
def test_program_that_swallows_the_exception_releases_after_the_grace(program):
    """G5, G8: held for as long as its cleanup may take, and not for ever."""
    running = program(
        """
        elector = sync.Elector(grace_sec=1.5, **options(**STEADY))
        elector.start()
        try:
            while True:
                if elector.current_leader:
                    say("leads")
                time.sleep(0.01)  # polling is what this is about
        except SystemExit:
            pass
        until(lambda: elector.state.role == "stopped")
        say("released", time.monotonic())
        """
    )
    running.wait_for("leads")
    sent = running.send()
    assert float(running.wait_for("released").split()[1]) - sent >= 1.5
    assert running.finish() == 0
    assert running.holder == ""
