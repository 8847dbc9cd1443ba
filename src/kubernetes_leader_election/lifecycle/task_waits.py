"""Wait on an event loop for news of an elector, or for the end of a signal."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from kubernetes_leader_election.errors import (
    NotLeaderError,
    ProtocolMisuseError,
)
from kubernetes_leader_election.lifecycle.call_context import (
    is_inside_work,
)
from kubernetes_leader_election.lifecycle.lifecycle import Lifecycle
from kubernetes_leader_election.lifecycle.preconditions import no_time_left
from kubernetes_leader_election.lifecycle.task_cancellation import (
    call_on_loop,
)
from kubernetes_leader_election.process.signals import shared_auto_close

_T = TypeVar("_T")


async def wait_for(
    lifecycle: Lifecycle[Any],
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
    loop, changed = running_loop(), asyncio.Event()
    waiter = partial(call_on_loop, loop, changed.set)
    lifecycle.waiters.add(waiter)
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
        error = no_time_left(lifecycle, f"{call} did not return", timeout or 0.0)
        raise error from error.__cause__
    except NotLeaderError as error:
        stopped = error
    finally:
        lifecycle.waiters.remove(waiter)
    await let_signal_end(lifecycle)
    raise stopped


def running_loop() -> asyncio.AbstractEventLoop:
    """
    Return the event loop that runs here.

    Raises:
        ProtocolMisuseError: none does, as under trio.

    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise _not_of_asyncio("no event loop of asyncio runs here") from None


def present_task() -> asyncio.Task[Any]:
    """
    Return the task that runs here, which a loss cancels.

    Raises:
        ProtocolMisuseError: none does, as where trio runs a coroutine for asyncio.

    """
    task = None
    with contextlib.suppress(RuntimeError):  # no loop of asyncio runs here
        task = asyncio.current_task()
    if task is None:
        raise _not_of_asyncio("no task of asyncio runs here")
    return task


def _not_of_asyncio(why: str) -> ProtocolMisuseError:
    return ProtocolMisuseError(
        f"this Elector is the one for asyncio, and {why}. Elsewhere, as under trio, use "
        "kubernetes_leader_election.sync.Elector in threads, such as those of "
        "trio.to_thread.run_sync: its calls block."
    )


def is_present(task: asyncio.Task[Any]) -> bool:
    """Return whether this task runs now; none does where Python frees a generator."""
    try:
        return asyncio.current_task() is task
    except RuntimeError:
        return False


async def let_signal_end(lifecycle: Lifecycle[Any]) -> None:
    """Let a signal that is to end this thread do so, rather than an error of the stop."""
    wait = 0.0 if is_inside_work() else shared_auto_close().longest_wait()
    if wait or lifecycle.shutdown.signalled:
        await asyncio.sleep(wait)  # ended by it; also by what asyncio has sent already


async def end_with_signal() -> None:
    """Give signals back; let one that is about to end this thread do so here."""
    wait = shared_auto_close().longest_wait(stopped=True)
    if wait:
        await asyncio.sleep(wait)
    shared_auto_close().take_back()
