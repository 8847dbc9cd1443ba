"""A Celery application whose beat takes over soon, with one task each second."""

from __future__ import annotations

from celery import Celery

app = Celery("beat_fast", broker="memory://")
app.conf.leader_election = {"lease_name": "shop", "preset": "fast"}
app.conf.beat_schedule = {"bill": {"task": "beat_fast.bill", "schedule": 1.0}}


@app.task
def bill() -> None:
    """Do nothing: no worker runs."""
