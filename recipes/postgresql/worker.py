import contextlib
import logging
import os

import psycopg

from kubernetes_leader_election.sync import Elector, Term

logging.basicConfig(level=logging.INFO, format="%(message)s")


class StaleTokenError(RuntimeError):
    """A later leader has written already."""


def pay(connection: psycopg.Connection, token: int, text: str) -> None:
    with connection.transaction():  # the check and the effect, or neither
        moved = connection.execute(
            "UPDATE fence SET token = %s WHERE token <= %s", (token, token)
        )
        if moved.rowcount != 1:
            raise StaleTokenError(f"token {token} is older than that of the last write")
        connection.execute("INSERT INTO payments VALUES (%s, %s)", (token, text))


def work(term: Term) -> None:
    with psycopg.connect(os.environ["DATABASE"], autocommit=True) as connection:
        while not term.is_lost:
            pay(connection, term.fencing_token or 0, "rent")
            print("paid with token", term.fencing_token, flush=True)
            term.lost.wait(timeout=1)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends it quietly
        Elector(lease_name="shop").run(work)
