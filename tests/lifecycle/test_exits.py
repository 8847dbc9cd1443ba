"""Fork and exit, as docs/life-cycle.md has them: real processes."""

from __future__ import annotations

import re
import signal
import sys
import textwrap

import pytest

from tests.lifecycle.driven import until

pytestmark = pytest.mark.slow

BLOCKS = {
    "a scope": "elector.leadership()",
    "a guard": "elector.guard()",
    "a hold": "term.hold('a write')",
}
"""Work of the main thread, by what it is."""
TEAR = """
        def tear(error):
            def strike(frame, event, _):
                if event == "call" and frame.f_code.co_name == "__exit__":
                    sys.setprofile(None)
                    raise error
            return strike
"""
"""Makes of an error a function for `sys.setprofile`: a signal raises it there."""
AFTER_MAIN = "in a thread that is no daemon and ends"
LEFT_OPEN = "in a scope of a loop that ended"
RELEASED = {
    "never started": "elector = sync.Elector(**options()); say('ready')",
    "just started": "elector = sync.Elector(**options()); elector.start(); say('ready')",
    "leading": """
        elector = sync.Elector(**options())
        elector.start()
        elector.wait_until_leading()
        say("ready")
        """,
    "leading, with handlers": """
        elector = sync.Elector(**options())
        elector.on(EVENTS.LEADERSHIP_LOST, lambda e: say("lost", e.reason))
        elector.start()
        elector.wait_until_leading()
        say("ready")
        """,
    "leading, by sys.exit": """
        elector = sync.Elector(**options())
        elector.start()
        elector.wait_until_leading()
        say("ready")
        sys.exit(0)
        """,
    "one leads and one waits for it": """
        first = sync.Elector(**options())
        first.start()
        first.wait_until_leading()
        second = sync.Elector(**{**options(), "identity": "second"})
        second.start()
        second.wait_for_leader()
        say("ready")
        """,
    "observing": """
        elector = sync.Elector(**options(observe=True))
        elector.start()
        say("ready")
        """,
    "at the end of its stop": """
        elector = sync.Elector(**options())
        elector.start()
        elector.wait_until_leading()
        threading.Thread(target=elector.stop, daemon=True).start()
        while elector.current_leader:
            time.sleep(0.0001)
        say("ready")
        """,
    "after its loop ended, with handlers": """
        async def main():
            elector = Elector(**options())
            elector.on(EVENTS.LEADERSHIP_LOST, print)
            await elector.start()
            await elector.wait_until_leading()
            say("ready")
            return elector
        kept = asyncio.run(main())
        """,
    LEFT_OPEN: """
        async def main():
            elector = Elector(**options())
            await elector.start()
            scope = elector.leadership()
            await scope.__aenter__()
            say("ready")
            return elector, scope
        kept = asyncio.run(main())
        """,
    "while a task of the loop still leads": """
        async def work(elector, entered):
            async with elector.leadership():
                entered.set()
                await asyncio.Event().wait()
        async def main():
            elector, entered = Elector(**options()), asyncio.Event()
            await elector.start()
            task = asyncio.create_task(work(elector, entered))
            await entered.wait()
            say("ready")
        asyncio.run(main())
        """,
    **{
        f"in {what} that a signal left before any step": f"""
        {TEAR}
        elector = sync.Elector(**options())
        elector.start()
        term = elector.wait_until_leading()
        say("ready")
        with {block}:
            sys.setprofile(tear(SystemExit))
        """
        for what, block in BLOCKS.items()
    },
    "stepped down": """
        elector = sync.Elector(**options())
        elector.start()
        elector.wait_until_leading()
        elector.step_down(stay_out=100)
        say("ready")
        """,
    AFTER_MAIN: """
        elector = sync.Elector(**options())
        elector.start()
        def work():
            with elector.leadership():
                say("ready")
                time.sleep(0.3)  # the work, which goes on after the main thread
        threading.Thread(target=work).start()
        """,
    "off-cluster": """
        elector = sync.Elector()
        elector.start()
        elector.wait_until_leading()
        say("ready")
        """,
}
"""Every state in which the work is over at the exit."""


@pytest.mark.row(
    "Signals, exit, fork", "the interpreter exits and nobody called `stop()`"
)
@pytest.mark.parametrize("source", RELEASED.values(), ids=RELEASED)
def test_exit_releases_when_the_work_is_over(program, source):
    """Fault 16: no hang, no traceback, and nobody has to wait for the Lease."""
    if source == RELEASED[AFTER_MAIN] and (3, 12) <= sys.version_info < (3, 12, 2):
        pytest.skip("these start no thread once the main one has ended (gh-113964)")
    running = program(textwrap.dedent(source))
    running.wait_for("ready")
    assert running.finish() == 0
    assert running.holder == ""
    told = "did not leave the scope" in running.errors
    assert told == (source == RELEASED[LEFT_OPEN]), running.errors
    if source == RELEASED["off-cluster"]:
        assert running.errors.count("\n") == 1
        assert "leadership is assumed, no API is called" in running.errors
    else:
        assert told or running.errors == ""


@pytest.mark.row(
    "Signals, exit, fork", "the interpreter exits and nobody called `stop()`"
)
def test_exit_does_not_release_under_work_that_runs(program):
    """Fault 10: a daemon thread in its scope may act until the very end (G5)."""
    running = program(
        """
        elector = sync.Elector(**options())
        elector.start()
        def work():
            with elector.leadership():
                say("ready")
                live_on()
        threading.Thread(target=work, daemon=True).start()
        elector.wait_until_leading()
        until(lambda: elector._lifecycle.current.work.had_scope)
        """
    )
    running.wait_for("ready")
    assert running.finish() == 0
    assert running.holder == f"me-{running.pid}"
    assert running.errors == ""


@pytest.mark.row(
    "Signals, exit, fork", "the interpreter exits and nobody called `stop()`"
)
@pytest.mark.parametrize("start", ["threading.Thread", "_thread.start_new_thread"])
def test_exit_does_not_release_under_a_thread_that_may_work_in_it(program, start):
    """Fault 10: the main thread entered it, and another one may be what works (G5)."""
    arguments = {
        "threading.Thread": "(target=work, daemon=True).start()",
        "_thread.start_new_thread": "(work, ())",
    }
    running = program(
        f"""
        import _thread
        elector = sync.Elector(**options())
        elector.start()
        elector.wait_until_leading()
        elector.guard().__enter__()
        runs = threading.Event()
        def work():
            runs.set()
            live_on()
        {start}{arguments[start]}
        runs.wait()
        say("ready")
        """
    )
    running.wait_for("ready")
    assert running.finish() == 0
    assert running.holder == f"me-{running.pid}"
    assert running.errors == ""


@pytest.mark.row(
    "Signals, exit, fork", "the interpreter exits and nobody called `stop()`"
)
@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_exit_does_not_release_what_is_left_later(program, block):
    """Fault 10: a handler of `atexit` from before the elector still works in it (G5)."""
    running = program(
        f"""
        import atexit, contextlib
        def work():
            say("works")
            sys.stdin.read()
        stack = contextlib.ExitStack()
        atexit.register(stack.close)
        elector = sync.Elector(**options(**STEADY))
        elector.start()
        term = elector.wait_until_leading()
        stack.enter_context(contextlib.suppress(LeadershipLostError))
        stack.enter_context({block})
        stack.callback(work)
        """,
        stdin=True,
    )
    running.wait_for("works")
    assert running.holder == f"me-{running.pid}"
    running.process.stdin.close()
    assert running.finish() == 0
    assert running.errors == ""


@pytest.mark.row(
    "Signals, exit, fork", "the interpreter exits and nobody called `stop()`"
)
@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_exit_releases_what_a_signal_left_whose_traceback_is_kept(program, block):
    """Fault 16: Python keeps the block, with the frames of the exception it tells of."""
    running = program(
        f"""
        {TEAR}
        elector = sync.Elector(**options())
        elector.start()
        term = elector.wait_until_leading()
        say("ready")
        with {block}:
            sys.setprofile(tear(KeyboardInterrupt))
        """
    )
    running.wait_for("ready")
    assert running.finish() == -signal.SIGINT
    assert running.holder == ""
    assert running.errors.endswith("\nKeyboardInterrupt\n")


@pytest.mark.row("Signals, exit, fork", "the interpreter exits, whoever has stopped")
def test_exit_waits_for_the_last_lines_of_who_has_stopped(program):
    """Why a term ended is logged, be the log slow and all electors stopped by then."""
    running = program(
        """
        class Slow:  # none of logging, which itself waits at the exit for its handlers
            def info(self, line):
                if threading.main_thread().is_alive():
                    threading.main_thread().join()  # the exit is under way, and would
                    time.sleep(0.2)  # be over by now
                os.write(2, (line + "\\n").encode())
            debug = warning = error = info
        with sync.Elector(log=Slow(), **options()) as elector:
            elector.wait_until_leading()
        say("stopped")
        """
    )
    running.wait_for("stopped")
    assert running.finish() == 0
    assert "is the leader" in running.errors


@pytest.mark.row("Signals, exit, fork", "the interpreter exits, whoever has stopped")
def test_exit_waits_for_a_log_that_stands_still_for_a_moment_only(program):
    """Fault 16: a reader of the log that is stuck does not keep the program."""
    running = program(
        """
        class Stuck:
            def info(self, line):
                threading.Event().wait()
            debug = warning = error = info
        with sync.Elector(log=Stuck(), **options()) as elector:
            elector.wait_until_leading()
        say("stopped")
        """
    )
    running.wait_for("stopped")
    assert running.finish() == 0


@pytest.mark.row("Signals, exit, fork", "the interpreter exits, whoever has stopped")
def test_signal_ends_the_wait_for_a_log_that_stands_still(program):
    """Without a traceback: whoever presses Ctrl-C twice knows what that does."""
    running = program(
        """
        from kubernetes_leader_election.process import limits
        limits.LAST_WORDS = 10.0  # long enough for the signal
        class Stuck:
            def info(self, line):
                main = threading.main_thread()
                main.join()  # the exit is under way
                while sys._current_frames()[main.ident].f_code.co_name != "flush":
                    time.sleep(0.01)  # until it waits for this line
                say("interrupted")
                os.kill(os.getpid(), signal.SIGINT)
                threading.Event().wait()
            debug = warning = error = info
        with sync.Elector(log=Stuck(), **options()) as elector:
            elector.wait_until_leading()
        say("stopped")
        """
    )
    running.wait_for("interrupted")
    assert running.finish() == 0
    assert running.errors == ""


@pytest.mark.row("Signals, exit, fork", "the interpreter exits, whoever has stopped")
def test_signal_that_is_met_after_the_wait_for_the_log_leaves_no_traceback(program):
    """It came just before the wait, and Python looks for signals after it again."""
    running = program(
        """
        from kubernetes_leader_election.process.timers import TimerThread
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        long = (0,) * 20_000_000
        def flush(self, timeout):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            try:
                long.index(1)  # in C, longer than that; no look for signals follows
            except ValueError:
                return False
        TimerThread.flush = flush
        with sync.Elector(**options()) as elector:
            elector.wait_until_leading()
        say("stopped")
        """
    )
    running.wait_for("stopped")
    assert running.finish() == 0
    assert running.errors == ""


def test_exit_does_not_hang_when_the_api_server_does(program, lease_api):
    """Fault 16: the release is asked for a second, or one request's time, at most."""
    running = program(
        """
        elector = sync.Elector(**options())
        elector.start()
        elector.wait_until_leading()
        say("ready")
        sys.stdin.read()
        """,
        stdin=True,
    )
    running.wait_for("ready")
    lease_api.freeze()
    try:
        running.process.stdin.close()
        assert running.finish() == 0
    finally:
        lease_api.thaw()
    # Its time is over when the exit stops waiting: said, or not any more.
    late = "(.*: writing it took longer than .*|.*: no complete answer came in .*)\n"
    assert re.sub(late, "", running.errors) == ""


FORKS = {
    "os.fork": """
        def in_child(check):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    check()
                    code = 0
                finally:
                    os._exit(code)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        """,
    "multiprocessing": """
        import multiprocessing
        def in_child(check):
            child = multiprocessing.get_context("fork").Process(target=check)
            child.start()
            child.join(50)
            return child.exitcode
        """,
    "a child that leaves by sys.exit": """
        def in_child(check):
            pid = os.fork()
            if pid == 0:
                check()
                sys.exit(0)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        """,
}


def test_exit_after_a_closed_loop_tells_of_a_loss_that_nobody_hears(program):
    """G4: a loss that waits for a handler when the loop ends is told in the log."""
    running = program(
        """
        elector = Elector(**options(**STEADY))
        elector.on(EVENTS.LEADERSHIP_LOST, lambda e: say("lost"))
        waiting = elector._lifecycle.notifier.event_queue._queued

        async def main():
            entered = asyncio.Event()

            @elector.on(EVENTS.LEASE_RENEWED)
            async def linger(event):
                entered.set()
                await asyncio.Event().wait()

            await elector.start()
            await entered.wait()
            stepping = asyncio.create_task(elector.step_down())
            while "leadership_lost" not in {x.event.name for x in tuple(waiting)}:
                await asyncio.sleep(0.001)

        asyncio.run(main())
        """
    )
    assert running.finish() == 0
    assert running.holder == ""
    assert running.said == []
    told = "the event loop that called start() is closed, so handlers can no longer be called"
    assert running.errors.count(told) == 1, running.errors


@pytest.mark.row("Signals, exit, fork", "`os.fork()`")
@pytest.mark.parametrize("fork", FORKS.values(), ids=FORKS)
def test_child_of_a_leader_leads_nothing(program, fork):
    """Fault 15: no leader, no renewal; an elector of its own; the parent goes on."""
    running = program(
        # Python 3.12 warns of forks beside threads, which is what is tested here.
        "import warnings; warnings.simplefilter('ignore', DeprecationWarning)\n"
        + textwrap.dedent(fork)
        + textwrap.dedent(
            """
        elector = sync.Elector(**options(**STEADY))
        renewals = []
        elector.on(EVENTS.LEASE_RENEWED, renewals.append)
        elector.start()
        term = elector.wait_until_leading()

        def check():
            assert not elector.current_leader
            assert elector.remaining() == term.remaining() == 0.0
            assert term.is_lost
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
            assert threading.active_count() == 1
            for call in (elector.start, elector.stop, elector.step_down):
                try:
                    call()
                except Exception as error:
                    assert "fork" in str(error), error
                else:
                    raise AssertionError(call)
            with sync.Elector(**{**options(), "lease_name": "of-the-child"}) as own:
                assert own.wait_until_leading(30)
            assert not own.current_leader
            say("child", os.getpid())

        say("code", in_child(check))
        seen = len(renewals)
        until(lambda: len(renewals) >= seen + 3)
        say("parent", elector.current_leader, term.is_lost)
        elector.stop()
        """
        )
    )
    assert running.wait_for("code") == "code 0", running.errors
    assert running.wait_for("parent") == "parent True False"
    assert running.finish() == 0
    assert running.holder == ""
    assert running.errors == ""


def test_fork_in_a_scope_leaves_the_parents_work_alone(program):
    """Fault 15: a child that leaves the scope releases nothing; nor by its exit."""
    running = program(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        with sync.Elector(**options(**STEADY)) as elector:
            with elector.leadership() as term:
                pid = os.fork()
                if pid:
                    os.waitpid(pid, 0)
                    say("parent", elector.current_leader)
                    time.sleep(0.5)  # five renewals, which a release would stop
                    term.check()
                    say("holds")
                else:
                    try:
                        term.check()
                    except LeadershipLostError:
                        say("child stops")
        if pid == 0:
            sys.exit(0)
        """
    )
    assert running.wait_for("child") == "child stops"
    assert running.wait_for("parent") == "parent True"
    assert running.wait_for("holds")
    running.finish()
    assert "atexit" not in running.errors
    until(lambda: running.holder == "")
