"""
Ctrl-C under asyncio, as docs/life-cycle.md has it: real processes.

What ``asyncio.run()`` does at SIGINT closes the loop, and must come after the stop.
"""

from __future__ import annotations

import signal
import textwrap

import pytest

from tests.lifecycle.driven import until

pytestmark = pytest.mark.slow

ENDS = {signal.SIGTERM: 143, signal.SIGINT: -signal.SIGINT}
SIGNALS = pytest.mark.parametrize("number", list(ENDS), ids=lambda n: n.name)

EVENTS_ONLY = """
    log_to_stderr()

    async def main():
        elector = Elector(**options())

        @elector.on(EVENTS.LEADERSHIP_ACQUIRED)
        async def on_acquired(event):
            say("leads")
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.05)
                say("work ended")

        @elector.on(EVENTS.LEADERSHIP_LOST)
        async def on_lost(event):
            say("lost", event.reason)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
            await asyncio.sleep(0.05)
            say("cleaned up")

        await elector.start()
        try:
            await asyncio.Event().wait()
        finally:
            say("main ends", elector.state.role)

    asyncio.run(main())
"""


def hears_its_handlers(errors):
    """Tell whether the log is silent about handlers that could not be called."""
    return (
        "handlers can no longer be called" not in errors and "is closed" not in errors
    )


@SIGNALS
@pytest.mark.row(
    "Signals, exit, fork",
    "SIGINT under `asyncio.run()` or an `asyncio.Runner`, `auto_close=True`",
)
@pytest.mark.row(
    "Signals, exit, fork",
    "SIGTERM or SIGINT, `auto_close=True`, started in the main thread",
)
def test_program_of_events_ends_its_handlers_then_the_lease_then_its_loop(
    program, number
):
    """Fault 13, G5: lost handlers and acquired coroutines run to their ends."""
    running = program(EVENTS_ONLY, stdin=True)
    running.wait_for("leads")
    running.send(number)
    running.wait_for("lost stopped")
    assert running.holder == f"me-{running.pid}"
    running.process.stdin.write(b"go on\n")
    running.process.stdin.flush()
    assert running.finish() == ENDS[number]
    # The task of the work and the handler are told one after the other.
    assert sorted(running.said[1:4]) == ["cleaned up", "lost stopped", "work ended"]
    assert running.said[4:] == ["main ends stopped"]
    assert running.holder == ""
    assert hears_its_handlers(running.errors), running.errors
    if number is signal.SIGINT:
        # Its own, and the cancellation that it came from; nothing of ours.
        assert running.errors.count("Traceback") <= 2, running.errors
        # The thread that writes log lines may be a moment behind.
        lines = running.errors.splitlines()
        others = [x for x in lines if x and not x.startswith("INFO:")]
        assert others[-1] == "KeyboardInterrupt", running.errors
    else:
        assert "Traceback" not in running.errors


SCOPE = """
    async def body():
        say("leads")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.1)
            say("cleaned up")

    async def main():
        elector = Elector(**options())

        @elector.on(EVENTS.LEADERSHIP_LOST)
        async def on_lost(event):
            await asyncio.sleep(0.1)
            say("lost")

        await elector.start()
"""
SHAPES = {
    "a scope": """
        async with elector.leadership():
            await body()
        """,
    "a scope in a scope": """
        async with elector.leadership(), elector.leadership():
            await body()
        """,
    "a scope in a task group": """
        async def scope():
            async with elector.leadership():
                await body()
        async with asyncio.TaskGroup() as group:
            group.create_task(scope())
            group.create_task(asyncio.Event().wait())
        """,
    "scopes that are gathered": """
        async def scope():
            async with elector.leadership():
                await body()
        await asyncio.gather(scope(), scope(), asyncio.Event().wait())
        """,
    "a scope in a task that nobody awaits": """
        async def scope():
            async with elector.leadership():
                await body()
        task = asyncio.create_task(scope())
        await asyncio.Event().wait()
        """,
}


@SIGNALS
@pytest.mark.row(
    "Signals, exit, fork",
    "a scope, or a wait for leadership, in the main thread ends by such a stop",
)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_scope_that_a_signal_ends_lets_the_signal_end_the_program(
    program, shape, number
):
    """Fault 13: no LeadershipLostError in its place, nor beside it; cleanup is whole."""
    source = textwrap.dedent(SCOPE) + textwrap.indent(textwrap.dedent(shape), "    ")
    running = program(f"{source}\nasyncio.run(main())\n")
    running.wait_for("leads")
    running.send(number)
    assert running.finish() == ENDS[number], running.errors
    assert set(running.said) == {"leads", "cleaned up", "lost"}
    assert running.holder == ""
    assert "LeadershipLostError" not in running.errors
    assert hears_its_handlers(running.errors), running.errors


WAITS = {
    "leadership() on a loop": """
        async def main():
            await first.start()
            async with first.leadership():
                pass
        asyncio.run(main())
        """,
    "wait_until_leading() on a loop": """
        async def main():
            await first.start()
            await first.wait_until_leading()
        asyncio.run(main())
        """,
    "run() on a loop": """
        asyncio.run(first.run(print))
        """,
    "run() in the main thread": """
        first.run(print)
        """,
    "leadership() in the main thread": """
        first.start()
        with first.leadership():
            pass
        """,
    "wait_until_leading() in the main thread": """
        first.start()
        first.wait_until_leading()
        """,
}
WAITING = """
    import json, urllib.request
    leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases/"
    urllib.request.urlopen(urllib.request.Request(
        os.environ["LEASE_URL"] + leases + os.environ["LEASE"],
        method="PUT",
        headers={"Content-Type": "application/json"},
        data=json.dumps({
            "metadata": {"name": os.environ["LEASE"]},
            "spec": {"holderIdentity": "rival", "leaseDurationSeconds": 600},
        }).encode(),
    )).close()

    def look():
        while not len(first._lifecycle.waiters):
            time.sleep(0.001)
        say("waits")
    first = (Elector if loop else sync.Elector)(**options())
    threading.Thread(target=look, daemon=True).start()
"""


@SIGNALS
@pytest.mark.row(
    "Signals, exit, fork",
    "a scope, or a wait for leadership, in the main thread ends by such a stop",
)
@pytest.mark.parametrize("source", WAITS.values(), ids=WAITS)
def test_wait_that_a_signal_ends_lets_the_signal_end_the_program(
    program, source, number
):
    """Fault 13: no NotLeaderError in place of the end that the signal asks for."""
    loop = f"loop = {'asyncio' in source}\n"
    running = program(loop + textwrap.dedent(WAITING) + textwrap.dedent(source))
    running.wait_for("waits")
    running.send(number)
    assert running.finish() == ENDS[number], running.errors
    assert "NotLeaderError" not in running.errors
    assert running.holder == "rival"


STOPPED = {
    "asyncio": """
        async def main():
            elector = Elector(**options())
            await elector.start()
            strike(elector)
            async with elector.leadership():
                say("led")
        asyncio.run(main())
    """,
    "threads": """
        elector = sync.Elector(**options())
        elector.start()
        strike(elector)
        with elector.leadership():
            say("led")
    """,
}
STRIKE = """
    def strike(elector):
        def take():
            signal.pthread_kill(threading.get_ident(), NUMBER)
        # Python notes it in the other thread; here it is met between two bytecodes.
        thread = threading.Thread(target=take)
        thread.start()
        thread.join()
        until(lambda: elector.state.role == "stopped")
"""


@SIGNALS
@pytest.mark.row(
    "Signals, exit, fork",
    "a scope, or a wait for leadership, in the main thread ends by such a stop",
)
@pytest.mark.parametrize("source", STOPPED.values(), ids=STOPPED)
def test_call_after_a_stop_by_a_signal_lets_the_signal_end_the_program(
    program, source, number
):
    """Fault 13: nobody is told to call start() who did, an instant before the signal."""
    running = program(
        textwrap.dedent(STRIKE).replace("NUMBER", str(int(number)))
        + textwrap.dedent(source)
    )
    assert running.finish() == ENDS[number], running.errors
    assert "ProtocolMisuseError" not in running.errors
    assert "led" not in running.said


ERRORS = {
    "asyncio": """
        async def main():
            elector = Elector(**options())
            await elector.start()
            async with elector.leadership() as term:
                say("leads")
                try:
                    await asyncio.Event().wait()
                finally:
                    say("cleaned up")
                    term.check()
        asyncio.run(main())
        """,
    "asyncio, scopes of two electors": """
        async def main():
            other = Elector(**{**options(), "lease_name": os.environ["LEASE"] + "-2"})
            elector = Elector(**options())
            await elector.start()
            await other.start()
            async with elector.leadership(), other.leadership():
                say("leads")
                try:
                    await asyncio.Event().wait()
                finally:
                    say("cleaned up")
        asyncio.run(main())
        """,
    "threads": """
        elector = sync.Elector(**options())
        elector.start()
        with elector.leadership() as term:
            say("leads")
            term.lost.wait()
            say("cleaned up")
            term.check()
        """,
    "threads, a scope in a scope": """
        elector = sync.Elector(**options())
        elector.start()
        with elector.leadership(), elector.leadership() as term:
            say("leads")
            term.lost.wait()
            say("cleaned up")
        """,
}


@SIGNALS
@pytest.mark.row(
    "Signals, exit, fork",
    "a scope, or a wait for leadership, in the main thread ends by such a stop",
)
@pytest.mark.parametrize("source", ERRORS.values(), ids=ERRORS)
def test_error_of_a_loss_that_passes_a_scope_gives_way_to_the_signal(
    program, source, number
):
    """Fault 13: also an error that the work itself raised because of the stop."""
    running = program(source)
    running.wait_for("leads")
    running.send(number)
    assert running.finish() == ENDS[number], running.errors
    assert running.said == ["leads", "cleaned up"]
    assert running.holder == ""


@SIGNALS
@pytest.mark.row(
    "Signals, exit, fork",
    "a scope, or a wait for leadership, in the main thread ends by such a stop",
)
def test_scope_in_the_main_thread_lets_the_signal_end_the_program(program, number):
    """Fault 13: also where the elector is not left as a context manager."""
    running = program(
        """
        elector = sync.Elector(**options())
        elector.start()
        with elector.leadership() as term:
            say("leads")
            term.lost.wait()
            say("cleaned up")
        """
    )
    running.wait_for("leads")
    running.send(number)
    assert running.finish() == ENDS[number]
    assert running.said == ["leads", "cleaned up"]
    assert running.holder == ""
    assert "LeadershipLostError" not in running.errors


@pytest.mark.row("Signals, exit, fork", "a second signal")
def test_second_interrupt_cancels_the_main_task_at_once(program):
    """Fault 13: it does not wait for handlers, and nothing is left of the election."""
    running = program(EVENTS_ONLY, stdin=True)
    running.wait_for("leads")
    running.send(signal.SIGINT)
    running.wait_for("lost stopped")
    running.send(signal.SIGINT)
    running.wait_for("main ends draining")
    running.process.stdin.close()  # asyncio waits for the threads of its executor
    assert running.finish() == ENDS[signal.SIGINT]
    assert "\nKeyboardInterrupt\n" in running.errors


@pytest.mark.row("Signals, exit, fork", "a second signal")
def test_third_interrupt_ends_a_program_whose_loop_is_stuck(program):
    """Fault 13: Ctrl-C ends what neither the stop nor asyncio can end."""
    running = program(
        """
        log_to_stderr()

        async def main():
            elector = Elector(**options())

            @elector.on(EVENTS.LEADERSHIP_ACQUIRED)
            async def on_acquired(event):
                ours = signal.getsignal(signal.SIGINT)
                say("leads")
                while signal.getsignal(signal.SIGINT) == ours:
                    time.sleep(0.01)
                say("given back")
                while True:
                    time.sleep(0.01)

            await elector.start()
            await asyncio.Event().wait()
        asyncio.run(main())
        """
    )
    running.wait_for("leads")
    running.send(signal.SIGINT)
    until(lambda: "stopping because of a signal" in running.errors)
    running.send(signal.SIGINT)
    running.wait_for("given back")
    running.send(signal.SIGINT)
    assert running.finish() == ENDS[signal.SIGINT]
    assert running.holder == ""


def test_interrupt_in_a_later_asyncio_run_meets_no_loop_of_an_earlier_one(program):
    """Fault 13: an elector that goes on is stopped; KeyboardInterrupt as ever."""
    running = program(
        """
        elector = Elector(**options())

        async def first():
            await elector.start()
            await elector.wait_until_leading()

        async def second():
            say("leads")
            try:
                await asyncio.Event().wait()
            finally:
                say("second ends", elector.state.role)

        asyncio.run(first())
        try:
            asyncio.run(second())
        except KeyboardInterrupt:
            say("interrupted")
        say("back", signal.getsignal(signal.SIGINT) is signal.default_int_handler)
        """
    )
    running.wait_for("leads")
    running.send(signal.SIGINT)
    assert running.finish() == 0, running.errors
    assert running.said[1:] == ["second ends stopped", "interrupted", "back True"]
    assert running.holder == ""
    assert running.errors == ""


@pytest.mark.row(
    "Signals, exit, fork",
    "SIGINT under `asyncio.run()` or an `asyncio.Runner`, `auto_close=True`",
)
def test_runner_that_runs_twice_is_interrupted_and_goes_on(program):
    """As with asyncio alone: KeyboardInterrupt out of run(); the Runner can be used."""
    running = program(
        """
        async def lead(elector):
            async with elector:
                await elector.wait_until_leading()
                say("leads")
                await asyncio.Event().wait()

        async def own():
            return signal.getsignal(signal.SIGINT).func.__name__

        with asyncio.Runner() as runner:
            for _ in range(2):
                elector = Elector(**options())
                try:
                    runner.run(lead(elector))
                except KeyboardInterrupt:
                    say("interrupted", elector.state.role)
            say("own", runner.run(own()))
        """
    )
    for _ in range(2):
        running.wait_for("leads")
        running.send(signal.SIGINT)
        assert running.wait_for("interrupted") == "interrupted stopped"
    assert running.wait_for("own") == "own _on_sigint"
    assert running.finish() == 0
    assert running.holder == ""
    assert running.errors == ""


def test_handler_of_the_users_loop_decides_alone(program):
    """As any handler from before: at once, beside the stop; asyncio's is not called."""
    running = program(
        """
        async def main():
            asked = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, asked.set)
            elector = Elector(**options())
            elector.on(EVENTS.LEADERSHIP_LOST, lambda e: say("lost"))
            await elector.start()
            await elector.wait_until_leading()
            say("leads")
            await asked.wait()
            await elector.stop()
            say("stopped")
        asyncio.run(main())
        """
    )
    running.wait_for("leads")
    running.send(signal.SIGINT)
    assert running.finish() == 0
    assert running.said == ["leads", "lost", "stopped"]
    assert running.holder == ""


def test_python_with_another_runner_is_asked_as_any_earlier_handler(program):
    """The name is private: without it the handler of asyncio runs at once, as before."""
    running = program(
        """
        async def main():
            elector = Elector(**options())
            async with elector:
                await elector.wait_until_leading()
                asyncio.Runner._on_sigint = None
                say("leads")
                try:
                    await asyncio.Event().wait()
                finally:
                    say("cancelled")
        asyncio.run(main())
        """
    )
    running.wait_for("leads")
    running.send(signal.SIGINT)
    assert running.finish() == ENDS[signal.SIGINT]
    assert running.said == ["leads", "cancelled"]
    assert running.holder == ""


@pytest.mark.row("Signals, exit, fork", "`os.fork()`")
def test_child_of_a_loop_has_the_handler_of_asyncio_back(program):
    """Fault 15: signals do in a child what they did before the elector came."""
    running = program(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)

        async def main():
            before = signal.getsignal(signal.SIGINT)
            async with Elector(**options()) as elector:
                assert signal.getsignal(signal.SIGINT) is not before
                pid = os.fork()
                if pid == 0:
                    os._exit(7 if signal.getsignal(signal.SIGINT) is before else 1)
                say("child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            say("back", signal.getsignal(signal.SIGINT) is before)
        asyncio.run(main())
        """
    )
    assert running.finish() == 0
    assert running.said == ["child 7", "back True"]
