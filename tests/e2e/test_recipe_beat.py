"""Celery's `LeaderScheduler` at a freeze: never do two beats send."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import datetime

import pytest
from controlplane.processes import wait_until
from server_programs import PATIENCE, Running
from test_recipe_crashes import copy, fast, programs, replica, server, variables
from test_recipes import RECIPES, check_end, first_and_second, wait_for_work, works

__all__ = ["copy", "fast", "programs", "replica", "server", "variables"]

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

BEAT = RECIPES["celery"]


def sent(beat: Running) -> list[float]:
    """Return when it sent a task, by the clock of its log."""
    return [
        datetime.strptime(line[1:24], "%Y-%m-%d %H:%M:%S,%f").astimezone().timestamp()
        for line in beat.lines
        if BEAT.works in line
    ]


def wait_for_more(beat: Running) -> None:
    """Wait until it has sent two more tasks."""
    before = works(BEAT, beat)
    wait_until(
        lambda: works(BEAT, beat) >= before + 2, within=PATIENCE, what="it sends"
    )


@pytest.mark.parametrize("name", ["celery"])
def test_beat_that_was_frozen_sends_nothing_when_it_thaws(
    fast: Callable[..., Running], name: str
) -> None:
    """Another one sends by then; the first one leads no more, and waits for its turn."""
    first, second = first_and_second(BEAT, lambda: fast(BEAT))
    # Right after a task nothing is under way: what is cannot be taken back.
    wait_for_more(first)
    first.process.send_signal(signal.SIGSTOP)
    before = works(BEAT, first)
    wait_for_work(BEAT, second)
    first.process.send_signal(signal.SIGCONT)
    wait_until(
        lambda: any("lost leadership" in line for line in first.lines),
        within=PATIENCE,
        what="the first one sees that it leads no more",
    )
    wait_for_more(second)
    assert works(BEAT, first) == before
    second.process.send_signal(signal.SIGTERM)
    check_end(BEAT, second, signal.SIGTERM)
    wait_for_more(first)
    assert max(sent(second)) < sent(first)[before]
    first.process.send_signal(signal.SIGTERM)
    check_end(BEAT, first, signal.SIGTERM)
