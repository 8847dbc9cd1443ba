from typing import Any

bind = "127.0.0.1:8000"
workers = 2
worker_class = "gevent"
loglevel = "warning"


def post_worker_init(worker: Any) -> None:
    from beside import leading  # in the worker, after the fork and the patch

    leading.start()
