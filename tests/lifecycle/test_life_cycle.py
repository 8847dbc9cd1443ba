"""Both fronts keep every row of docs/life-cycle.md."""

from __future__ import annotations

import pytest

from tests.lifecycle import stage_asyncio, stage_threads
from tests.lifecycle.life_cycle import code, table
from tests.lifecycle.stages import holder

FRONTS = {"asyncio": stage_asyncio.Stage, "threads": stage_threads.Stage}
ROWS = [tuple(map(code, row[:4])) for row in table("State, call and elector")]

IN_THE_END = {
    ("stopped", "run(main)"): "returns",
    ("candidate", "leadership()"): "returns",
    ("candidate", "wait_until_leading()"): "returns",
    ("working", "stop()"): "returns",
    ("working", "step_down()"): "returns",
    ("asked", "stop()"): "returns",
    ("asked", "step_down()"): "returns",
    ("guarded", "leadership()"): "returns",
    ("guarded", "stop()"): "returns",
    ("guarded", "step_down()"): "returns",
    ("draining", "stop()"): "returns",
    ("draining", "step_down()"): "returns",
    ("draining", "leadership()"): "returns",
    ("draining", "wait_until_leading()"): "returns",
}
"""How calls that wait end when the rival has released, or the work has ended."""


def cases():
    """Give every row once for each front, with a readable id."""
    for state, call, *endings in ROWS:
        for front, expected in zip(FRONTS, endings, strict=True):
            yield pytest.param(
                front, state, call, expected, id=f"{front}: {call} while {state}"
            )


@pytest.mark.parametrize(("front", "state", "call", "expected"), list(cases()))
def test_elector_does_what_the_page_says(client, front, state, call, expected):
    """A row of the table: what one call does in one state, on one front."""
    waits = expected == "waits"
    ending = FRONTS[front](client).play(state, call, waits=waits)
    assert ending.matches(expected), ending
    if waits:
        assert ending.after.matches(IN_THE_END[state, call]), ending
    if expected == "cancelled":
        assert ending.block == "LeadershipLostError"
    if (state, call, expected) in {
        ("own scope", "stop()", "returns"),
        ("own scope", "step_down()", "returns"),
    }:
        assert ending.lost
        assert ending.block == "LeadershipLostError"
    # Whatever happened, the Lease is not kept once all is over.
    assert holder(client) in {"", "rival"}
