"""
What both stages share: a Lease in memory, the calls, and how a call ended.

A stage brings an elector into a state of docs/life-cycle.md, makes a call there, and
says how it ended. There is one for asyncio and one for threads.
"""

from __future__ import annotations

import os
import pickle
import warnings
from dataclasses import dataclass

from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.events import EVENTS
from kubernetes_leader_election.leadership import NOT_LEADER, Skipped

PATIENCE = 30.0
"""Seconds until a test that should have gone on fails."""
FAST = {"renew_interval_ms": 100, "lease_duration_sec": 2}
"""A term that the clock ends soon, 1.2 s after a renewal: for tests of that alone."""
STEADY = {"renew_interval_ms": 100, "lease_duration_sec": 20}
"""Renewals that a test can wait for, of a term that no busy machine ends: it has 15 s."""
GLANCE = 0.15
"""Seconds in which a call that waits does not end; one that does not wait has PATIENCE."""


@dataclass
class Ending:
    """How a call ended."""

    how: str
    """returns, raises, cancelled, waits."""
    what: object = None
    """The value or the error's type."""
    after: Ending | None = None
    """How a call that waited ended in the end."""
    block: str = ""
    """The error with which the block around the call ended, if any."""

    def matches(self, expected):
        """Tell whether the page says so."""
        match expected:
            case "returns" | "waits" | "cancelled":
                return self.how == expected
            case "NOT_LEADER":
                return self.how == "returns" and self.what is NOT_LEADER
            case "positive":
                return self.how == "returns" and self.what > 0.0
            case "True" | "False" | "0.0":
                return self.how == "returns" and repr(self.what) == expected
            case _:
                verb, error = expected.split()
                return (self.how, self.what) == (verb, error)


def returned(value):
    """Give the ending of a call that returned."""
    told = isinstance(value, bool | float | str | Skipped)
    return Ending("returns", value if told else None)


def raised(error):
    """Give the ending of a call that raised."""
    return Ending("raises", type(error).__name__)


SIMPLE = {
    "start()": lambda elector: elector.start(),
    "stop()": lambda elector: elector.stop(),
    "stop(timeout)": lambda elector: elector.stop(timeout=GLANCE),
    "step_down()": lambda elector: elector.step_down(),
    "wait_until_leading()": lambda elector: elector.wait_until_leading(),
    "wait_for_leader()": lambda elector: elector.wait_for_leader(),
    "current_leader": lambda elector: elector.current_leader,
    "remaining()": lambda elector: elector.remaining(),
    "ensure(1)": lambda elector: elector.ensure(1),
    "ensure(0)": lambda elector: elector.ensure(0),
    "on()": lambda elector: elector.on(EVENTS.ERROR, print),
}
"""Calls that look alike on both fronts; the others enter a scope or take a main."""


def options(**changes):
    """Give the options of an elector on the Lease in memory."""
    return {
        "lease_name": "front",
        "identity": "me",
        "credentials": explicit(server="http://127.0.0.1:1"),
        "auto_close": False,
        **changes,
    }


def hold(client, holder, *, duration=60):
    """Let somebody else write the Lease: hold it, or release it."""
    with client.changed:
        version = str(next(client.versions))
        client.lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": "front",
                "namespace": "default",
                "uid": "u-1",
                "resourceVersion": version,
            },
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": duration,
                "acquireTime": "2026-01-01T00:00:00.000000Z",
                "renewTime": f"2026-01-01T00:00:00.{int(version):06d}Z",
                "leaseTransitions": 1,
            },
        }
        client.history.append(("MODIFIED", client.lease))
        client.changed.notify_all()


def holder(client):
    """Tell who holds the Lease in memory."""
    with client.changed:
        return client.lease["spec"].get("holderIdentity", "") if client.lease else ""


def holder_after_two_writes(client):
    """
    Tell who holds the Lease when two more writes came to it, or it was released.

    One may have been under way; the second was decided on after what the caller saw.
    """
    with client.changed:
        seen = len(client.history)
        assert client.changed.wait_for(
            lambda: len(client.history) >= seen + 2 or not holder(client), PATIENCE
        )
        return holder(client)


def break_engine(elector):
    """Let the core raise once, at a timer that comes right away."""
    driver = elector._lifecycle._driver
    core = driver._core

    def broken(**_):
        del core.handle_timer
        raise ZeroDivisionError("planted in the core")

    core.handle_timer = broken
    driver._engine.post(driver, None)


def in_child(make):
    """Call ``make`` in a forked child process and give what it gave."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside threads: that is what is tested here.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reader)
            os.write(writer, pickle.dumps(make()))
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return pickle.loads(told)  # noqa: S301 - written by the child above
