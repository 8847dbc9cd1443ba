"""The thread that writes log lines: a log that stands still holds up nothing else."""

from __future__ import annotations

from typing import Final

from kubernetes_leader_election.process.fork import PerProcess
from kubernetes_leader_election.process.timers import TimerThread

_LOG: Final = "leader-election-log"
shared_log_thread: Final = PerProcess(lambda: TimerThread(_LOG))
"""Return the log lines of this process, which may stand still."""
