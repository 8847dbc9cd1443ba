"""Workers of Celery, each a candidate, from its start to its end."""

from __future__ import annotations

import beside
from celery import Celery
from celery.signals import worker_process_init, worker_process_shutdown

app = Celery("beside", broker="memory://")


@worker_process_init.connect  # type: ignore[untyped-decorator]  # Celery ships no types
def take_part(**_: object) -> None:
    """Start in the process that does the tasks."""
    beside.take_part()


@worker_process_shutdown.connect  # type: ignore[untyped-decorator]  # Celery ships no types
def take_leave(**_: object) -> None:
    """Stop: these processes end without the exit of the interpreter."""
    beside.leading.stop()
