"""Guards and holds in the main thread when a signal comes: the grace ends none of them."""

from __future__ import annotations

from textwrap import dedent

import pytest

from kubernetes_leader_election.testing import DropBefore, Fault

pytestmark = pytest.mark.slow

ROW = pytest.mark.row(
    "Signals, exit, fork",
    "the same, and a guard or a hold in the main thread has not ended after the grace",
)

JOB_OF_A_THREAD = """
    elector = sync.Elector(grace_sec=0.2, **options())
    def job(term=None):
        say("begins")
        until(lambda: not elector.current_leader)
        time.sleep(0.8)  # far past the grace, which would end it here
        say("ends", elector.remaining() > 0.0)
    elector.start()
    elector.wait_until_leading()
"""
THREADS = {
    "guard": """
        with elector.guard():
            job()
    """,
    "only_while_leading": """
        elector.only_while_leading(job)()
    """,
    "a hold in a scope": """
        with elector.leadership() as term, term.hold("job"):
            job()
    """,
    "a scope in a guard": """
        try:
            with elector.guard(), elector.leadership():
                job()
        except LeadershipLostError as error:
            say(error.reason)  # the scope's
    """,
}
JOB_OF_A_LOOP = """
    elector = Elector(grace_sec=0.2, **options())
    async def job():
        say("begins")
        while elector.current_leader:
            await asyncio.sleep(0.01)  # between two looks; else the test fails
        await asyncio.sleep(0.8)  # far past the grace, which would end it here
        say("ends", elector.remaining() > 0.0)
    async def main():
        await elector.start()
        await elector.wait_until_leading()
        BODY
        await asyncio.sleep(600)  # until the signal ends it; else the test fails
    asyncio.run(main())
"""
LOOPS = {
    "guard": "async with elector.guard(): await job()",
    "call_if_leading": "await elector.call_if_leading(job)",
}
PROGRAMS = {
    **{
        f"{n}, threads": dedent(JOB_OF_A_THREAD) + dedent(s) for n, s in THREADS.items()
    },
    **{f"{n}, a loop": JOB_OF_A_LOOP.replace("BODY", s) for n, s in LOOPS.items()},
}
AFTER = """
live_on()
"""


@ROW
@pytest.mark.parametrize("name", PROGRAMS)
def test_grace_ends_no_guard_and_no_hold(program, name):
    """The body comes to its end with the Lease held; then the exception ends the rest."""
    source = PROGRAMS[name]
    running = program(source + (AFTER if name.endswith("threads") else ""))
    running.wait_for("begins")
    running.send()
    assert running.finish() == 143
    ends = ["stopped"] if "a scope in a guard" in name else []
    assert running.said == ["begins", "ends True", *ends]
    assert running.holder == ""
    assert "Traceback" not in running.errors


@ROW
def test_scope_ends_by_the_signal_when_the_hold_in_it_has_ended(program):
    """The scope has had its grace by then, so the exception comes at once."""
    running = program(
        """
        elector = sync.Elector(grace_sec=0.2, **options())
        with elector, elector.leadership() as term:
            with term.hold("job"):
                say("begins")
                term.lost.wait()
                time.sleep(0.8)  # far past the grace, which would end it here
                say("ends")
            try:
                live_on()
            finally:
                say("torn", term.remaining() > 0.0)
        """
    )
    running.wait_for("begins")
    running.send()
    assert running.finish() == 143
    assert running.said == ["begins", "ends", "torn True"]
    assert running.holder == ""


@ROW
def test_loss_ends_a_guard_in_the_main_thread_after_a_signal(program):
    """G2: where the Lease is lost, the stop budget is left to any work."""
    running = program(
        """
        elector = sync.Elector(grace_sec=0.2, **options(**SLOWER))
        elector.start()
        elector.wait_until_leading()
        with elector.guard() as term:
            say("begins")
            term.lost.wait()
            say("told", term.remaining() > 0.0)
            try:
                live_on()
            finally:
                say("torn", term.remaining() > 0.0)
        """
    )
    running.wait_for("begins")
    running.send()
    running.wait_for("told True")
    running.server.faults.add(Fault(DropBefore(), name=running.lease, times=None))
    running.server.end_watches()
    assert running.finish() == 143
    assert running.said[-1] == "torn False"


LONG = (
    "grace_sec=None, stop_budget_sec=600, lease_duration_sec=20_000, "
    "renew_interval_ms=1_000_000"
)
"""Who waits for this stop budget never ends within the patience of a test."""
JOBS = {
    "threads": """
        elector = sync.Elector(LONG, **options())
        elector.start()
        until(lambda: elector.current_leader)
        def job():
            say("begins")
            until(lambda: not elector.current_leader)
            say("ends")
        try:
            elector.call_if_leading(job)
            live_on()
        finally:
            say("finally", elector.leader_identity == elector.identity)
    """,
    "a loop": """
        elector = Elector(LONG, **options())
        async def job():
            say("begins")
            while elector.current_leader:
                await asyncio.sleep(0.01)  # between two looks; else the test fails
            say("ends")
        async def main():
            await elector.start()
            while not elector.current_leader:
                await asyncio.sleep(0.01)  # likewise
            await elector.call_if_leading(job)
            await asyncio.sleep(600)  # until the signal ends it; else the test fails
        try:
            asyncio.run(main())
        finally:
            say("finally", elector.leader_identity == elector.identity)
    """,
    "an elector of threads in a coroutine": """
        elector = sync.Elector(LONG, **options())
        async def main():
            while not elector.current_leader:
                await asyncio.sleep(0.01)  # likewise
            with elector.guard():
                say("begins")
                while elector.current_leader:
                    await asyncio.sleep(0.01)  # likewise
                await asyncio.sleep(0.1)  # an exception would come here
                say("ends")
            await asyncio.sleep(600)  # until the signal ends it; else the test fails
        elector.start()
        try:
            asyncio.run(main())
        finally:
            say("finally", elector.leader_identity == elector.identity)
    """,
}


@pytest.mark.row(
    "Signals, exit, fork",
    "the same, and nobody but the main thread was told that it leads",
)
@pytest.mark.parametrize("source", JOBS.values(), ids=JOBS)
def test_program_of_guards_ends_at_once_when_its_job_has_ended(program, source):
    """What else the main thread does then is held up for, until the exit (G5)."""
    running = program(source.replace("LONG", LONG))
    running.wait_for("begins")
    running.send()
    assert running.finish() == 143
    assert running.said == ["begins", "ends", "finally True"]
    assert running.holder == ""


@pytest.mark.row(
    "Signals, exit, fork",
    "the same, and nobody but the main thread was told that it leads",
)
def test_loss_lets_a_job_of_a_loop_clean_up_after_a_signal(program):
    """It is cancelled by the loss, and no exception in the main thread comes into that."""
    running = program(
        """
        async def main():
            async with Elector(**options(**SLOWER)) as elector:
                await elector.wait_for_leader()
                async def job():
                    say("begins")
                    try:
                        await asyncio.sleep(600)  # until it is cancelled
                    finally:
                        say("cancelled", elector.remaining() > 0.0)
                        await asyncio.sleep(0.1)  # an exception would come here
                        say("cleaned up")
                while not await elector.call_if_leading(job):
                    await asyncio.sleep(0.01)  # between two looks; else the test fails
        asyncio.run(main())
        """
    )
    running.wait_for("begins")
    running.send()
    running.server.faults.add(Fault(DropBefore(), name=running.lease, times=None))
    running.server.end_watches()
    assert running.finish() == 143
    assert running.said == ["begins", "cancelled False", "cleaned up"]
