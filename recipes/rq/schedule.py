from rq import cron
from shop import bill

cron.register(bill, queue_name="default", interval=1)
