"""A web application whose elector is made where it is loaded: perhaps in a master."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from kubernetes_leader_election import sync
from kubernetes_leader_election.credentials import kubeconfig

elector = sync.Elector(
    lease_name="wsgi",
    credentials=kubeconfig(),
    renew_interval_ms=300,
    lease_duration_sec=3,
)


def application(_: dict[str, Any], begin: Callable[..., Any]) -> Iterable[bytes]:
    """Say how this worker stands."""
    begin("200 OK", [("Content-Type", "application/json")])
    return [
        json.dumps(
            {
                "pid": os.getpid(),
                "identity": elector.identity,
                "leads": elector.current_leader,
                "leader": elector.leader_identity,
            }
        ).encode()
    ]


try:
    import uwsgi
    from uwsgidecorators import postfork
except ImportError:
    pass  # under gunicorn, which calls a function of its configuration
else:

    @postfork  # type: ignore[untyped-decorator]  # it has no types
    def begin_in_worker() -> None:
        """Take part in each worker: a fork in C, of which Python hears nothing."""
        elector.start()

    # With gevent uWSGI ends its workers without the exit of the interpreter.
    uwsgi.atexit = lambda: elector.stop(timeout=5)
