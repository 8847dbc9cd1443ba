"""The programs of these tests leave nothing behind, and hold no test up."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.lifecycle import programs
from tests.lifecycle.programs import Program

WITH_A_CHILD = """
child = os.fork()
if child == 0:
    live_on()
say("child", child)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux", reason="who has the pipe is looked up in /proc"
)
def test_child_that_a_program_leaves_behind_is_ended_and_named(lease_api, monkeypatch):
    """It has the pipe that is read: the test waited for its end, for ever."""
    monkeypatch.setattr(programs, "WITHOUT_PARENT", 0.1)
    running = Program(lease_api, "l-left", WITH_A_CHILD)
    child = running.wait_for("child").split()[1]
    with pytest.raises(AssertionError, match=rf"left processes behind: \[{child}\]"):
        running.close()
    running.close()
    assert not Path(f"/proc/{child}/fd/1").exists()
