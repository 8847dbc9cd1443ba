"""A configuration of gunicorn: take part from the fork on, before gevent patches."""

from __future__ import annotations

from typing import Any


def post_fork(_server: Any, _worker: Any) -> None:
    """Start the elector that the master has made."""
    import wsgi

    wsgi.elector.start()
