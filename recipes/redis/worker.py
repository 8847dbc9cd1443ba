import contextlib
import logging
import os

import redis

from kubernetes_leader_election.sync import Elector, Term

logging.basicConfig(level=logging.INFO, format="%(message)s")

# The check and the effect in one script, which nothing comes between.
WRITE = """
if tonumber(ARGV[1]) < tonumber(redis.call('GET', KEYS[1]) or '0') then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], ARGV[2])
return 1
"""


class StaleTokenError(RuntimeError):
    """A later leader has written already."""


def write(connection: redis.Redis, token: int, value: str) -> None:
    if not connection.eval(WRITE, 2, "{shop}:fence", "{shop}:price", token, value):
        raise StaleTokenError(f"token {token} is older than that of the last write")


def work(term: Term) -> None:
    connection = redis.Redis.from_url(os.environ["REDIS"])
    while not term.is_lost:
        write(connection, term.fencing_token or 0, "42")
        print("written with token", term.fencing_token, flush=True)
        term.lost.wait(timeout=1)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends it quietly
        Elector(lease_name="shop").run(work)
