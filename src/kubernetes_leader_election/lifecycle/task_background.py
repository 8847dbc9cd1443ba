"""Work of the leader beside something else, as a task of asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from kubernetes_leader_election.lifecycle.background import Progress
from kubernetes_leader_election.lifecycle.preconditions import refuse_started


class Background:
    """
    Work of the leader that goes on beside the body of this block; see ``background()``.

    Leaving the block, or ``stop()``, stops the elector, waits for the work, and raises
    again what the work raised.
    """

    def __init__(
        self,
        progress: Progress,
        *,
        start: Callable[[], Awaitable[object]],
        lead: Callable[[], Coroutine[Any, Any, object]],
        stop: Callable[[float | None], Awaitable[object]],
    ) -> None:
        self._progress = progress
        self._start = start
        self._lead = lead
        self._stop = stop
        self._task: asyncio.Task[object] | None = None
        """Does the work; None: it was not started yet."""

    @property
    def running(self) -> bool:
        """Whether the work goes on, or is to: false once it is done, failed or stopped."""
        task = self._task
        forked = self._progress.lifecycle.forked
        return task is not None and not task.done() and not forked

    @property
    def last_error(self) -> Exception | None:
        """What the work raised last; None: it has not failed. Kept when it is restarted."""
        return self._progress.restarts.last_error

    async def start(self) -> Self:
        """
        Start the elector, and have the work done whenever it leads; return the handle.

        For programs without a block around what they do, as hooks of servers.

        Raises:
            ProtocolMisuseError: started already, or inherited by a child process.
            Exception: as ``start()`` of the elector.

        """
        refuse_started(self._progress.lifecycle, "background()")
        await self._start()
        self._task = asyncio.create_task(
            self._lead(), name=f"background({self._progress.restarts.name})"
        )
        self._task.add_done_callback(self._ended)
        return self

    async def stop(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as the elector's
        """
        Stop the elector, wait for the work, and raise again what it raised.

        Idempotent. Called by the work itself it does not wait; nor does it do anything
        in a child process.

        Args:
            timeout: Seconds to wait for the work at most; the stop goes on anyway.

        Raises:
            TimeoutError: the work is still alive; the Lease is renewed as long.
            Exception: what the work raised.

        """
        if self._progress.lifecycle.forked:
            return
        await self._stop(timeout)
        task = self._task
        if task is not None and task is not asyncio.current_task():
            await asyncio.wait({task})
            await asyncio.sleep(0)  # the callback below comes first
            self._progress.raise_again()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._progress.error = None  # logged; that of the body comes first
        await self.stop()

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._progress.end(None if task.cancelled() else task.exception())
