"""Jobs of APScheduler that run on the leader alone, beside work in the background."""

from __future__ import annotations

import os
import time

import beside
from apscheduler.schedulers.blocking import BlockingScheduler


@beside.elector.only_while_leading
def job() -> None:
    """Take longer than the pause between two calls."""
    beside.note("job-begins", os.getpid())
    time.sleep(0.3)  # the job's work: longer than the pause between two
    beside.note("job-ends", os.getpid())


scheduler = BlockingScheduler()
scheduler.add_job(job, "interval", seconds=0.1, max_instances=1)
beside.take_part()
scheduler.start()
