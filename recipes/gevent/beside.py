import logging

from kubernetes_leader_election.sync import Elector, Term

logging.basicConfig(level=logging.INFO, format="%(message)s")


def tidy_up(term: Term) -> None:
    while True:
        print("tidies up, token", term.fencing_token, flush=True)
        if term.lost.wait(timeout=60):  # the job of the leader, until its term ends
            return


elector = Elector(lease_name="shop")
leading = elector.background(tidy_up)  # starts nothing yet
