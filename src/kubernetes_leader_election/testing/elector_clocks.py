"""The clocks of this process's electors, moved on order: a suspend without the wait."""

from __future__ import annotations

import threading
from typing import Self

from kubernetes_leader_election.core.timing import Now
from kubernetes_leader_election.engine.clocks import SystemClock
from kubernetes_leader_election.engine.engine import shared_engine
from kubernetes_leader_election.errors import ProtocolMisuseError
from kubernetes_leader_election.process.process_end import EndTimer

__all__ = ["ElectorClocks"]


class ElectorClocks:
    """
    Let electors of this process, and nothing else, read clocks that were moved.

    The clocks go on by themselves; what is added to them stays until the block ends.
    ``current_leader``, ``remaining()`` and ``ensure()`` know at once, and a leader's
    events follow: as after a real jump, the engine is woken to look at the clocks.
    The hard fence, which goes by the kernel's clocks, ends nothing in the block: the
    process that it would end is that of the tests.

    .. code-block:: python

        with ElectorClocks() as clocks:
            elector.start()
            elector.wait_until_leading(10)
            clocks.suspend(60)              # the lid was closed for a minute
            assert not elector.current_leader
    """

    _installed = threading.Lock()

    def __init__(self) -> None:
        self._boottime = 0.0
        self._monotonic = 0.0
        self._wall = 0

    def suspend(self, seconds: float) -> None:
        """Sleep as a whole machine: CLOCK_MONOTONIC stands still, the others go on."""
        self._boottime += seconds
        self.step_wall(seconds)

    def pause(self, seconds: float) -> None:
        """Pause as a virtual machine does: only the wall clock tells afterwards."""
        self.step_wall(seconds)

    def elapse(self, seconds: float) -> None:
        """Let time go by on all clocks, as for a process that got no processor."""
        self._monotonic += seconds
        self.suspend(seconds)

    def step_wall(self, seconds: float) -> None:
        """Step the wall clock, forward or back."""
        self._wall += round(seconds * 1_000_000)
        shared_engine().look()  # the kernel, which tells of real jumps, knows nothing

    def __enter__(self) -> Self:
        """
        Take the clocks' place.

        Raises:
            ProtocolMisuseError: others have it already.
        """
        if not self._installed.acquire(blocking=False):
            raise ProtocolMisuseError("The clocks of this process are moved already.")
        self._real = SystemClock.now
        real = self._real

        def moved(clock: SystemClock) -> Now:
            now = real(clock)
            return Now(
                now.boottime + self._boottime,
                now.monotonic + self._monotonic,
                now.wall + self._wall,
            )

        SystemClock.now = moved  # type: ignore[assignment, method-assign]
        self._arm = EndTimer.arm
        EndTimer.arm = _never  # type: ignore[assignment, method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        """Give the real clocks back."""
        SystemClock.now = self._real  # type: ignore[method-assign]
        EndTimer.arm = self._arm  # type: ignore[method-assign]
        self._installed.release()


def _never(timer: EndTimer, *, boottime: float, wall: float) -> None:
    """End nothing, at whatever time."""
