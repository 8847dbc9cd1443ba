from celery import Celery

app = Celery("shop", broker="memory://")
app.conf.leader_election = {"lease_name": "shop"}
app.conf.beat_schedule = {
    "bill": {"task": "shop.bill", "schedule": 1.0},
}


@app.task
def bill() -> None:
    print("bills")  # in a worker
