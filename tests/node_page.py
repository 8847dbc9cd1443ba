"""The page of the Node package, promise by promise, and how its electors are driven."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.request
from datetime import UTC, datetime

from kubernetes_leader_election import Elector
from kubernetes_leader_election.sync import Elector as SyncElector

PATIENCE = 60.0

PROMISES = {
    # Exports
    "Leader election for kubernetes using leases": "test_elector_keeps_its_election_in_a_lease",
    "EVENTS: named events that are emitted from elector instances": "test_package_exports_events_and_elector",
    "LEADERSHIP_ACQUIRED: emitted when an elector claims ownership of a lease": "test_elector_tells_when_it_claims_the_lease",
    "LEADERSHIP_LOST: emitted when an elector recognizes a different elector has claimed ownership": "test_elector_tells_when_a_different_one_claims_the_lease",
    "LEASE_RENEWED: emitted when the current leader renews its lease resource": "test_leader_tells_when_it_renews",
    "Electors with the same lease name form a coordination group in which one, and only one, is the leader": "test_electors_of_one_lease_name_have_one_leader",
    # The class and its options
    "Extends EventEmitter": "test_elector_is_an_emitter",
    "(optional) options": "test_elector_needs_no_option",
    "auto_close: stop itself when SIGINT and SIGTERM are sent to the process": "test_elector_stops_itself_on_a_signal",
    "auto_close: default true": "test_elector_has_the_defaults_of_the_page",
    "identity: a unique name for the elector used to claim leadership": "test_elector_claims_with_its_identity",
    "identity: default elector-{hostname}-{pid}": "test_elector_has_the_defaults_of_the_page",
    "lease_name: the name of the kubernetes lease the electors will manage": "test_elector_keeps_its_election_in_a_lease",
    "lease_name: a default that names the language": "test_elector_has_the_defaults_of_the_page",
    "log: a logger instance": "test_elector_logs_to_the_logger_given",
    "namespace: the namespace the elector should be constrained to": "test_elector_keeps_to_its_namespace",
    "namespace: default default": "test_elector_has_the_defaults_of_the_page",
    "renew_interval_ms: the frequency at which the leader will attempt to renew its lease": "test_leader_renews_at_the_interval_given",
    "renew_interval_ms: default 10000": "test_elector_has_the_defaults_of_the_page",
    "lease_duration_sec: the amount of time assigned to the active lease": "test_elector_writes_the_lease_duration",
    "lease_duration_sec: after which it is considered expired and the election process starts again": "test_candidate_takes_over_from_a_leader_that_crashed",
    "lease_duration_sec: default 20, calculated as (2 * renew_interval_ms) / 1000": "test_elector_derives_the_lease_duration",
    "wait_for_leadership: when start() is called, the elector will wait for a leader to be elected": "test_start_waits_for_a_leader_when_asked",
    "wait_for_leadership: default false": "test_elector_has_the_defaults_of_the_page",
    # Properties and methods
    "current_leader: if the elector instance is currently the leader": "test_elector_has_the_properties_of_the_page",
    "lease_name: the name of the lease that is being managed": "test_elector_has_the_properties_of_the_page",
    "identity: the unique name of the elector instance": "test_elector_has_the_properties_of_the_page",
    "namespace: the namespace the elector is currently bound to": "test_elector_has_the_properties_of_the_page",
    "start(): Promise<void>": "test_start_and_stop_give_nothing",
    "stop(): Promise<void>": "test_start_and_stop_give_nothing",
    # Usage
    "The elector instance depends entirely on the kubernetes API": "test_elector_in_a_cluster_leads_only_by_its_api",
    "If it cannot determine that it is running in a kubernetes environment, it will not attempt to interact with the api and it will assume leadership": "test_elector_outside_a_cluster_assumes_leadership",
    "It will check for the environment variable KUBERNETES_SERVICE_HOST": "test_elector_in_a_cluster_leads_only_by_its_api",
    "When created (here: when started) it makes this determination": "test_elector_looks_for_a_cluster_when_it_is_started",
    "Generally useful for development when not running in kubernetes": "test_elector_outside_a_cluster_assumes_leadership",
    "The example: handlers, current_leader, elector.log, own signal handlers, start()": "test_example_of_the_page_works_in_python",
    # RBAC and deployment
    "Below is an example of the minimal setup required": "test_role_of_the_page_is_enough",
    "Any pod that makes use of this package should leverage the service account": "test_role_of_the_page_is_enough",
    "It is highly recommended to make use of the pod name as the identity": "test_elector_claims_with_its_identity",
    # Where the code of the Node package breaks its own page, the page counts
    "The duration assigned is really written when the Lease is created": "test_elector_writes_the_lease_duration",
    "A change of the leader is counted": "test_candidate_takes_over_from_a_leader_that_crashed",
    "Expiry is not judged by comparing clocks of two machines": "test_candidate_ignores_the_clock_of_the_leader",
    "Leadership is not dropped for good at one failed renewal": "test_leader_rides_out_a_failed_renewal",
    "A loss for want of renewal is no end: the elector contends again": "test_elector_contends_again_after_a_loss",
    "Stopping is told": "test_elector_tells_that_it_stops_leading",
}
"""What the page promises, in its words, and the test that holds us to it."""

FAST = {"renew_interval_ms": 100, "lease_duration_sec": 2}
"""A rhythm for tests: others wait 2 s, a leader trusts itself for 1.18 s."""
STEADY = {"renew_interval_ms": 100, "lease_duration_sec": 20}
"""The same for a leader that is to stay one, however busy the machine is."""


class Front:
    """Drive an elector of either kind by calls that block; each keeps its own loop."""

    def __init__(self, kind):
        self.kind = kind
        self.elector_class = Elector if kind == "asyncio" else SyncElector
        self._loop = None
        if kind == "asyncio":
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
            self._thread.start()

    def call(self, function, *args, **kwargs):
        """Call a method, awaited where it is a coroutine, and give what it gives."""
        if self._loop is None:
            return function(*args, **kwargs)

        async def guarded():
            # As a value: a future makes a new TimeoutError, and drops its cause.
            try:
                return await function(*args, **kwargs), None
            except Exception as error:  # noqa: BLE001 - raised below
                return None, error

        done = asyncio.run_coroutine_threadsafe(guarded(), self._loop)
        result, error = done.result(PATIENCE)
        if error is not None:
            raise error
        return result

    def close(self):
        """End the loop."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE)
            self._loop.close()


class Heard:
    """Write down every event of an elector, and wait for one."""

    def __init__(self, elector):
        self._changed = threading.Condition()
        self.events = []
        for name in elector.EVENTS:
            elector.on(name, self._take)

    def _take(self, event):
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait_for(self, name, count=1):
        """Wait for so many events of the name, and give the last of them."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: len(self.named(name)) >= count, PATIENCE
            ), f"no {name}; heard {[str(event.name) for event in self.events[:20]]}"
            return self.named(name)[count - 1]

    def named(self, name):
        """Give the events of one name."""
        return [event for event in self.events if event.name == name]

    def names(self, *wanted):
        """Give the names heard, in order, of those wanted."""
        return [str(event.name) for event in self.events if event.name in wanted]


def eventually(check, patience=PATIENCE):
    """Wait until a check gives something true, and give that."""
    deadline = time.monotonic() + patience
    while not (found := check()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)
    return found


def start_until_it_says_why(start):
    """Call this with ever more seconds until its TimeoutError has a cause; give that."""
    for timeout in (0.5, 2.0, 8.0, PATIENCE / 2):
        try:
            start(timeout)
        except TimeoutError as error:
            if error.__cause__ is not None:
                return error
        else:
            raise AssertionError("it has started")
    raise AssertionError("it never met its trouble")


def stamp(seconds=0.0):
    """Give a MicroTime of now, or of some seconds later."""
    moment = datetime.fromtimestamp(datetime.now(UTC).timestamp() + seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def write_lease(server, name, spec, namespace="default"):
    """Write the spec of a Lease as another client would, and give what is stored."""
    found = server.lease(name, namespace)
    body = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name},
        "spec": spec,
    }
    if found is not None:
        for key in ("uid", "resourceVersion"):
            body["metadata"][key] = found["metadata"][key]
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"
    request = urllib.request.Request(  # noqa: S310 - loopback
        server.url + path,
        data=json.dumps(body).encode(),
        method="PUT",
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
        return json.load(answer)
