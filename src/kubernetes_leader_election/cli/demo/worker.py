"""One worker of the demo: a threaded program that works only while it leads."""

from __future__ import annotations

import argparse
import os
import threading
import time
from pathlib import Path

from kubernetes_leader_election.credentials import kubeconfig
from kubernetes_leader_election.events import EVENTS
from kubernetes_leader_election.sync import Elector, Term
from kubernetes_leader_election.testing.belief_log import BeliefLog

LEASE_DURATION_SEC = 4
RENEW_INTERVAL_MS = 500
RENEW_DEADLINE_SEC = 2.7
REQUEST_TIMEOUT_SEC = 0.5
STOP_BUDGET_SEC = 0.5
CHECK_EVERY = 0.005
"""Seconds between two looks at ``current_leader``."""


def main() -> None:
    """Take part until a signal ends the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--identity", required=True)
    parser.add_argument("--log", type=Path, required=True)
    options = parser.parse_args()
    demo, log = os.getppid(), BeliefLog(options.log)
    log.note("began", options.identity)
    elector = Elector(
        lease_name="demo",
        identity=options.identity,
        credentials=kubeconfig(options.kubeconfig),
        lease_duration_sec=LEASE_DURATION_SEC,
        renew_interval_ms=RENEW_INTERVAL_MS,
        renew_deadline_sec=RENEW_DEADLINE_SEC,
        request_timeout_sec=REQUEST_TIMEOUT_SEC,
        stop_budget_sec=STOP_BUDGET_SEC,
    )
    elector.on(
        EVENTS.LEADERSHIP_ACQUIRED,
        lambda event: log.note("acquired", str(event.token)),
    )
    elector.on(EVENTS.LEADERSHIP_LOST, lambda event: log.note("lost", event.reason))

    def work(term: Term) -> None:
        """Do what only a leader may do, until told to stop."""
        while log.check("work", lambda: not term.lost.is_set()):
            time.sleep(CHECK_EVERY)

    def watch_belief() -> None:
        """Ask over and over, from a thread of its own, who leads."""
        while os.getppid() == demo:  # killed with -9, it cannot end its workers
            log.check("belief", lambda: elector.current_leader)
            time.sleep(CHECK_EVERY)
        os._exit(1)

    threading.Thread(target=watch_belief, daemon=True).start()
    elector.run(work)


if __name__ == "__main__":
    main()
