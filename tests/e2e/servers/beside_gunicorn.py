"""A configuration of gunicorn: lead beside the requests, once the worker is ready."""

from __future__ import annotations

from typing import Any


def post_worker_init(_worker: Any) -> None:
    """Start; the handlers of signals of the worker stand by now."""
    import beside

    beside.take_part()
