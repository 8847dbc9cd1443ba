import asyncio
import contextlib
import logging
import os
from typing import Any

from arq import Worker, cron
from arq.connections import RedisSettings

from kubernetes_leader_election import Elector, Term

logging.basicConfig(level=logging.INFO, format="%(message)s")
logging.getLogger("arq").setLevel(logging.WARNING)


async def bill(_context: dict[str, Any]) -> None:
    print("bills", flush=True)


async def work(term: Term) -> None:
    worker = Worker(
        # Every second; begun anew where it was cut, which cron() by itself is not.
        cron_jobs=[cron(bill, second=set(range(60)), max_tries=5)],
        queue_name="shop:leader",  # which no worker of another replica looks at
        redis_settings=RedisSettings.from_dsn(os.environ["REDIS"]),
        handle_signals=False,  # the elector does
    )
    try:
        await worker.async_run()
    finally:
        await worker.close()


with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends it quietly
    asyncio.run(Elector(lease_name="shop").run(work))
