"""Signals that need root, or minutes: as process 1, and at 200 random instants."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys

import pytest
from tests.lifecycle import nursery
from tests.lifecycle.conftest import lease_api, program
from tests.lifecycle.test_signals import ON_A_LOOP, ON_A_THREAD

__all__ = ["lease_api", "program"]

pytestmark = pytest.mark.e2e


def can_unshare():
    """Tell whether this machine lets us make a process 1 of our own."""
    command = ["unshare", "--pid", "--fork", "true"]
    return shutil.which("unshare") is not None and (
        subprocess.run(command, check=False, capture_output=True).returncode == 0
    )


@pytest.mark.skipif(not can_unshare(), reason="unshare --pid needs root")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("source", [ON_A_LOOP, ON_A_THREAD], ids=["a loop", "a thread"])
def test_signal_ends_a_program_that_is_process_one(program, source, number):
    """Fault 14: the kernel's default action does not end process 1; ours does."""
    running = program(
        source,
        command=[
            *("unshare", "--pid", "--fork", "--kill-child"),
            *(sys.executable, "-c", WITH_PID),
        ],
    )
    said = running.wait_for("pid")
    assert said.split()[1] == "1"
    running.wait_for("leads")
    running.send_to_child(number)
    # unshare passes the end of its child on; KeyboardInterrupt ends process 1 by 130.
    assert running.finish() in {143, 130}
    assert running.said[-1] == "finally"
    assert running.holder == ""


WITH_PID = """
import os, sys
os.write(1, f"pid {os.getpid()}\\n".encode())
exec(sys.argv[1])
"""


@pytest.mark.parametrize("seed", range(10))
def test_signal_at_200_random_instants_ends_in_good_order(program, seed):
    """Fault 13: while acquiring, renewing and releasing, some of them twice."""
    nursery.play(program, rounds=20, seed=1000 + seed)
