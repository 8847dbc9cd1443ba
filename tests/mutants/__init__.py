"""
Mistakes planted in engine, Lease API client, fronts and command line, one at a time.

``make mutants`` plants each and runs the tests that have to notice it. The core has
others, in tests/simulation/planted_bugs.py, which the simulator has to find; here are
those of what it tells people alone.
"""

from __future__ import annotations

from tests.mutants import (
    announcing,
    command_line,
    endings,
    engine,
    fencing,
    fronts,
    gap,
    health,
    jobs,
    kube_api,
    looking,
    pods,
    signals_and_exit,
)

MISTAKES = [
    *engine.MISTAKES,
    *kube_api.MISTAKES,
    *looking.MISTAKES,
    *pods.MISTAKES,
    *announcing.MISTAKES,
    *fronts.MISTAKES,
    *gap.MISTAKES,
    *health.MISTAKES,
    *signals_and_exit.MISTAKES,
    *endings.MISTAKES,
    *fencing.MISTAKES,
    *jobs.MISTAKES,
    *command_line.MISTAKES,
]
