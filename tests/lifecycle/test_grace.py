"""The grace of a planned stop: when a task is asked, cancelled, and cancelled again."""

from __future__ import annotations

import asyncio
import selectors
from types import SimpleNamespace

import pytest

from kubernetes_leader_election.lifecycle.task_cancellation import TaskCancellation

BUDGET = 1.0
NEVER = float("inf")


class InNoTime(selectors.DefaultSelector):
    """Wait for nothing: the time of the loop goes on instead."""

    def select(self, timeout=None):
        ready = super().select(0)
        assert ready or timeout is not None, "nothing is due any more"
        if not ready:
            self.loop.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock only moves when everybody waits."""

    def __init__(self):
        self.now = 0.0
        selector = InNoTime()
        super().__init__(selector)
        selector.loop = self

    def time(self):
        return self.now


def cancellations(*, grace, lost_at, planned=True, ask=None, until=400.0):
    """Give the instants of the first two cancellations of a task that goes on."""
    instants, found = [], []

    async def go_on():
        while len(instants) < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                instants.append(asyncio.get_running_loop().time())

    async def main():
        loop = asyncio.get_running_loop()
        term = SimpleNamespace(
            reason="stopped" if planned else "another_holder",
            remaining=lambda: max(0.0, lost_at - loop.time()),
        )
        lifecycle = SimpleNamespace(
            stop_budget=BUDGET,
            grace=grace,
            overdue_work=SimpleNamespace(expect_end=lambda _: None),
        )
        task = asyncio.create_task(go_on())
        await asyncio.sleep(0)  # it begins
        end = TaskCancellation(lifecycle, term, task, before=0, ask=ask)
        end.begin()
        await asyncio.wait({task}, timeout=until)
        end.end()
        found.extend(instants)
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)  # it has its turn

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
    return found


def asked(failed):
    """Ask the work; it goes on all the same."""


@pytest.mark.parametrize(
    ("grace", "lost_at", "ask", "expected"),
    [
        pytest.param(20, NEVER, None, [0, 20], id="the Lease is held: the grace"),
        pytest.param(20, 7.003, None, [0, 7.003], id="the network goes meanwhile"),
        pytest.param(20, 0.2, None, [0, 0.5], id="it goes at once: half of the budget"),
        pytest.param(0, NEVER, None, [0, 1], id="no grace: the stop budget"),
        pytest.param(NEVER, NEVER, None, [0], id="for ever"),
        pytest.param(NEVER, 300, None, [0, 300], id="for ever, until it is lost"),
        pytest.param(20, NEVER, asked, [20, 21], id="asked: cancelled after the grace"),
        pytest.param(20, 7.003, asked, [7.003, 7.503], id="asked, and it goes"),
        pytest.param(NEVER, NEVER, asked, [], id="asked, and it may take for ever"),
        pytest.param(
            20, NEVER, lambda failed: failed(), [0, 20], id="asking it has failed"
        ),
    ],
)
def test_planned_stop_lets_work_have_its_grace(grace, lost_at, ask, expected):
    """G2, G5: never past the renew deadline or a proof of loss; the rest is S."""
    found = cancellations(grace=grace, lost_at=lost_at, ask=ask)
    assert found == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize("ask", [None, asked], ids=["not asked", "asked"])
def test_loss_that_nobody_planned_does_not_wait_for_the_grace(ask):
    """G2: at once, and again after half of the stop budget; nobody is asked."""
    found = cancellations(grace=20, lost_at=0, planned=False, ask=ask)
    assert found == pytest.approx([0, BUDGET / 2], abs=0.001)
