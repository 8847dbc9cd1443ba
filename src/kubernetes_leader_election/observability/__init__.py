"""
Metrics of elections, and health endpoints, for those who run them.

.. code-block:: python

    with observability.serve(elector, ":8080"):
        elector.run(work)

``serve()`` has a thread and an address of its own, ``asgi()`` and ``wsgi()`` are mounted
in an application, and ``require_leader()`` refuses requests where another replica leads.
One file per backend; none is imported before it is used.
"""

from __future__ import annotations

import importlib

# Type checkers know the name; importing it from typing would cost most of this import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kubernetes_leader_election.observability.dependency import require_leader
    from kubernetes_leader_election.observability.mounts import asgi, wsgi
    from kubernetes_leader_election.observability.serving import serve

_PLACES = {
    "serve": "serving",
    "asgi": "mounts",
    "wsgi": "mounts",
    "require_leader": "dependency",
}

__all__ = ["asgi", "require_leader", "serve", "wsgi"]


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{place}"), name)
