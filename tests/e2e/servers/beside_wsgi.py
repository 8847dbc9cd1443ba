"""A web application with an elector that the servers' hooks start."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import beside


def application(_: dict[str, Any], begin: Callable[..., Any]) -> Iterable[bytes]:
    """Say whether this worker leads."""
    begin("200 OK", [("Content-Type", "text/plain")])
    return [str(beside.elector.current_leader).encode()]


try:
    import uwsgi  # noqa: F401 - it is there under uWSGI alone
    from uwsgidecorators import postfork
except ImportError:
    pass
else:
    postfork(beside.take_part)
