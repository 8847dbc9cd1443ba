import logging
import sqlite3
import sys

from kubernetes_leader_election.sync import Elector, Term

logging.basicConfig(level=logging.INFO, format="%(message)s")


def migrate(term: Term) -> None:
    with sqlite3.connect(sys.argv[1]) as database:  # yours, which all replicas share
        database.execute("BEGIN")  # all of the migration is stored, or nothing
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version >= 1:
            print("nothing to migrate", flush=True)
            return
        database.execute("CREATE TABLE bills (text TEXT)")
        database.execute("PRAGMA user_version = 1")
        print("migrated", flush=True)


try:
    Elector(lease_name="shop-migration").run(migrate)
except KeyboardInterrupt:
    sys.exit(130)  # Ctrl-C: no traceback, and nobody takes it for a success
