import contextlib
import logging

from apscheduler.schedulers.blocking import BlockingScheduler
from shop import bill

from kubernetes_leader_election.sync import Elector

logging.basicConfig(level=logging.INFO, format="%(message)s")
logging.getLogger("apscheduler").setLevel(logging.WARNING)
elector = Elector(lease_name="shop")


@elector.only_while_leading
def send_bill() -> None:
    bill.send()
    print("sent", flush=True)


scheduler = BlockingScheduler()
scheduler.add_job(send_bill, "cron", second="*")  # every second, on every replica
with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends it quietly
    elector.start()
    scheduler.start()
