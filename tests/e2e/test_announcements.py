"""The leader's address and its Events, on a real API server: with no right too many."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from controlplane import processes
from controlplane.access import Cluster

from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.events import EVENTS
from kubernetes_leader_election.sync import Elector

pytestmark = pytest.mark.e2e

SERVICE = "billing-leader"
ASKED = (f"--leader-endpoints={SERVICE}:9000", "--kubernetes-events")
PATIENCE = 30.0
"""Seconds until a test fails; on a quiet machine the slice has moved within 0.05 s."""
FAST = {"renew_interval_ms": 500, "lease_duration_sec": 4}


@pytest.fixture
def rights(control_plane: Cluster, namespace: str) -> str:
    """Apply what `manifests` prints, but for the Deployment; give the account's token."""
    words = ("manifests", "billing", "-n", namespace, "--rbac-only", *ASKED)
    printed = subprocess.run(
        [sys.executable, "-m", "kubernetes_leader_election", *words],
        capture_output=True,
        text=True,
        check=True,
    )
    made = control_plane.kubectl("apply", "-f", "-", text=printed.stdout)
    assert made.returncode == 0, made.stderr
    token = control_plane.kubectl("create", "token", "billing", "-n", namespace)
    assert token.returncode == 0, token.stderr
    return token.stdout.strip()


@pytest.fixture
def start(
    control_plane: Cluster,
    namespace: str,
    rights: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Elector]]:
    """Give a function that starts an elector with those rights; all end after the test."""
    with ExitStack() as started:

        def begin(identity: str, address: str, **more: Any) -> Elector:
            monkeypatch.setenv("POD_IP", address)
            made = Elector(
                lease_name="billing",
                namespace=namespace,
                identity=identity,
                credentials=explicit(
                    server=control_plane.server_url,
                    token=rights,
                    ca_file=control_plane.ca_file,
                ),
                auto_close=False,
                leader_endpoints=f"{SERVICE}:9000",
                kubernetes_events=True,
                **FAST,
                **more,
            )
            started.callback(made.stop, timeout=30)
            made.start()
            return made

        yield begin


def wait_until(condition: Callable[[], object], *, what: str = "it is told") -> None:
    """Wait until a condition holds."""
    processes.wait_until(condition, within=PATIENCE, what=what)


def slice_now(control_plane: Cluster, namespace: str) -> dict[str, Any]:
    """Return the slice as kubectl gets it; empty: there is none."""
    got = control_plane.kubectl(
        "get", "endpointslice", SERVICE, "-n", namespace, "-o", "json"
    )
    found: dict[str, Any] = json.loads(got.stdout) if got.returncode == 0 else {}
    return found


def addresses(control_plane: Cluster, namespace: str) -> list[str]:
    """Return the addresses in the slice."""
    endpoints = slice_now(control_plane, namespace).get("endpoints") or ()
    return [address for one in endpoints for address in one["addresses"]]


def test_moved_slice_is_seen(
    control_plane: Cluster, namespace: str, start: Callable[..., Elector]
) -> None:
    """At each take-over in one write, found by its Service, empty when all stop."""
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices/{SERVICE}"
    service = control_plane.kubectl(
        *("get", "service", SERVICE, "-n", namespace, "-o", "json")
    )
    assert "selector" not in json.loads(service.stdout)["spec"]
    first = start("a", "10.1.0.1")
    first.wait_until_leading(timeout=30)
    wait_until(lambda: addresses(control_plane, namespace) == ["10.1.0.1"])
    generation = slice_now(control_plane, namespace)["metadata"]["generation"]
    led = threading.Event()
    second = start("b", "10.1.0.2")
    second.on(EVENTS.LEADERSHIP_ACQUIRED, lambda _: led.set())
    assert second.wait_for_leader(timeout=30) == "a"
    first.step_down(stay_out=30)
    assert led.wait(30)
    began = time.monotonic()

    def moved() -> bool:
        found = control_plane.request("GET", path).json()
        return bool(found["endpoints"][0]["addresses"] == ["10.1.0.2"])

    wait_until(moved)
    print(f"the slice was seen moved {time.monotonic() - began:.3f} s after the term")
    found = slice_now(control_plane, namespace)
    assert found["metadata"]["generation"] == generation + 1
    assert found["metadata"]["labels"]["kubernetes.io/service-name"] == SERVICE
    assert found["metadata"]["annotations"]["kubernetes-leader-election/holder"] == "b"
    first.stop(timeout=30)
    assert addresses(control_plane, namespace) == ["10.1.0.2"]
    second.stop(timeout=30)
    wait_until(lambda: addresses(control_plane, namespace) == [])


def test_described_lease_shows_the_events(
    control_plane: Cluster, namespace: str, start: Callable[..., Elector]
) -> None:
    """`kubectl describe lease`: who became leader, who gave up and who lost, and why."""
    first = start("a", "10.1.0.1")
    first.wait_until_leading(timeout=30)
    second = start("b", "10.1.0.2")
    assert second.wait_for_leader(timeout=30) == "a"
    first.stop(timeout=30)
    second.wait_until_leading(timeout=30)

    def described() -> str:
        words = ("describe", "lease", "billing", "-n", namespace)
        return control_plane.kubectl(*words).stdout

    wait_until(lambda: described().count("BecameLeader") == 2)
    wait_until(lambda: "GaveUpLeadership" in described())
    text = described()
    assert "a gave up leadership: it was stopped (term 1)" in text
    assert "b became leader (term 1, token " in text
    assert "s since the release" in text
    assert "kubernetes-leader-election" in text
    deleted = control_plane.kubectl("delete", "lease", "billing", "-n", namespace)
    assert deleted.returncode == 0
    wait_until(
        lambda: (
            "LostLeadership"
            in control_plane.kubectl("get", "events", "-n", namespace).stdout
        ),
    )


def test_slice_of_a_controller_is_left_alone(
    control_plane: Cluster, namespace: str, start: Callable[..., Elector]
) -> None:
    """Fault 79: said in the log, and never overwritten; the election goes on."""
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    theirs = {
        "metadata": {"name": SERVICE},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.9.9.9"]}],
    }
    assert control_plane.request("POST", path, theirs).status == 201
    lines: list[str] = []

    class Log:
        """Keep what is logged."""

        def info(self, line: str) -> None:
            lines.append(line)

        debug = warning = error = info

    elector = start("a", "10.1.0.1", log=Log())
    term = elector.wait_until_leading(timeout=30)
    wait_until(lambda: any("made by somebody else" in line for line in lines))
    assert not term.is_lost
    assert addresses(control_plane, namespace) == ["10.9.9.9"]
