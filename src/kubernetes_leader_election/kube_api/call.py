"""One call to the API server: its deadline, and the means to end it from outside."""

from __future__ import annotations

import contextlib
import math
import socket
import time
from collections.abc import Callable

from kubernetes_leader_election.kube_api.tls import Socket
from kubernetes_leader_election.process import native

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)


def boottime() -> float:
    """Read CLOCK_BOOTTIME in seconds; monotonic time where there is none."""
    if _BOOTTIME is None:
        return time.monotonic()
    return time.clock_gettime(_BOOTTIME)


class CallOverError(Exception):
    """Say inside this package that a call was abandoned or ran out of time."""


class Call:
    """
    Bound one request, from the lookup of the host name to the last byte of the body.

    The deadline is kept twice. From inside, every wait on the socket gets only the
    time that is left. From outside, :meth:`abandon` ends whatever wait is going on
    within a millisecond, so nothing here depends on the worker's own clock or on its
    being scheduled. Only a lookup that hangs in the resolver outlives the call; it
    ends without having sent anything.

    .. code-block:: python

        call = Call(deadline=boottime() + 2.5)
        result = client.get("default", "my-lease", call=call)
        # on any other thread, at any time:
        call.abandon()

    Args:
        deadline: Seconds on ``clock``; None for a call without end (a watch).
        option: The option that says how long it may last, to be named in errors.
        clock: What the deadline is measured on; CLOCK_BOOTTIME unless told.
    """

    __slots__ = (
        "_abandoned",
        "_began",
        "_clock",
        "_deadline",
        "_limit",
        "_lock",
        "_option",
        "_sock",
    )

    def __init__(
        self,
        *,
        deadline: float | None = None,
        option: str = "",
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._deadline = math.inf if deadline is None else deadline
        self._limit = math.inf
        self._clock = clock
        self._option = option
        self._began = clock()
        self._abandoned = False
        self._lock = native.Lock()
        self._sock: Socket | None = None

    @property
    def abandoned(self) -> bool:
        """Return whether :meth:`abandon` was called."""
        return self._abandoned

    def remaining(self) -> float | None:
        """Return the seconds left, never below 0; None for a call without end."""
        deadline = min(self._deadline, self._limit)
        return None if deadline == math.inf else max(0.0, deadline - self._clock())

    @property
    def spent(self) -> str:
        """Return how long it has lasted so far, in words, and by which option it may."""
        seconds = f"{self._clock() - self._began:.2f} s"
        return f"{seconds} ({self._option})" if self._option else seconds

    def limit(self, seconds: float | None) -> None:
        """Give what follows at most ``seconds`` from now; None takes that limit away."""
        self._limit = math.inf if seconds is None else self._clock() + seconds

    def abandon(self) -> None:
        """
        End the call now. Idempotent, never blocks, callable from any thread.

        The socket is shut down, not closed: its descriptor still belongs to the
        worker, which closes it when it has come back from its wait.
        """
        with self._lock:
            self._abandoned = True
            if self._sock is not None:
                _shut_down(self._sock)

    # For the worker -----------------------------------------------------------

    def check(self) -> float | None:
        """
        Go on only while the call lives; return the seconds left, as :meth:`remaining`.

        Raises:
            CallOverError: it was abandoned, or its deadline has passed.
        """
        if self._abandoned:
            raise CallOverError("the request was abandoned")
        left = self.remaining()
        if left == 0.0:
            raise CallOverError(f"the deadline passed after {self.spent}")
        return left

    def arm(self, sock: Socket) -> None:
        """
        Let the next wait on ``sock`` last no longer than the call.

        Raises:
            CallOverError: it was abandoned, or its deadline has passed.
        """
        left = self.check()
        # Never 0: that would make the socket non-blocking instead of timing out.
        sock.settimeout(None if left is None else max(left, 0.001))

    def attach(self, sock: Socket) -> None:
        """
        Name the socket that :meth:`abandon` shuts down.

        Raises:
            CallOverError: the call is over already.
        """
        with self._lock:
            self._sock = sock
        self.check()

    def detach(self) -> None:
        """Forget the socket: from here on its descriptor may be closed or reused."""
        with self._lock:
            self._sock = None


def _shut_down(sock: Socket) -> None:
    # Not connected (yet, or any more) is no error: the wait has ended all the same.
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
