import asyncio
import contextlib
import logging
from datetime import datetime

from apscheduler import AsyncScheduler
from apscheduler.triggers.cron import CronTrigger

from kubernetes_leader_election import Elector, Term

logging.basicConfig(level=logging.INFO, format="%(message)s")
logging.getLogger("apscheduler").setLevel(logging.WARNING)


async def bill() -> None:
    print("bills at", datetime.now().astimezone().second, flush=True)


async def work(term: Term) -> None:
    async with AsyncScheduler() as scheduler:  # a new one in each term
        await scheduler.add_schedule(bill, CronTrigger(second="*"))
        await scheduler.run_until_stopped()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends it quietly
        asyncio.run(Elector(lease_name="shop").run(work))
