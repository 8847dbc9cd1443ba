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
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Self, TypeVar

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
from kubernetes_leader_election.lifecycle.awaited import fresh_state, leading
from kubernetes_leader_election.lifecycle.background import Progress
from kubernetes_leader_election.lifecycle.base_elector import BaseElector, seconds_of
from kubernetes_leader_election.lifecycle.kinds_of_work import (
    refuse_no_awaitable,
    refuse_what_would_block,
)
from kubernetes_leader_election.lifecycle.notifier import Dispatcher
from kubernetes_leader_election.lifecycle.preconditions import (
    refuse_child,
    refuse_started,
    refuse_unstarted,
    still_alive,
)
from kubernetes_leader_election.lifecycle.restarts import Restart, Restarts
from kubernetes_leader_election.lifecycle.task_background import Background
from kubernetes_leader_election.lifecycle.task_cancellation import (
    call_on_loop,
    is_of_loss,
)
from kubernetes_leader_election.lifecycle.task_guard import Guard, TaskJobs
from kubernetes_leader_election.lifecycle.task_scope import (
    Leadership,
    Lost,
    Term,
)
from kubernetes_leader_election.lifecycle.task_waits import (
    end_with_signal,
    running_loop,
    wait_for,
)
from kubernetes_leader_election.process.signals import shared_auto_close
from kubernetes_leader_election.settings.durations import Duration

__all__ = ["Background", "Elector", "Guard", "Leadership", "Lost", "Term"]

_T = TypeVar("_T")


class Elector(BaseElector["Term"], TaskJobs["Term"]):
    """
    Take part in the election on a Lease.

    .. code-block:: python

        elector = Elector(lease_name="billing")

        @elector.on(elector.EVENTS.LEADERSHIP_LOST)
        async def stop_billing(event): ...

        await elector.run(bill)
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
            ConfigurationError: no namespace is known, or ``hard_fence`` cannot be had here.
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
        refuse_child(lifecycle)
        number = lifecycle.number  # before the look: a later life is not waited for
        if lifecycle.running:
            lifecycle.stop_called()
            await self._await_end(lambda: lifecycle.has_ended(number), timeout)
        await end_with_signal()

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
        refuse_unstarted(lifecycle, "step_down()", to_lead=True)
        current = lifecycle.current
        lifecycle.ask_to_step_down(seconds)
        if current is not None:
            number = current.term.number
            await self._await_end(lambda: lifecycle.is_over(number), None)

    async def wait_until_leading(self, timeout: float | None = None) -> Term:
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
        return await wait_for(
            lifecycle, partial(leading, lifecycle, call), timeout, call
        )

    async def wait_for_leader(self, timeout: float | None = None) -> str:
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
        return await wait_for(lifecycle, partial(lifecycle.leader, call), timeout, call)

    async def states(self) -> AsyncIterator[ElectorState]:
        """
        Yield the present state, then each one that differs, until the elector stops.

        Renewals alone make no new state. Who is slow gets the newest state, not all.
        """
        lifecycle, seen = self._lifecycle, None
        while seen is None or not lifecycle.was_last(seen):
            seen = await wait_for(
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
        refuse_started(lifecycle, "run()")
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
                        if not is_of_loss(lifecycle, error, term):
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
        loop = running_loop()

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
                await wait_for(
                    lifecycle,
                    lambda: over() or lifecycle.shutdown.is_left_to_exit(),
                    timeout,
                    "",
                )
            except TimeoutError:
                error = still_alive(lifecycle, timeout or 0.0)
                raise error from error.__cause__
        elif call_context.is_scope:
            # The loss cancels the body, and so whoever waits here.
            await wait_for(lifecycle, lambda: call_context.is_over or over(), None, "")
            await asyncio.sleep(0)  # it was told so: on the loop, that comes first
