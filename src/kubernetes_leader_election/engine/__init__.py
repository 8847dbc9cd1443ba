"""
The thread that drives elections, whatever the application's own threads do.

:class:`Driver` is one election of one front; all of a process share one engine.
"""

from kubernetes_leader_election.engine.clocks import Clock, SystemClock
from kubernetes_leader_election.engine.driver import Driver
from kubernetes_leader_election.engine.engine import Engine, shared_engine
from kubernetes_leader_election.engine.view import Listener, View

__all__ = [
    "Clock",
    "Driver",
    "Engine",
    "Listener",
    "SystemClock",
    "View",
    "shared_engine",
]
