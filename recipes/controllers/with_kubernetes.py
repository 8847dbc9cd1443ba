import contextlib
import logging

from kubernetes import client, config, watch

from kubernetes_leader_election.sync import Elector, Term

logging.basicConfig(level=logging.INFO, format="%(message)s")
config.load_config()  # that of the pod, or a kubeconfig
elector = Elector(lease_name="shop")


def reconcile(term: Term) -> None:
    leases = client.CoordinationV1Api().list_namespaced_lease
    while not term.is_lost:
        # A stream cannot be cut from outside: it is opened anew each few seconds, so
        # that this looks at its term.
        for event in watch.Watch().stream(leases, "default", timeout_seconds=2):
            if term.is_lost:
                return
            print("reconciles", event["object"].metadata.name, flush=True)


with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends it quietly
    elector.run(reconcile)
