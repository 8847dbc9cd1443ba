"""
A resource that checks the fencing token: what an earlier leader sends late is refused.

A Lease alone cannot promise that: a write that was sent in time may arrive late. The
database can, when each write brings the token of its term and the newest one wins.
"""

import sqlite3
import sys

from kubernetes_leader_election.sync import Elector, Term

SCHEMA = """
CREATE TABLE IF NOT EXISTS fence (token INTEGER NOT NULL);
INSERT INTO fence SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM fence);
CREATE TABLE IF NOT EXISTS entries (token INTEGER NOT NULL, text TEXT NOT NULL);
"""


class StaleTokenError(Exception):
    """The writer's term is over: a later leader has written already."""


def write(database: sqlite3.Connection, token: int | None, text: str) -> None:
    """Write in one transaction with the check, so that nothing comes in between."""
    with database:
        moved = database.execute(
            "UPDATE fence SET token = ? WHERE token <= ?", (token, token)
        )
        if moved.rowcount != 1:
            raise StaleTokenError(f"token {token} is older than the database's")
        database.execute("INSERT INTO entries VALUES (?, ?)", (token, text))


def work(term: Term) -> None:
    """Write two entries; the second as an earlier leader would, to show the refusal."""
    token = term.fencing_token
    if token is None:
        raise SystemExit("there is no token outside a cluster")
    database = sqlite3.connect(sys.argv[1] if len(sys.argv) > 1 else ":memory:")
    database.executescript(SCHEMA)
    term.ensure(2.0)
    write(database, token, "by the leader")
    try:
        write(database, token - 1, "by an earlier one")
    except StaleTokenError as error:
        print(f"refused: {error}", flush=True)


if __name__ == "__main__":
    Elector(lease_name="fencing").run(work)
