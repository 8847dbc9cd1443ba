import contextlib
import logging
from datetime import datetime

from apscheduler.schedulers.blocking import BlockingScheduler

from kubernetes_leader_election.sync import Elector

logging.basicConfig(level=logging.INFO, format="%(message)s")
logging.getLogger("apscheduler").setLevel(logging.WARNING)
elector = Elector(lease_name="shop")


@elector.only_while_leading
def bill() -> None:
    print("bills at", datetime.now().astimezone().second, flush=True)


scheduler = BlockingScheduler()
scheduler.add_job(bill, "cron", second="*")  # every second, on every replica
with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends it quietly
    elector.start()
    scheduler.start()
