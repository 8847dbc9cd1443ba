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

from collections.abc import Callable, Iterator
from functools import partial
from typing import Self, TypeVar

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
    refuse_what_cannot_ask,
)
from kubernetes_leader_election.lifecycle.awaited import fresh_state, leading
from kubernetes_leader_election.lifecycle.background import Background, Progress
from kubernetes_leader_election.lifecycle.base_elector import BaseElector, seconds_of
from kubernetes_leader_election.lifecycle.call_context import (
    CallContext,
)
from kubernetes_leader_election.lifecycle.guard import Guard, Jobs
from kubernetes_leader_election.lifecycle.handlers import name_of
from kubernetes_leader_election.lifecycle.kinds_of_work import (
    is_coroutine_function,
    refuse_awaitable,
    refuse_what_needs_a_loop,
)
from kubernetes_leader_election.lifecycle.notifier import Dispatcher
from kubernetes_leader_election.lifecycle.preconditions import (
    refuse_child,
    refuse_started,
    refuse_unstarted,
    still_alive,
)
from kubernetes_leader_election.lifecycle.restarts import Restart, Restarts
from kubernetes_leader_election.lifecycle.thread_dispatcher import ThreadDispatcher
from kubernetes_leader_election.lifecycle.thread_scope import (
    Leadership,
    Lost,
    Term,
)
from kubernetes_leader_election.lifecycle.thread_waits import (
    end_with_signal,
    wait_for,
)
from kubernetes_leader_election.process.signals import shared_auto_close
from kubernetes_leader_election.settings.durations import Duration
from kubernetes_leader_election.settings.options import Settings

__all__ = ["Background", "Elector", "Guard", "Leadership", "Lost", "Term"]

_T = TypeVar("_T")


class Elector(BaseElector["Term"], Jobs["Term"]):
    """
    Take part in the election on a Lease.

    .. code-block:: python

        elector = Elector(lease_name="billing")

        @elector.on(elector.EVENTS.LEADERSHIP_LOST)
        def stop_billing(event): ...

        elector.run(bill)
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
            ConfigurationError: no namespace is known, or ``hard_fence`` cannot be had here.
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
        refuse_child(lifecycle)
        number = lifecycle.number  # before the look: a later life is not waited for
        if lifecycle.running:
            lifecycle.stop_called()
            self._await_end(lambda: lifecycle.has_ended(number), timeout)
        end_with_signal()

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
        refuse_unstarted(lifecycle, "step_down()", to_lead=True)
        current = lifecycle.current
        lifecycle.ask_to_step_down(seconds)
        if current is not None:
            number = current.term.number
            self._await_end(lambda: lifecycle.is_over(number), None)

    def wait_until_leading(self, timeout: float | None = None) -> Term:
        """
        Wait until this elector leads, and return the term.

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
        refuse_unstarted(lifecycle, call, to_lead=True)
        return wait_for(lifecycle, partial(leading, lifecycle, call), timeout, call)

    def wait_for_leader(self, timeout: float | None = None) -> str:
        """
        Wait until a leader is known, this one or another, and return its identity.

        Args:
            timeout: Seconds to wait at most.

        Raises:
            ProtocolMisuseError: not started, or inherited by a child process.
            NotLeaderError: stopped while waiting.
            TimeoutError: no leader is known yet; the last error is its cause.

        """
        lifecycle, call = self._lifecycle, "wait_for_leader()"
        refuse_unstarted(lifecycle, call, to_lead=False)
        return wait_for(lifecycle, partial(lifecycle.leader, call), timeout, call)

    def states(self) -> Iterator[ElectorState]:
        """
        Yield the present state, then each one that differs, until the elector stops.

        Renewals alone make no new state. Who is slow gets the newest state, not all.
        """
        lifecycle, seen = self._lifecycle, None
        while seen is None or not lifecycle.was_last(seen):
            seen = wait_for(
                lifecycle, partial(fresh_state, lifecycle, seen), None, "states()"
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
        refuse_unstarted(self._lifecycle, "leadership()", to_lead=True)
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
        refuse_started(lifecycle, "run()")
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
            # A handler of signals, between the calls that enter or leave some work.
            call_context = CallContext(lifecycle, work=current.work, is_scope=True)
        if call_context is None:
            try:
                wait_for(
                    lifecycle,
                    lambda: over() or lifecycle.shutdown.is_left_to_exit(),
                    timeout,
                    "",
                )
            except TimeoutError:
                error = still_alive(lifecycle, timeout or 0.0)
                raise error from error.__cause__
        elif call_context.is_scope:
            # Only until `term.lost` is set: the body goes on from here.
            wait_for(lifecycle, lambda: call_context.is_over or over(), None, "")
