"""
The elector for asyncio.

.. code-block:: python

    async with Elector(lease_name="billing") as elector:
        async with elector.leadership() as term:
            await work(term)

The election itself runs on a thread of its own: an event loop that is blocked for a
while neither loses the Lease nor keeps anybody from asking ``current_leader``.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from kubernetes_leader_election.errors import (
    LeadershipLostError,
    NotLeaderError,
    ProtocolMisuseError,
)
from kubernetes_leader_election.leadership import ElectorState
from kubernetes_leader_election.lifecycle.asking import (
    OnStop,
    refuse_what_cannot_ask,
)
from kubernetes_leader_election.lifecycle.asyncio_dispatcher import AsyncioDispatcher
from kubernetes_leader_election.lifecycle.background import Progress
from kubernetes_leader_election.lifecycle.base_elector import BaseElector, seconds_of
from kubernetes_leader_election.lifecycle.base_term import BaseTerm
from kubernetes_leader_election.lifecycle.call_context import (
    CallContext,
    is_inside_work,
)
from kubernetes_leader_election.lifecycle.held_work import ThreadCall
from kubernetes_leader_election.lifecycle.kinds_of_work import (
    refuse_no_awaitable,
    refuse_what_needs_a_loop,
    refuse_what_would_block,
)
from kubernetes_leader_election.lifecycle.leftover_threads import (
    Beginning,
    keep_if_torn,
)
from kubernetes_leader_election.lifecycle.lifecycle import Lifecycle
from kubernetes_leader_election.lifecycle.notifier import Dispatcher
from kubernetes_leader_election.lifecycle.restarts import Restart, Restarts
from kubernetes_leader_election.lifecycle.task_background import Background
from kubernetes_leader_election.lifecycle.task_cancellation import (
    TaskCancellation,
    call_on_loop,
    way_to_ask,
)
from kubernetes_leader_election.lifecycle.task_guard import Guard, TaskJobs
from kubernetes_leader_election.lifecycle.term_work import WorkItem
from kubernetes_leader_election.process.signals import shared_auto_close
from kubernetes_leader_election.settings.options import Duration

__all__ = ["Background", "Elector", "Guard", "Leadership", "Lost", "Term"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Elector(BaseElector["Term"], TaskJobs["Term"]):
    """
    Take part in the election on a Lease.

    .. code-block:: python

        elector = Elector(lease_name="billing")

        @elector.on(elector.EVENTS.LEADERSHIP_LOST)
        async def stop_billing(event): ...

        await elector.run(bill)

    The options are those of ``__init__``.
    """

    async def start(self, timeout: float | None = None) -> None:
        """
        Take part in the election from now on, until ``stop()``.

        Handlers run where this is called: on this event loop, or on a thread of the
        elector. With ``wait_for_leadership`` it returns once a leader is known, this
        one or another; else at once.

        Args:
            timeout: Seconds to wait for a leader at most.

        Raises:
            ProtocolMisuseError: started already, or inherited by a child process.
            ConfigurationError: no namespace is known.
            CredentialsError: ``require_cluster``, and there is none.
            TimeoutError: no leader is known yet; the last error is its cause. The
                elector goes on.
            NotLeaderError: stopped while waiting.

        """
        self._begin()
        if self._lifecycle.settings.wait_for_leadership:
            await self.wait_for_leader(timeout)

    async def stop(self, timeout: float | None = None) -> None:
        """
        Give up leadership, let its work end, release the Lease, take part no more.

        Idempotent. In a scope or a handler of this elector it does not wait for
        itself: the stop goes on when that has ended.

        Args:
            timeout: Seconds to wait for the work at most; the stop goes on anyway.

        Raises:
            ProtocolMisuseError: inherited by a child process.
            TimeoutError: the work is still alive; the Lease is renewed as long.

        """
        lifecycle = self._lifecycle
        lifecycle.refuse_child()
        number = lifecycle.number  # before the look: a later life is not waited for
        if lifecycle.running:
            lifecycle.stop_called()
            await self._await_end(lambda: lifecycle.has_ended(number), timeout)
        await _end_with_signal()

    async def step_down(self, stay_out: Duration | None = None) -> None:
        """
        Release the Lease after the work has ended, and let another one lead.

        Args:
            stay_out: How long not to contend, in seconds or as a timedelta, unless
                another one leads before; one lease duration unless given.

        Raises:
            ProtocolMisuseError: not started, or inherited by a child process.
            ConfigurationError: ``stay_out`` is no length of time.

        """
        lifecycle, seconds = self._lifecycle, seconds_of(stay_out)
        lifecycle.refuse_unstarted("step_down()", to_lead=True)
        current = lifecycle.current
        lifecycle.ask_to_step_down(seconds)
        if current is not None:
            number = current.term.number
            await self._await_end(lambda: lifecycle.is_over(number), None)

    async def wait_until_leading(self, timeout: float | None = None) -> Term:
        """
        Wait until this elector leads, and give the term.

        The term may end at any instant: whoever works under it uses ``leadership()``.

        Args:
            timeout: Seconds to wait at most.

        Raises:
            ProtocolMisuseError: not started, or inherited by a child process.
            LeadershipLostError: called by the work of a lost term.
            NotLeaderError: stopped while waiting.
            TimeoutError: it does not lead yet; the last error is its cause.

        """
        lifecycle, call = self._lifecycle, "wait_until_leading()"
        lifecycle.refuse_unstarted(call, to_lead=True)
        return await _wait(lifecycle, partial(lifecycle.leading, call), timeout, call)

    async def wait_for_leader(self, timeout: float | None = None) -> str:
        """
        Wait until a leader is known, this one or another, and give its identity.

        Args:
            timeout: Seconds to wait at most.

        Raises:
            ProtocolMisuseError: not started, or inherited by a child process.
            NotLeaderError: stopped while waiting.
            TimeoutError: no leader is known yet; the last error is its cause.

        """
        lifecycle, call = self._lifecycle, "wait_for_leader()"
        lifecycle.refuse_unstarted(call, to_lead=False)
        return await _wait(lifecycle, partial(lifecycle.leader, call), timeout, call)

    async def states(self) -> AsyncIterator[ElectorState]:
        """
        Yield the present state, then each one that differs, until the elector stops.

        Renewals alone make no new state. Who is slow gets the newest state, not all.
        """
        lifecycle, seen = self._lifecycle, None
        while seen is None or not lifecycle.was_last(seen):
            seen = await _wait(
                lifecycle, partial(lifecycle.fresh_state, seen), None, "states()"
            )
            yield seen

    def leadership(self, timeout: float | None = None) -> Leadership:
        """
        Return a scope whose body runs only while this elector leads.

        Each block needs a scope of its own. Entering waits for leadership. When the
        term is lost, the body is told to end: asyncio cancels it, a thread sees
        ``term.lost``. The Lease is released after the last scope of the term has
        ended, never before, and renewed meanwhile.

        Args:
            timeout: Seconds to wait for leadership at most.

        Raises:
            ProtocolMisuseError: not started, inherited by a child process, or the same
                scope is entered already.
            LeadershipLostError: the term was lost while the body ran; or entered by
                the work of a lost term.
            NotLeaderError: stopped while waiting.
            TimeoutError: it does not lead yet; the last error is its cause.

        """
        self._lifecycle.refuse_unstarted("leadership()", to_lead=True)
        return Leadership(self._lifecycle, timeout)

    async def run(
        self,
        main: Callable[[Term], Awaitable[_T]],
        *,
        on_stop: OnStop | None = None,
        restart: Restart = "never",
        restart_max_delay_sec: Duration = 60.0,
    ) -> _T | None:
        """
        Start, call ``main`` with each term until it is done, and stop.

        When its term is lost, ``main`` is told to end, and called again with the next
        term. Errors of the API server never end this call. An ``ensure()`` that asks
        for more time than a healthy term has is an error of ``main``'s own.

        Args:
            main: The leader's work.
            on_stop: Asks ``main`` to end, in a planned stop: called without arguments,
                where an asyncio task would else be cancelled, which comes at the end of
                the grace then; threads: on a thread of its own. For work that ignores a
                cancellation, or has to be asked in its own way. With asyncio it may be
                a coroutine function. At a loss it is not called.
            restart: Whether work that fails is tried again ("on-failure") or its error
                raised ("never"). Each failure is logged with its traceback and ends the
                term (reason ``work_failed``), so that another replica gets a try.
            restart_max_delay_sec: The longest pause before the next try; it doubles from
                1 s, and is 1 s again after work that ran for a minute.

        Returns:
            What ``main`` returns; None after ``stop()``.

        Raises:
            ConfigurationError: ``main`` is work for the other elector, or none; ``on_stop``
                is no call; or there is no such policy or duration.
            ProtocolMisuseError: started already, or inherited by a child process.
            Exception: whatever ``main`` raises of its own.

        """
        refuse_what_cannot_ask(on_stop, on_loop=True)
        refuse_what_would_block(main, "run()")
        lifecycle = self._lifecycle
        restarts = Restarts(
            lifecycle, main, restart=restart, longest=restart_max_delay_sec
        )
        lifecycle.refuse_started("run()")
        async with self:
            return await self._lead(main, restarts, on_stop)

    def background(
        self,
        main: Callable[[Term], Awaitable[object]],
        *,
        restart: Restart = "on-failure",
        restart_max_delay_sec: Duration = 60.0,
    ) -> Background:
        """
        Return a handle of work that goes on beside something else, such as a server.

        Entering starts the elector, and calls ``main`` with each term as ``run()`` does:
        asyncio in a task, else in a thread. Leaving stops it, waits for the work, and
        raises again what the work raised. Work that is done, or fails for good, stops the
        elector, which is logged: it does not lead on without its work. The handle has
        ``running``, ``last_error``, and ``start()`` and ``stop()`` for hooks.

        Args:
            main: The leader's work.
            restart: Whether work that fails is tried again ("on-failure"), or ends it
                ("never"); see ``run()``.
            restart_max_delay_sec: The longest pause before the next try.

        Raises:
            ConfigurationError: ``main`` is work for the other elector, or none; or there
                is no such policy or duration.
            ProtocolMisuseError: on entering: started already, or inherited by a child
                process.

        """
        refuse_what_would_block(main, "background()")
        restarts = Restarts(
            self._lifecycle, main, restart=restart, longest=restart_max_delay_sec
        )
        return Background(
            Progress(self._lifecycle, restarts),
            start=self.__aenter__,
            lead=partial(self._lead, main, restarts),
            stop=self.stop,
        )

    async def __aenter__(self) -> Self:
        self._begin()
        try:
            if self._lifecycle.settings.wait_for_leadership:
                await self.wait_for_leader()
        except BaseException:
            self._lifecycle.ask_to_stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._lifecycle.forked:
            await self.stop()

    # Inside -------------------------------------------------------------------

    def _kind_of_term(self) -> type[Term]:
        return Term

    async def _lead(
        self,
        main: Callable[[Term], Awaitable[_T]],
        restarts: Restarts,
        on_stop: OnStop | None = None,
    ) -> _T | None:
        """Call ``main`` with each term until it is done, or the elector is stopped."""
        lifecycle = self._lifecycle
        while not lifecycle.stopping:
            term, own, again = None, None, False
            try:
                scope = Leadership(lifecycle, None, on_stop)
                async with scope as term:
                    restarts.begin()
                    try:
                        with shared_auto_close().handlers_kept():
                            work = main(term)
                            refuse_no_awaitable(work, main, "run()")
                            result = await work
                    except BaseException as error:
                        # Asked here: with its work, the term ends in any case.
                        if not _is_of_loss(lifecycle, error, term):
                            own, again = error, restarts.fail(error, term.number)
                        raise
                    scope.then_stop = restarts.done = True
                    return result
            except (LeadershipLostError, NotLeaderError) as error:
                if not again and (
                    error is own or (term is not None and error.term is not term)
                ):
                    raise
                if term is not None and scope.outside:
                    raise  # others cancelled this task, too: the call is to end
            except BaseExceptionGroup as error:
                if (error is own and not again) or scope.outside:
                    raise
            except ProtocolMisuseError:
                # Stopped since the look above, and the stop is over already.
                if not again and (term is not None or not lifecycle.stopping):
                    raise
            except Exception:
                if not again or scope.outside:
                    raise
        return None

    def _begin(self) -> None:
        loop = _running_loop()

        def ask_loop(alive: Callable[[], None]) -> None:
            call_on_loop(loop, alive)

        def attach(former: Dispatcher | None) -> Dispatcher:
            if isinstance(former, AsyncioDispatcher) and former.loop is loop:
                former.renew()
                return former
            return AsyncioDispatcher(self._lifecycle, loop)

        self._lifecycle.begin(attach, probe=self._probe(ask_loop))

    async def _await_end(self, over: Callable[[], bool], timeout: float | None) -> None:
        """Wait until a term or a life is over, unless it waits for the caller."""
        lifecycle, call_context = self._lifecycle, self._lifecycle.call_context()
        if call_context is None:
            try:
                await _wait(
                    lifecycle,
                    lambda: over() or lifecycle.shutdown.is_left_to_exit(),
                    timeout,
                    "",
                )
            except TimeoutError:
                error = lifecycle.still_alive(timeout or 0.0)
                raise error from error.__cause__
        elif call_context.is_scope:
            # The loss cancels the body, and so whoever waits here.
            await _wait(lifecycle, lambda: call_context.is_over or over(), None, "")
            await asyncio.sleep(0)  # it was told so: on the loop, that comes first


class Leadership:
    """A scope whose body runs only while the elector leads; see ``leadership()``."""

    def __init__(
        self,
        lifecycle: Lifecycle[Term],
        timeout: float | None,
        on_stop: OnStop | None = None,
    ) -> None:
        self._lifecycle = lifecycle
        self._timeout = timeout
        self._on_stop = on_stop
        self._hold: WorkItem | None = None
        self._entered = threading.Lock()
        self.then_stop = False  # the elector, when the body is done
        self.outside = False  # whether others cancelled the body, once it has ended

    async def __aenter__(self) -> Term:
        if not self._entered.acquire(blocking=False):
            raise self._lifecycle.entered_twice()
        try:
            return await self._enter()
        except BaseException:
            self._entered.release()
            raise

    async def _enter(self) -> Term:
        lifecycle, loop = self._lifecycle, _running_loop()
        lifecycle.refuse_unstarted("leadership()", to_lead=True)
        self._task = task = _present_task()
        cancelling = task.cancelling()
        # A cancellation that was asked for and not met yet is met here: counted as an
        # old one, it could be taken for that of a loss, and be lost with it.
        await asyncio.sleep(0)
        hold = WorkItem(
            f"leadership() in task {task.get_name()!r}",
            cancel=partial(call_on_loop, loop, self._cancel),
            loop=loop,
            is_scope=True,
        )
        join = partial(lifecycle.join, hold)
        current = await _wait(lifecycle, join, self._timeout, "leadership()")
        self._term, self._hold = current.term, hold
        self._beginning = Beginning()
        self._call_context = CallContext(lifecycle, work=current.work, is_scope=True)
        self._call_context.enter()
        ask = way_to_ask(lifecycle, self._on_stop)
        self._end = TaskCancellation(
            lifecycle, current.term, task, before=cancelling, ask=ask
        )
        task.add_done_callback(self._abandon)
        return current.term

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        hold, self._hold = self._hold, None
        assert hold is not None  # noqa: S101 - __aenter__ came first
        self._call_context.leave()
        self._task.remove_done_callback(self._abandon)
        is_here = _is_present(self._task)
        self.outside = self._end.end(error) and is_here
        lifecycle, term = self._lifecycle, self._term
        lost = term.is_lost
        if not lifecycle.forked:
            keep_if_torn(hold, self._beginning, error, lifecycle.wake_waiting)
        if self.then_stop and not lost:
            lifecycle.end_for_good(term.number)
        last = lifecycle.leave(hold)
        self._entered.release()
        if not is_here and not self._task.done():
            lifecycle.overdue_work.report_elsewhere(hold)
        loss = lost and self._is_loss(error, ours=self._end.delivered and is_here)
        if loss or isinstance(error, LeadershipLostError | NotLeaderError):
            await _let_signal_end(lifecycle)
        if loss:
            raise term.loss() from error
        if last and (error is None or isinstance(error, Exception)):
            await self._wait_for_release(term.number)

    def _is_loss(self, error: BaseException | None, *, ours: bool) -> bool:
        """Return whether a scope whose term is lost raises that, whatever the body did."""
        match error:
            case None:
                return not (ours and self.outside)
            case asyncio.CancelledError():
                return ours and not self.outside
            case BaseExceptionGroup() if not self.outside:
                return _is_of_loss(self._lifecycle, error, self._term)
            case _:
                return False

    def _cancel(self) -> None:
        """Cancel the body. On its loop."""
        if self._hold is not None:
            self._end.begin()

    def _abandon(self, _task: asyncio.Task[Any]) -> None:
        """Tell that the task which entered has ended, and cannot be cancelled any more."""
        if self._hold is not None:
            self._lifecycle.overdue_work.report_abandoned(self._hold)

    async def _wait_for_release(self, number: int) -> None:
        lifecycle = self._lifecycle
        if lifecycle.call_context() is not None or lifecycle.forked:
            return  # something around this scope holds up the release
        try:
            await _wait(
                lifecycle, lambda: lifecycle.is_over(number), lifecycle.stop_budget, ""
            )
        except TimeoutError:
            return  # stop() waits for as long as it takes


class Term(BaseTerm):
    """
    One uninterrupted leadership of one elector. It never comes back to life (G4).

    .. code-block:: python

        async with elector.leadership() as term:
            term.ensure(2.0)
            await write(row, fencing_token=term.fencing_token)
    """

    __slots__ = ("lost",)

    def __init__(
        self, lifecycle: Lifecycle[Any], *, number: int, fencing_token: int | None
    ) -> None:
        super().__init__(lifecycle, number=number, fencing_token=fencing_token)
        self.lost = Lost(lifecycle, self)
        """Set when the term ends."""

    async def to_thread(
        self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """
        Call ``function`` in a thread, as work of the term until it has ended *there*.

        The Lease is not released before, also when whoever waits for it is cancelled or
        torn by a signal; it is renewed meanwhile. Nothing tells a thread to end but
        ``term.lost``. Context variables are carried. asyncio: on the default executor
        of the loop; threads: on a thread of its own, which the exit waits for.

        Args:
            function: What to call.
            *args: Its arguments.
            **kwargs: Its arguments by name.

        Returns:
            What it returns.

        Raises:
            LeadershipLostError: the term is over or about to be, and it was not called.
            ConfigurationError: it is no callable, or a coroutine function.
            ProtocolMisuseError: in a child process.
            Exception: whatever it raises.

        """
        refuse_what_needs_a_loop(function, "to_thread()")
        call = ThreadCall(
            self._clock, self, partial(function, *args, **kwargs), function
        )
        try:
            return await _running_loop().run_in_executor(None, call.run)
        finally:
            call.give_up()


class Lost:
    """
    Tell when a term has ended: an event that only the loss sets.

    It counts by the clock, too, so it is right with nothing else running.
    """

    __slots__ = ("_lifecycle", "_term")

    def __init__(self, lifecycle: Lifecycle[Any], term: BaseTerm) -> None:
        self._lifecycle = lifecycle
        self._term = term

    def is_set(self) -> bool:
        """Return whether the term has ended."""
        return self._term.is_lost

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until the term has ended, ``timeout`` seconds at most; tell if it has."""
        recheck_after = self._term.remaining
        try:
            return await _wait(
                self._lifecycle, self.is_set, timeout, "", recheck_after=recheck_after
            )
        except TimeoutError:
            return self.is_set()


async def _wait(
    lifecycle: Lifecycle[Term],
    check: Callable[[], _T | None],
    timeout: float | None,
    call: str,
    *,
    recheck_after: Callable[[], float] | None = None,
) -> _T:
    """
    Wait until ``check`` gives something true, and give that.

    It looks after every change, and after the seconds that ``recheck_after`` says.
    """
    loop, changed = _running_loop(), asyncio.Event()
    waiter = partial(call_on_loop, loop, changed.set)
    lifecycle.add_waiter(waiter)
    try:
        async with asyncio.timeout(timeout):
            while True:
                changed.clear()
                found = check()
                if found:
                    return found
                left = float("inf") if recheck_after is None else recheck_after()
                timer = None
                if left != float("inf"):
                    timer = loop.call_later(left, changed.set)
                try:
                    await changed.wait()
                finally:
                    if timer is not None:
                        timer.cancel()
    except TimeoutError:
        error = lifecycle.no_time_left(f"{call} did not return", timeout or 0.0)
        raise error from error.__cause__
    except NotLeaderError as error:
        stopped = error
    finally:
        lifecycle.remove_waiter(waiter)
    await _let_signal_end(lifecycle)
    raise stopped


def _running_loop() -> asyncio.AbstractEventLoop:
    """
    Return the event loop that runs here.

    Raises:
        ProtocolMisuseError: none does, as under trio.

    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise _not_of_asyncio("no event loop of asyncio runs here") from None


def _present_task() -> asyncio.Task[Any]:
    """
    Return the task that runs here, which a loss cancels.

    Raises:
        ProtocolMisuseError: none does, as where trio runs a coroutine for asyncio.

    """
    task = asyncio.current_task()
    if task is None:
        raise _not_of_asyncio("this coroutine runs in no task of asyncio")
    return task


def _not_of_asyncio(why: str) -> ProtocolMisuseError:
    return ProtocolMisuseError(
        f"this Elector is the one for asyncio, and {why}. Elsewhere, as under trio, use "
        "kubernetes_leader_election.sync.Elector in threads, such as those of "
        "trio.to_thread.run_sync: its calls block."
    )


def _is_present(task: asyncio.Task[Any]) -> bool:
    """Return whether this task runs now; none does where Python frees a generator."""
    try:
        return asyncio.current_task() is task
    except RuntimeError:
        return False


def _is_of_loss(lifecycle: Lifecycle[Term], error: BaseException, term: Term) -> bool:
    """Return whether work failed for nothing but the loss of its term."""
    # Where nobody else cancelled the task, which is asked elsewhere, a task of the
    # body that was cancelled is one more that the loss has ended.
    ended = (asyncio.CancelledError,) if term.is_lost else ()
    return lifecycle.is_of_loss(error, term, ended=ended)


async def _let_signal_end(lifecycle: Lifecycle[Term]) -> None:
    """Let a signal that is to end this thread do so, rather than an error of the stop."""
    wait = 0.0 if is_inside_work() else shared_auto_close().longest_wait()
    if wait or lifecycle.shutdown.signalled:
        await asyncio.sleep(wait)  # ended by it; also by what asyncio has sent already


async def _end_with_signal() -> None:
    """Give signals back; let one that is about to end this thread do so here."""
    wait = shared_auto_close().longest_wait(stopped=True)
    if wait:
        await asyncio.sleep(wait)
    shared_auto_close().take_back()
