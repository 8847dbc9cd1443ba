"""
Work of the leader beside something else, such as a server: in a thread of its own.

The handle starts the elector and the thread, ends both, and raises again what the work
raised.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from kubernetes_leader_election.lifecycle.lifecycle import Lifecycle
from kubernetes_leader_election.lifecycle.preconditions import refuse_started
from kubernetes_leader_election.lifecycle.restarts import Restarts
from kubernetes_leader_election.process import native
from kubernetes_leader_election.process.exit import shared_main_thread_end


class Progress:
    """
    What is known of work in the background, and said of its end.

    Args:
        lifecycle: of its elector.
        restarts: decides over its failures.

    """

    def __init__(self, lifecycle: Lifecycle[Any], restarts: Restarts) -> None:
        self.lifecycle = lifecycle
        self.restarts = restarts
        self.error: BaseException | None = None
        """What ended the work; None: nothing did, or it was raised again."""

    def end(self, error: BaseException | None) -> None:
        """Stop the elector, which would lead on with no work, and say why."""
        lifecycle, name = self.lifecycle, self.restarts.name
        self.error = error
        if lifecycle.forked:
            return
        lifecycle.ask_to_stop()
        if error is not None:
            trace = "".join(traceback.format_exception(error))
            lifecycle.event_log.trouble(
                f"background({name}) has ended: this elector takes part no more, and the "
                "error is raised again where the block is left",
                trace,
            )
        elif self.restarts.done:
            lifecycle.event_log.say(
                "info",
                "%s: background(%s) is done: this elector takes part no more",
                lifecycle.where,
                name,
            )

    def raise_again(self) -> None:
        """Raise what ended the work, once."""
        error, self.error = self.error, None
        if error is not None:
            raise error


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
        start: Callable[[], object],
        lead: Callable[[], object],
        stop: Callable[[float | None], object],
    ) -> None:
        self._progress = progress
        self._start = start
        self._lead = lead
        self._stop = stop
        self._thread: threading.Thread | None = None
        """Does the work; None: it was not started yet."""

    @property
    def running(self) -> bool:
        """Whether the work goes on, or is to: false once it is done, failed or stopped."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    @property
    def last_error(self) -> Exception | None:
        """What the work raised last; None: it has not failed. Kept when it is restarted."""
        return self._progress.restarts.last_error

    def start(self) -> Self:
        """
        Start the elector, and have the work done whenever it leads; return the handle.

        For programs without a block around what they do, as hooks of servers.

        Raises:
            ProtocolMisuseError: started already, or inherited by a child process.
            Exception: as ``start()`` of the elector.

        """
        lifecycle = self._progress.lifecycle
        refuse_started(lifecycle, "background()")
        self._start()
        # The exit asks it to end, and waits for it (G5).
        name = f"background({self._progress.restarts.name})"
        thread = native.work_thread(self._run, name=name)
        try:
            shared_main_thread_end().watch(lifecycle.ask_to_stop)
            thread.start()
        except BaseException:
            lifecycle.ask_to_stop()
            raise
        self._thread = thread
        return self

    def stop(self, timeout: float | None = None) -> None:
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
        self._stop(timeout)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
            self._progress.raise_again()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._progress.error = None  # logged; that of the body comes first
        self.stop()

    def _run(self) -> None:
        error = None
        try:
            self._lead()
        except BaseException as raised:  # noqa: BLE001 - raised again by stop()
            error = raised
        self._progress.end(error)
        shared_main_thread_end().forget(self._progress.lifecycle.ask_to_stop)
