"""
The elector for threads.

.. code-block:: python

    with Elector(lease_name="billing") as elector:
        with elector.leadership() as term:
            while not term.lost.wait(timeout=1.0):
                work(term)

A thread cannot be cancelled, only asked: leader work looks at ``term.lost`` at least
once in the stop budget. Work that does not is never released under its feet, but after
the lease duration nothing holds others back any more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Any, Final, ParamSpec, Self, TypeVar

from kubernetes_leader_election.errors import (
    ConfigurationError,
    LeadershipLostError,
    NotLeaderError,
    ProtocolMisuseError,
)
from kubernetes_leader_election.events import Handler
from kubernetes_leader_election.leadership import ElectorState
from kubernetes_leader_election.lifecycle.asking import (
    OnStop,
    ask_on_a_thread,
    refuse_what_cannot_ask,
)
from kubernetes_leader_election.lifecycle.background import Background, Progress
from kubernetes_leader_election.lifecycle.base_elector import BaseElector, seconds_of
from kubernetes_leader_election.lifecycle.base_term import BaseTerm
from kubernetes_leader_election.lifecycle.call_context import (
    CallContext,
    is_inside_work,
)
from kubernetes_leader_election.lifecycle.guard import Guard, Jobs
from kubernetes_leader_election.lifecycle.handlers import name_of
from kubernetes_leader_election.lifecycle.held_work import ThreadCall
from kubernetes_leader_election.lifecycle.kinds_of_work import (
    is_coroutine_function,
    refuse_awaitable,
    refuse_what_needs_a_loop,
)
from kubernetes_leader_election.lifecycle.leftover_threads import (
    Beginning,
    keep_if_torn,
)
from kubernetes_leader_election.lifecycle.lifecycle import Lifecycle
from kubernetes_leader_election.lifecycle.notifier import Dispatcher
from kubernetes_leader_election.lifecycle.restarts import Restart, Restarts
from kubernetes_leader_election.lifecycle.term_work import WorkItem
from kubernetes_leader_election.lifecycle.thread_dispatcher import ThreadDispatcher
from kubernetes_leader_election.process import native
from kubernetes_leader_election.process.signals import shared_auto_close
from kubernetes_leader_election.process.timers import LONGEST_WAIT
from kubernetes_leader_election.settings.options import Duration, Settings

__all__ = ["Background", "Elector", "Guard", "Leadership", "Lost", "Term"]

_GLANCE: Final = 0.05
"""Seconds after which a signal that came at the wrong instant is seen."""
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Elector(BaseElector["Term"], Jobs["Term"]):
    """
    Take part in the election on a Lease.

    .. code-block:: python

        elector = Elector(lease_name="billing")

        @elector.on(elector.EVENTS.LEADERSHIP_LOST)
        def stop_billing(event): ...

        elector.run(bill)

    The options are those of ``__init__``.
    """

    def start(self, timeout: float | None = None) -> None:
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
            self.wait_for_leader(timeout)

    def stop(self, timeout: float | None = None) -> None:
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
            self._await_end(lambda: lifecycle.has_ended(number), timeout)
        _end_with_signal()

    def step_down(self, stay_out: Duration | None = None) -> None:
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
            self._await_end(lambda: lifecycle.is_over(number), None)

    def wait_until_leading(self, timeout: float | None = None) -> Term:
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
        return _wait(lifecycle, partial(lifecycle.leading, call), timeout, call)

    def wait_for_leader(self, timeout: float | None = None) -> str:
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
        return _wait(lifecycle, partial(lifecycle.leader, call), timeout, call)

    def states(self) -> Iterator[ElectorState]:
        """
        Yield the present state, then each one that differs, until the elector stops.

        Renewals alone make no new state. Who is slow gets the newest state, not all.
        """
        lifecycle, seen = self._lifecycle, None
        while seen is None or not lifecycle.was_last(seen):
            seen = _wait(
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

    def run(
        self,
        main: Callable[[Term], _T],
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
        refuse_what_cannot_ask(on_stop, on_loop=False)
        refuse_what_needs_a_loop(main, "run()")
        lifecycle = self._lifecycle
        restarts = Restarts(
            lifecycle, main, restart=restart, longest=restart_max_delay_sec
        )
        lifecycle.refuse_started("run()")
        with self:
            return self._lead(main, restarts, on_stop)

    def background(
        self,
        main: Callable[[Term], object],
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
        refuse_what_needs_a_loop(main, "background()")
        restarts = Restarts(
            self._lifecycle, main, restart=restart, longest=restart_max_delay_sec
        )
        return Background(
            Progress(self._lifecycle, restarts),
            start=self.__enter__,
            lead=partial(self._lead, main, restarts),
            stop=self.stop,
        )

    def __enter__(self) -> Self:
        self._begin()
        try:
            if self._lifecycle.settings.wait_for_leadership:
                self.wait_for_leader()
        except BaseException:
            self._lifecycle.ask_to_stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if not self._lifecycle.forked:
            self.stop()

    # Inside -------------------------------------------------------------------

    def _kind_of_term(self) -> type[Term]:
        return Term

    def _check_settings(self, settings: Settings) -> None:
        if settings.liveness == "loop":
            raise ConfigurationError(
                'liveness="loop" asks an event loop, and this elector has none. Give a '
                "callable that returns true while the application is well.",
                option="liveness",
            )

    def _check_handler(self, handler: Handler) -> None:
        if is_coroutine_function(handler):
            raise ConfigurationError(
                f"{name_of(handler)} is a coroutine function, and this elector has no event "
                "loop to run it on. Give a plain function, or use the elector for "
                "asyncio: kubernetes_leader_election.Elector."
            )

    def _lead(
        self,
        main: Callable[[Term], _T],
        restarts: Restarts,
        on_stop: OnStop | None = None,
    ) -> _T | None:
        """Call ``main`` with each term until it is done, or the elector is stopped."""
        lifecycle = self._lifecycle
        while not lifecycle.stopping:
            term, own, again = None, None, False
            try:
                scope = Leadership(lifecycle, None, on_stop)
                with scope as term:
                    restarts.begin()
                    try:
                        with shared_auto_close().handlers_kept():
                            result = main(term)
                        refuse_awaitable(result, main, "run()")
                    except BaseException as error:
                        # Asked here: with its work, the term ends in any case.
                        if not lifecycle.is_of_loss(error, term):
                            own, again = error, restarts.fail(error, term.number)
                        raise
                    scope.then_stop = restarts.done = True
                    return result
            except (LeadershipLostError, NotLeaderError) as error:
                if not again and (
                    error is own or (term is not None and error.term is not term)
                ):
                    raise
            except BaseExceptionGroup as error:
                if error is own and not again:
                    raise
            except ProtocolMisuseError:
                # Stopped since the look above, and the stop is over already.
                if not again and (term is not None or not lifecycle.stopping):
                    raise
            except Exception:
                if not again:
                    raise
        return None

    def _begin(self) -> None:
        def attach(former: Dispatcher | None) -> Dispatcher:
            if isinstance(former, ThreadDispatcher):
                former.renew()
                return former
            return ThreadDispatcher(self._lifecycle)

        self._lifecycle.begin(attach, probe=self._probe(None))

    def _await_end(self, over: Callable[[], bool], timeout: float | None) -> None:
        """Wait until a term or a life is over, unless it waits for the caller."""
        lifecycle, call_context, current = (
            self._lifecycle,
            self._lifecycle.call_context(),
            self._lifecycle.current,
        )
        if call_context is None and current is not None and current.work.is_passed_here:
            # A handler of signals, between the calls that enter or leave a scope.
            call_context = CallContext(lifecycle, work=current.work, is_scope=True)
        if call_context is None:
            try:
                _wait(
                    lifecycle,
                    lambda: over() or lifecycle.shutdown.is_left_to_exit(),
                    timeout,
                    "",
                )
            except TimeoutError:
                error = lifecycle.still_alive(timeout or 0.0)
                raise error from error.__cause__
        elif call_context.is_scope:
            # Only until `term.lost` is set: the body goes on from here.
            _wait(lifecycle, lambda: call_context.is_over or over(), None, "")


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
        self._ask = on_stop and partial(ask_on_a_thread, lifecycle, on_stop)
        self._hold: WorkItem | None = None
        self._call_context: CallContext | None = None
        self._entered = threading.Lock()
        self.then_stop = False  # the elector, when the body is done

    def __enter__(self) -> Term:
        lifecycle = self._lifecycle
        if not self._entered.acquire(blocking=False):
            raise lifecycle.entered_twice()
        what = f"leadership() in thread {threading.current_thread().name!r}"
        self._hold = hold = WorkItem(
            what, cancel=self._ask, is_scope=True, may_work=False
        )
        try:
            lifecycle.refuse_unstarted("leadership()", to_lead=True)
            join = partial(lifecycle.join, hold)
            current = _wait(lifecycle, join, self._timeout, "leadership()")
            self._term, self._beginning = current.term, Beginning()
            self._call_context = CallContext(
                lifecycle, work=current.work, is_scope=True
            )
            self._call_context.enter()
        except BaseException:
            self._leave(hold)  # Ctrl-C may come between any two calls
            self._entered.release()
            raise
        hold.may_work = True  # no call from here on, and so no Ctrl-C
        return current.term

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        hold, term = self._hold, self._term
        assert hold is not None  # noqa: S101 - __enter__ came first
        hold.may_work = False  # before any call, and so before any Ctrl-C
        try:
            lost = term.is_lost
            self._keep(hold, error)
            if self.then_stop and not lost:
                self._lifecycle.end_for_good(term.number)
            last = self._leave(hold)
        except BaseException:
            self._keep(hold, error)
            self._leave(hold)  # once more, for what Ctrl-C has left undone
            raise
        self._entered.release()
        loss = lost and (
            error is None
            or (
                isinstance(error, BaseExceptionGroup)
                and self._lifecycle.is_of_loss(error, term)
            )
        )
        if loss or isinstance(error, LeadershipLostError | NotLeaderError):
            _let_signal_end()
        if loss:
            raise term.loss() from error
        if last and (error is None or isinstance(error, Exception)):
            self._wait_for_release(term.number)

    def _keep(self, hold: WorkItem, error: BaseException | None) -> None:
        """Hold the term for the threads that an interrupted body has left behind."""
        if not self._lifecycle.forked:
            keep_if_torn(hold, self._beginning, error, self._lifecycle.wake_waiting)

    def _leave(self, hold: WorkItem) -> bool:
        if self._call_context is not None:
            self._call_context.leave()
        return self._lifecycle.leave(hold)

    def _wait_for_release(self, number: int) -> None:
        lifecycle = self._lifecycle
        if lifecycle.call_context() is not None or lifecycle.forked:
            return  # something around this scope holds up the release
        try:
            _wait(
                lifecycle, lambda: lifecycle.is_over(number), lifecycle.stop_budget, ""
            )
        except TimeoutError:
            return  # stop() waits for as long as it takes


class Term(BaseTerm):
    """
    One uninterrupted leadership of one elector. It never comes back to life (G4).

    .. code-block:: python

        with elector.leadership() as term:
            while not term.lost.wait(timeout=1.0):
                term.ensure(2.0)
                write(row, fencing_token=term.fencing_token)
    """

    __slots__ = ("lost",)

    def __init__(
        self, lifecycle: Lifecycle[Any], *, number: int, fencing_token: int | None
    ) -> None:
        super().__init__(lifecycle, number=number, fencing_token=fencing_token)
        self.lost = Lost(lifecycle, self)
        """Set when the term ends."""

    def to_thread(
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
            return call.run_on_a_thread()
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

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the term has ended, ``timeout`` seconds at most; tell if it has."""
        recheck_after = self._term.remaining
        try:
            return _wait(
                self._lifecycle, self.is_set, timeout, "", recheck_after=recheck_after
            )
        except TimeoutError:
            return self.is_set()


def _wait(
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
    wake_ups = native.wake_ups()
    until = None if timeout is None else time.monotonic() + timeout
    waiter = partial(wake_ups.put, None)
    lifecycle.add_waiter(waiter)
    try:
        while True:
            found = check()
            if found:
                return found
            pause = (
                LONGEST_WAIT
                if recheck_after is None
                else min(LONGEST_WAIT, recheck_after())
            )
            if until is not None:
                left = until - time.monotonic()
                if left <= 0.0:
                    raise lifecycle.no_time_left(
                        f"{call} did not return", timeout or 0.0
                    )
                pause = min(pause, left)
            wake_ups.wait(max(0.0, pause))
    except NotLeaderError as error:
        stopped = error
    finally:
        lifecycle.remove_waiter(waiter)
        wake_ups.close()
    _let_signal_end()
    raise stopped


def _wait_for_signal(seconds: float) -> None:
    """
    Wait until a signal ends this thread, so many seconds at most.

    A little at a time: Python acts on a signal that comes when a thread is about to wait
    in the kernel only when that wait is over.
    """
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0.0:
        threading.Event().wait(min(left, _GLANCE))


def _let_signal_end() -> None:
    """Let a signal that is to end this thread do so, rather than an error of the stop."""
    wait = 0.0 if is_inside_work() else shared_auto_close().longest_wait()
    if wait:
        _wait_for_signal(wait)  # ended by it


def _end_with_signal() -> None:
    """Give signals back; let one that is about to end this thread do so here."""
    wait = shared_auto_close().longest_wait(stopped=True)
    if wait:
        _wait_for_signal(wait)
    shared_auto_close().take_back()
