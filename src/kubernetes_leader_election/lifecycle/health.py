"""What probes ask of an elector: is it well, and is it in the race?"""

from __future__ import annotations

from typing import Any

from kubernetes_leader_election.leadership import Health
from kubernetes_leader_election.lifecycle.lifecycle import Lifecycle


def health_of(lifecycle: Lifecycle[Any]) -> Health:
    """Return whether an elector works. Any thread; never blocks."""
    problem = _problem(lifecycle)
    return Health(problem=problem, absence=problem or _absence(lifecycle))


def _problem(lifecycle: Lifecycle[Any]) -> str:
    if not lifecycle.running or lifecycle.forked:
        return ""  # there is nothing that could work
    probe = lifecycle.probe
    if probe is not None and probe.is_stuck:
        limit = lifecycle.settings.liveness_timeout_sec
        return f"the application has shown no sign of life for {limit:g} s"
    from kubernetes_leader_election.engine.engine import shared_engine  # noqa: PLC0415 - half of the import, needed by who starts only

    return shared_engine().problem()


def _absence(lifecycle: Lifecycle[Any]) -> str:
    if lifecycle.forked:
        return "the elector belongs to the parent process"
    if not lifecycle.running:
        return "the elector has stopped" if lifecycle.number else "not started yet"
    if lifecycle.stopping:
        return "stopping"
    return "" if lifecycle.has_looked else "the Lease has not been seen yet"
