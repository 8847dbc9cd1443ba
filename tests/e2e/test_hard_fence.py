"""Work that nothing can stop, in real processes: the kernel ends them at the hard limit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.hard_fence import (
    ATTACKS,
    FREEZES,
    KINDS,
    LIMITS,
    PATIENCE,
    PRELUDE,
    SLOTS,
    TIMES,
    UNSHARE,
    trial,
    why_impossible,
)
from lacking import leave_out

from kubernetes_leader_election.testing import LeaseServer

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

THAWED = 1.0
"""Seconds that a busy machine may take to run the thread that ends a thawed process 1."""
NO_MARKS = frozenset({"gil-asleep"})
"""Attacks in which the work sleeps in C: only the end of the process shows its end."""


def need(attack: str, kind: str) -> None:
    """Skip a test that this machine cannot run; fail in CI."""
    if why := why_impossible(attack, kind):
        leave_out(why)


@pytest.mark.row(
    "Signals, exit, fork", "work still runs at the hard limit, `hard_fence=True`"
)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_work_that_does_not_stop_is_ended_before_the_hard_limit(
    attack: str, kind: str
) -> None:
    """Faults 02, 05, 06 and 09: also as process 1, which a SIGKILL from inside spares (G2)."""
    need(attack, kind)
    found = trial(attack, kind)
    assert found.code == (64 if kind == "first" else -9)
    if attack in FREEZES:
        # Others may lead by then: what is let go on does no step, or hardly one.
        assert found.after_thaw <= (THAWED if kind == "first" else 0.0)
    elif attack not in NO_MARKS:
        assert found.last_mark < found.limit
    else:
        # Seen from outside, so late by what the machine is busy with; it would else
        # have slept until then.
        asleep = found.last_mark + 2 * TIMES["lease_duration_sec"]
        assert found.death < (found.limit + asleep) / 2
    if attack not in FREEZES:
        assert found.limit - found.last_mark < LIMITS.hard_limit + 1.0


BETWEEN_JOBS = """
import signal
elector = sync.Elector(**options())
with elector:
    elector.wait_until_leading()
    with elector.guard():
        say(b"job")
    say(b"attack")
    {attack}
    say(b"lives")
"""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "attack",
    ["ctypes.PyDLL(None).sleep({seconds})", "work_on(0, now(BOOTTIME) + {seconds})"],
    ids=["gil", "main thread"],
)
def test_process_without_work_is_left_alone(
    attack: str, kind: str, tmp_path: Path
) -> None:
    """Between two jobs, and after the last one, a process may stand still for long."""
    need(attack, kind)
    seconds = 2 * TIMES["lease_duration_sec"]
    source = PRELUDE + BETWEEN_JOBS.format(attack=attack.format(seconds=seconds))
    command = [*(UNSHARE if kind == "first" else ()), sys.executable, "-c", source]
    marks = tmp_path / "marks"
    marks.write_bytes(bytes(8 * SLOTS))
    with LeaseServer() as server:
        done = subprocess.run(
            command,
            check=False,
            stdout=subprocess.PIPE,
            env={**os.environ, **environment(server, str(marks))},
            timeout=PATIENCE,
        )
    assert done.stdout.split() == [b"job", b"attack", b"lives"]
    assert done.returncode == 0


def environment(server: LeaseServer, path: str) -> dict[str, str]:
    """Give the variables of a program that marks its steps in a file."""
    return {"MARKS": path, "LEASE": "fenced", "LEASE_URL": server.url}
