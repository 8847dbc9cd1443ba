"""A thread with an event loop of its own: what the servers of the kit run in."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, ClassVar, Self, TypeVar

from kubernetes_leader_election.errors import ProtocolMisuseError

__all__ = ["PATIENCE", "LoopThread"]

Result = TypeVar("Result")
PATIENCE = 10.0
"""Seconds a call from another thread waits for this one."""


class LoopThread(ABC):
    """Serve in a thread of its own, from ``start()`` to ``stop()``; callers wait for it."""

    what: ClassVar[str]
    """How messages name it; its thread is named so, too."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        """The loop of the thread, once it has one."""
        self._stopping: asyncio.Event | None = None
        """Set to end the thread."""
        self._thread: threading.Thread | None = None
        """The thread, from start() to stop()."""

    @abstractmethod
    async def serve(self, ready: Callable[[], None], stopping: asyncio.Event) -> None:
        """Set up, call ``ready``, go on until ``stopping`` is set, and tidy up."""

    def start(self) -> Self:
        """
        Begin to serve; returns once that has succeeded.

        Raises:
            ProtocolMisuseError: It runs already.
        """
        if self._thread is not None:
            raise ProtocolMisuseError(f"the {self.what} runs already")
        ready: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(ready,), name=self.what, daemon=True
        )
        self._thread.start()
        ready.result(PATIENCE)
        return self

    def stop(self) -> None:
        """Drop every connection and end the thread; stopping twice is no error."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        assert self._loop is not None
        assert self._stopping is not None
        self._loop.call_soon_threadsafe(self._stopping.set)
        thread.join(PATIENCE)
        if thread.is_alive():
            raise TimeoutError(f"the {self.what} did not stop within {PATIENCE} s")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def run(
        self, coroutine: Coroutine[Any, Any, Result], *, within: float = PATIENCE
    ) -> Result:
        """
        Run a coroutine in the thread and give its result.

        Raises:
            ProtocolMisuseError: It does not run.
        """
        if self._thread is None or self._loop is None:
            coroutine.close()
            raise ProtocolMisuseError(f"the {self.what} does not run")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(within)

    def call(self, function: Callable[[], Result]) -> Result:
        """Run something in the thread and give its result."""

        async def inside() -> Result:
            return function()

        return self.run(inside())

    def _run(self, ready: Future[None]) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._main(ready))
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    async def _main(self, ready: Future[None]) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        await self.serve(lambda: ready.set_result(None), self._stopping)
