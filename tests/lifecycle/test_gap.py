"""Both fronts tell alike for how long nobody led: in the event, and in the metrics."""

from __future__ import annotations

import queue

import pytest

from kubernetes_leader_election.observability.metrics import Metrics
from tests.lifecycle.stages import PATIENCE


def test_both_fronts_say_for_how_long_nobody_led_and_why(front, client):
    """Of the first leader nothing is known; of the next it is the release."""
    metrics, told = Metrics(), queue.SimpleQueue()
    first, second = front.elector(identity="a"), front.elector(identity="b")
    metrics.watch(second)  # first: handlers are called in this order
    for elector in (first, second):
        elector.on("leadership_acquired", told.put)
    first.start()
    began = told.get(timeout=PATIENCE)
    assert (began.identity, began.gap_sec, began.why) == ("a", None, None)
    second.start()
    second.wait_for_leader(timeout=PATIENCE)
    first.stop(timeout=PATIENCE)
    began = told.get(timeout=PATIENCE)
    assert (began.identity, began.why) == ("b", "release")
    assert 0.0 <= began.gap_sec < PATIENCE
    text = metrics.text()
    (counted,) = (line for line in text.splitlines() if "gap_seconds_sum{" in line)
    assert 'why="release"' in counted
    assert float(counted.split()[-1]) == pytest.approx(began.gap_sec, abs=1e-3)
