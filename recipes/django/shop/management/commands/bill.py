import contextlib
from typing import Any

from django.core.management.base import BaseCommand

from kubernetes_leader_election.sync import Elector, Term


class Command(BaseCommand):
    help = "Send the bills, in one replica at a time, until it is stopped."

    def handle(self, *args: Any, **options: Any) -> None:
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends it quietly
            Elector(lease_name="shop").run(self.bill)

    def bill(self, term: Term) -> None:
        while True:
            self.stdout.write(f"bills, token {term.fencing_token}")
            self.stdout.flush()
            if term.lost.wait(timeout=60):
                return
