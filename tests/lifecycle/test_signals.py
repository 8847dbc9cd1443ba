"""Signals, as docs/life-cycle.md has them: real processes on the embedded Lease API."""

from __future__ import annotations

import signal
import sys
import time

import pytest

from kubernetes_leader_election.testing import DropBefore, Fault
from tests.cli.observe.leases import edit_lease
from tests.lifecycle.driven import until

pytestmark = pytest.mark.slow

ENDS = {signal.SIGTERM: 143, signal.SIGINT: -signal.SIGINT}
"""SystemExit(128 + n); KeyboardInterrupt, after which Python ends itself by SIGINT."""
SIGNALS = pytest.mark.parametrize("number", list(ENDS), ids=lambda n: n.name)

ON_A_LOOP = """
    async def main():
        elector = Elector(**options())
        try:
            async with elector, elector.leadership():
                say("leads")
                try:
                    await asyncio.Event().wait()
                finally:
                    say("body ends", elector.current_leader)
        finally:
            say("finally")
    asyncio.run(main())
"""
ON_A_THREAD = """
    elector = sync.Elector(**options())
    try:
        with elector, elector.leadership() as term:
            say("leads")
            term.lost.wait()
            say("body ends", elector.current_leader)
    except LeadershipLostError as error:
        say("lost", error.reason)
    finally:
        say("finally")
"""
RUN_ON_A_LOOP = """
    async def work(term):
        say("leads")
        try:
            await asyncio.Event().wait()
        finally:
            say("body ends", term.is_lost)
    try:
        asyncio.run(Elector(**options()).run(work))
    finally:
        say("finally")
"""
RUN_ON_A_THREAD = """
    def work(term):
        say("leads")
        term.lost.wait()
        say("body ends", False)
    try:
        sync.Elector(**options()).run(work)
    finally:
        say("finally")
"""
PROGRAMS = {
    "a scope on a loop": ON_A_LOOP,
    "a scope in the main thread": ON_A_THREAD,
    "run on a loop": RUN_ON_A_LOOP,
    "run in the main thread": RUN_ON_A_THREAD,
}


@SIGNALS
@pytest.mark.row(
    "Signals, exit, fork",
    "SIGTERM or SIGINT, `auto_close=True`, started in the main thread",
)
@pytest.mark.row("How `run(main)` ends", "is stopped by `stop()` or a signal")
@pytest.mark.parametrize("source", PROGRAMS.values(), ids=PROGRAMS)
def test_signal_ends_the_work_then_the_lease_then_the_program(program, source, number):
    """Fault 13: graceful; `finally` runs; the exit code is that of the signal."""
    running = program(source)
    running.wait_for("leads")
    running.send(number)
    assert running.finish() == ENDS[number]
    assert running.said[-1] == "finally"
    assert "body ends False" in running.said or "body ends True" in running.said
    assert running.holder == ""
    if number is signal.SIGTERM:
        assert "Traceback" not in running.errors


@pytest.mark.row(
    "Signals, exit, fork",
    "SIGTERM or SIGINT, `auto_close=True`, started in the main thread",
)
def test_signal_calls_the_earlier_handler_at_once(program):
    """A Python handler from before runs beside the stop, and decides about the end."""
    running = program(
        """
        told = []  # no Event: its lock is not for signal handlers
        signal.signal(signal.SIGTERM, lambda *_: (say("earlier"), told.append(1)))
        elector = sync.Elector(**options())
        with elector, elector.leadership() as term:
            say("leads")
            until(lambda: told)
            say("told", "body goes on")
            term.lost.wait()
            say("lost")
            try:
                term.check()
            except LeadershipLostError:
                pass
        """
    )
    running.wait_for("leads")
    running.send()
    assert running.finish() == 1  # LeadershipLostError, as nobody caught it
    assert running.said == ["leads", "earlier", "told body goes on", "lost"]
    assert running.holder == ""


@pytest.mark.row(
    "Signals, exit, fork",
    "SIGTERM or SIGINT, `auto_close=True`, started in the main thread",
)
def test_signal_stops_every_elector_of_the_process(program):
    """One handler for all electors, whichever front they have."""
    running = program(
        """
        first = sync.Elector(**options())
        second = sync.Elector(**{**options(), "lease_name": "another"})
        stopped = []
        for elector in (first, second):
            elector.on(EVENTS.LEADERSHIP_LOST, lambda e: say("lost", e.reason))
            elector.start()
            elector.wait_until_leading()
        say("leads")
        until(lambda: first.state.role == second.state.role == "stopped")
        live_on()
        """
    )
    running.wait_for("leads")
    running.send()
    assert running.finish() == 143
    assert running.said.count("lost stopped") == 2
    assert running.holder == ""


@pytest.mark.row(
    "Signals, exit, fork",
    "the same, and the program uses events only (no scope in this term)",
)
def test_signal_to_a_program_of_events_releases_after_the_stop_budget(program):
    """What an acquired handler began may need S to stop: not released before."""
    running = program(
        """
        elector = sync.Elector(stop_budget_sec=1, **options())
        elector.on(EVENTS.LEADERSHIP_LOST, lambda e: say("lost"))
        elector.start()
        elector.wait_until_leading()
        say("leads")
        try:
            live_on()
        finally:
            say("ends", time.monotonic())
        """
    )
    running.wait_for("leads")
    sent = running.send()
    running.wait_for("lost")
    ends = float(running.wait_for("ends").split()[1])
    assert running.finish() == 143
    assert ends - sent >= 1.0
    assert running.holder == ""


@pytest.mark.row(
    "Signals, exit, fork",
    "the same, and a scope in the main thread has not ended after the grace",
)
def test_signal_ends_a_main_thread_that_does_not_look(program):
    """Work in the main thread is ended by the exception itself after the grace."""
    running = program(
        """
        elector = sync.Elector(grace_sec=1, **options())
        try:
            with elector, elector.leadership():
                say("leads")
                try:
                    live_on()
                finally:
                    say("body ends", elector.leader_identity == elector.identity)
        finally:
            say("finally")
        """
    )
    running.wait_for("leads")
    sent = running.send()
    running.wait_for("body ends")
    assert time.monotonic() - sent >= 1.0
    assert running.finish() == 143
    assert running.said == ["leads", "body ends True", "finally"]
    assert running.holder == ""


DOES_NOT_LOOK = """
    elector = sync.Elector(grace_sec=None, **options(**SLOWER))
    try:
        with elector, elector.leadership() as term:
            say("leads")
            term.lost.wait()
            say("told", term.remaining() > 0.0)
            live_on()
    finally:
        say("finally", term.remaining() > 0.0)
"""


@pytest.mark.row(
    "Signals, exit, fork",
    "the same, and a scope in the main thread has not ended after the grace",
)
@pytest.mark.parametrize("how", ["a rival takes the Lease", "the network goes"])
def test_signal_ends_a_main_thread_whose_lease_is_lost_while_it_drains(program, how):
    """G2: the grace may be endless, what is left after a loss is the stop budget."""
    running = program(DOES_NOT_LOOK)
    running.wait_for("leads")
    running.send()
    running.wait_for("told True")
    if how == "the network goes":
        gone = Fault(DropBefore(), name=running.lease, times=None)
        running.server.faults.add(gone)
        running.server.end_watches()
    else:
        edit_lease(running.server, running.lease, holderIdentity="rival")
    assert running.finish() == 143
    assert running.said[-1] == "finally False"


@SIGNALS
@pytest.mark.row("Signals, exit, fork", "a second signal")
def test_second_signal_does_not_wait(program, number):
    """Fault 13: the program ends at once; work that still runs is not released."""
    running = program(
        """
        log_to_stderr()
        elector = sync.Elector(stop_budget_sec=60, renew_interval_ms=100_000, **options())
        elector.start()
        def work():
            with elector.leadership():
                say("leads")
                live_on()
        threading.Thread(target=work, daemon=True).start()
        try:
            live_on()
        finally:
            say("finally")
        """
    )
    running.wait_for("leads")
    running.send(number)
    until(lambda: "stopping because of a signal" in running.errors)
    assert "the work has 20 s to end, and a second signal does not" in running.errors
    running.send(number)
    assert running.finish() == ENDS[number]
    assert running.said[-1] == "finally"
    assert running.holder == f"me-{running.pid}"


@pytest.mark.row("Signals, exit, fork", "a signal that the parent process had ignored")
def test_signal_that_was_ignored_stays_ignored(program):
    """As under nohup, and in a shell's background job."""
    running = program(
        """
        with sync.Elector(**options()) as elector, elector.leadership() as term:
            say("leads", signal.getsignal(signal.SIGINT) == signal.SIG_IGN)
            term.lost.wait(600)
        """,
        command=[
            "/bin/sh",
            "-c",
            f'trap "" INT; KEEP=1 exec "{sys.executable}" -c "$0"',
        ],
    )
    assert running.wait_for("leads") == "leads True"
    running.send(signal.SIGINT)
    running.send(signal.SIGTERM)
    assert running.finish() == 143
    assert running.holder == ""


@pytest.mark.row(
    "Signals, exit, fork",
    "`auto_close=True`, started in another thread than the main one",
)
def test_elector_of_another_thread_says_once_that_it_hears_no_signals(program):
    """Said once in the log; the election goes on; the signal does what it always did."""
    running = program(
        """
        log_to_stderr("WARNING")
        def start():
            for name in ("one", "two"):
                sync.Elector(**{**options(), "lease_name": name}).start()
            elector = sync.Elector(**options())
            elector.start()
            elector.wait_until_leading()
        thread = threading.Thread(target=start)
        thread.start()
        thread.join()
        say("leads", signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
        live_on()
        """
    )
    assert running.wait_for("leads") == "leads True"
    running.send()
    assert running.finish() == -signal.SIGTERM
    assert running.errors.count("auto_close has no effect") == 1


@pytest.mark.row("Signals, exit, fork", "another handler was installed after ours")
def test_handler_that_was_installed_later_owns_the_signal(program):
    """Ours is neither called nor taken back."""
    running = program(
        """
        elector = sync.Elector(**options())
        elector.start()
        elector.wait_until_leading()
        caught = []
        def later(*_):
            say("later", elector.current_leader)
            caught.append(True)
        signal.signal(signal.SIGTERM, later)
        say("leads")
        until(lambda: caught)
        elector.stop()
        say("kept", signal.getsignal(signal.SIGTERM) is later)
        say("back", signal.getsignal(signal.SIGINT) is signal.default_int_handler)
        """
    )
    running.wait_for("leads")
    running.send()
    assert running.finish() == 0
    assert running.said == ["leads", "later True", "kept True", "back True"]


def test_signal_that_does_not_wake_the_main_thread_is_seen_soon(program):
    """Fault 13: another thread may have caught it, or the loop just begun to wait."""
    running = program(
        """
        async def main():
            elector = Elector(**options(**STEADY))

            @elector.on(EVENTS.LEADERSHIP_LOST)
            def on_lost(event):
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
                say("lost")

            await elector.start()
            await elector.wait_until_leading()
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            say("leads")
            await asyncio.Event().wait()
        asyncio.run(main())
        """
    )
    running.wait_for("leads")
    running.send()
    running.wait_for("lost")
    assert running.finish() == 143
    assert running.holder == ""


UVICORN = """
    import uvicorn
    from contextlib import asynccontextmanager
    elector = Elector(**options())

    async def work():
        async with elector.leadership():
            say("leads")
            try:
                await asyncio.Event().wait()
            finally:
                say("body ends")

    async def app(scope, receive, send):
        assert scope["type"] == "lifespan"
        await receive()
        await elector.start()
        task = asyncio.create_task(work())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await elector.stop()
        say("stopped", isinstance((await asyncio.wait({task}))[0].pop().exception(),
                                  LeadershipLostError))
        await send({"type": "lifespan.shutdown.complete"})

    uvicorn.run(app, port=0, log_level="warning")
    say("served")
"""


@SIGNALS
def test_uvicorn_that_owns_the_signals_ends_gracefully(program, number):
    """auto_close beside a server's own handlers: both stop, the Lease is released."""
    running = program(UVICORN)
    running.wait_for("leads")
    running.send(number)
    code = running.finish()
    assert "body ends" in running.said
    assert "stopped True" in running.said
    assert running.holder == ""
    # uvicorn raises the captured signal again once it has served.
    assert code in {0, ENDS[number], -number}


SERVED = """
import os
from kubernetes_leader_election import EVENTS, sync
from kubernetes_leader_election.credentials import explicit

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def make(lease):
    return sync.Elector(
        lease_name=lease,
        identity=f"me-{os.getpid()}",
        credentials=explicit(server=os.environ["LEASE_URL"]),
    )

# A mistake that --preload makes easy: an elector of the master's.
of_the_loader = make(os.environ["LEASE"] + "-loader")
of_the_loader.start()
if os.environ["PRELOAD"]:
    of_the_loader.wait_until_leading()

def app(environ, start_response):
    start_response("204 No Content", [])
    return []
"""
CONFIGURATION = """
def post_worker_init(worker):
    from served import EVENTS, make, of_the_loader, os, say
    say("inherited", of_the_loader.current_leader)
    elector = make(os.environ["LEASE"])
    elector.on(EVENTS.LEADERSHIP_ACQUIRED, lambda e: say("leads", os.getpid()))
    elector.on(EVENTS.LEADERSHIP_LOST, lambda e: say("lost", e.reason))
    elector.start()
"""


@pytest.mark.parametrize("preload", [False, True], ids=["plain", "preload"])
def test_gunicorn_releases_when_it_stops(program, tmp_path, monkeypatch, preload):
    """Fault 15: what --preload loaded leads in the master alone; workers elect."""
    (tmp_path / "served.py").write_text(SERVED)
    (tmp_path / "conf.py").write_text(CONFIGURATION)
    monkeypatch.setenv("PRELOAD", "yes" if preload else "")
    options = ["--bind=127.0.0.1:0", "--workers=2", "--graceful-timeout=10"]
    if preload:
        options.append("--preload")
    running = program(
        command=[
            sys.executable,
            *("-m", "gunicorn", f"--chdir={tmp_path}", f"--config={tmp_path}/conf.py"),
            *options,
            "served:app",
        ]
    )
    leads = running.wait_for("leads").split()
    assert int(leads[1]) != running.pid
    loader = running.lease + "-loader"
    # One that is only being forked knows nothing of all this.
    while sum(line.startswith("inherited") for line in running.said) < 2:
        running.wait_for("inherited")
    until(lambda: running.server.lease(loader))
    if preload:
        spec = running.server.lease(loader)["spec"]
        assert spec["holderIdentity"] == f"me-{running.pid}"
    running.send()
    assert running.finish() == 0
    assert "lost stopped" in running.said
    if preload:
        assert "inherited True" not in running.said
        assert running.said.count("inherited False") == 2
    assert running.holder == ""
    assert not running.server.lease(loader)["spec"].get("holderIdentity")
    assert "Traceback" not in running.errors


LINGER = """
    def linger():
        from kubernetes_leader_election.process.signal_table import State
        from kubernetes_leader_election.process.signals import shared_auto_close
        say("destructor")
        while shared_auto_close().state is State.AT_REST:
            pass  # until a signal comes; else the test fails
        say("caught")
        until = time.monotonic() + 0.7
        while time.monotonic() < until:
            pass
"""
IN_A_DESTRUCTOR = """
    class Slow:
        def __del__(self):
            linger()
"""
IN_A_WEAK_REFERENCE = """
    import weakref
    class Referent:
        pass
    class Slow(Referent):
        def __new__(cls):
            referent = Referent()
            cls.ref = weakref.ref(referent, cls.dies)
            return referent
        @staticmethod
        def dies(_):
            linger()
"""


WAITS_ON_A_LOOP = """
    async def main():
        async with Elector(**options()) as elector:
            await elector.wait_until_leading()
            Slow()
            await asyncio.sleep(60)  # until a signal ends it; else the test fails
    try:
        asyncio.run(main())
    finally:
        say("finally")
"""
WAITS_IN_THE_MAIN_THREAD = """
    try:
        with sync.Elector(**options()) as elector:
            elector.wait_until_leading()
            Slow()
            live_on()
    finally:
        say("finally")
"""


@SIGNALS
@pytest.mark.parametrize(
    "slow", [IN_A_DESTRUCTOR, IN_A_WEAK_REFERENCE], ids=["__del__", "weakref"]
)
@pytest.mark.parametrize(
    "waits", [WAITS_ON_A_LOOP, WAITS_IN_THE_MAIN_THREAD], ids=["a loop", "a thread"]
)
def test_signal_whose_exception_python_drops_ends_the_program(
    program, waits, slow, number
):
    """Fault 13: as in an import, of which the second signal of two was lost, once."""
    running = program(LINGER + slow + waits)
    running.wait_for("destructor")
    running.send(number, at_once=True)
    running.wait_for("caught")
    running.send(number, at_once=True)  # a second one waits for nothing
    assert running.finish() == ENDS[number]
    assert running.said[-1] == "finally"
    assert running.holder == ""
