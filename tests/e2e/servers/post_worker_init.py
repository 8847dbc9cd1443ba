"""A configuration of gunicorn: take part once the worker is ready, and patched."""

from __future__ import annotations

from typing import Any


def post_worker_init(_worker: Any) -> None:
    """Start the elector that the master has made."""
    import wsgi

    wsgi.elector.start()
