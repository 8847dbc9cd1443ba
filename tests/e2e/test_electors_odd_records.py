"""Records of every odd shape that others wrote by hand, on a real kube-apiserver."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from controlplane.access import Cluster, lease_path
from controlplane.processes import wait_until
from electors.candidates import QUICK
from electors.fleet import PATIENCE

from kubernetes_leader_election.credentials import kubeconfig
from kubernetes_leader_election.sync import Elector

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LONG_AGO = "2001-02-03T04:05:06.000007Z"
FAR_AWAY = "9999-12-31T23:59:59.999999Z"
YEAR_ONE = "0001-01-01T00:00:00.000000Z"
HELD: dict[str, Any] = {"holderIdentity": "somebody", "leaseDurationSeconds": 2}

FREE: dict[str, Any] = {
    "no spec": None,
    "an empty spec": {},
    "an empty holder": {"holderIdentity": ""},
    "a null holder": {"holderIdentity": None, "leaseDurationSeconds": 15},
    "released by client-go": {
        "holderIdentity": "",
        "leaseDurationSeconds": 1,
        "acquireTime": LONG_AGO,
        "renewTime": LONG_AGO,
        "leaseTransitions": 3,
    },
    "released by the Node package": {
        "holderIdentity": None,
        "renewTime": None,
        "acquireTime": LONG_AGO,
        "leaseDurationSeconds": 20,
    },
    "released, with a time to come": {
        "holderIdentity": "",
        "leaseDurationSeconds": 2**31 - 1,
        "renewTime": FAR_AWAY,
    },
}
"""Free at once, whatever else is there."""

TAKEN: dict[str, Any] = {
    "no times": HELD,
    "null times": {**HELD, "acquireTime": None, "renewTime": None},
    "renewed long ago": {**HELD, "acquireTime": LONG_AGO, "renewTime": LONG_AGO},
    "renewed in the future": {**HELD, "acquireTime": FAR_AWAY, "renewTime": FAR_AWAY},
    "renewed in the year one": {**HELD, "acquireTime": YEAR_ONE, "renewTime": YEAR_ONE},
    "the most transitions there can be": {**HELD, "leaseTransitions": 2**31 - 1},
    "a holder of blanks": {**HELD, "holderIdentity": "  "},
    "a holder with control characters": {
        **HELD,
        "holderIdentity": "a\nb\x1b[31m\x00c",
    },
    "a holder of a hundred kilobytes": {**HELD, "holderIdentity": "x" * 100_000},
    "a holder with our own name": {**HELD, "holderIdentity": "odd"},
    "a holder whose name begins like ours": {**HELD, "holderIdentity": "od"},
}
"""Held for the two seconds it says, by the local clock, and then free."""


def label(text: str) -> str:
    """Make the name of a Lease."""
    return text.replace(" ", "-").replace(",", "").lower()


def write(cluster: Cluster, namespace: str, name: str, spec: Any) -> None:
    """Write a record by hand."""
    body = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name},
        **({} if spec is None else {"spec": spec}),
    }
    answer = cluster.request("POST", lease_path(namespace), body)
    assert answer.status == 201, answer.body


def elector(cluster: Cluster, namespace: str, name: str, **more: Any) -> Elector:
    """Make an elector for one Lease."""
    return Elector(
        lease_name=name,
        namespace=namespace,
        identity="odd",
        credentials=kubeconfig(cluster.kubeconfig("admin")),
        lease_duration_sec=QUICK.duration,
        renew_interval_ms=QUICK.interval * 1000,
        renew_deadline_sec=QUICK.deadline,
        request_timeout_sec=QUICK.timeout,
        stop_budget_sec=QUICK.stop_budget,
        auto_close=False,
        **more,
    )


def elect(
    cluster: Cluster, namespace: str, records: dict[str, Any]
) -> dict[str, tuple[float, dict[str, Any]]]:
    """Contend on all records at once; give how long each took, and what was written."""
    electors = {text: elector(cluster, namespace, label(text)) for text in records}
    for text, spec in records.items():
        write(cluster, namespace, label(text), spec)
    began: dict[str, float] = {}
    took: dict[str, float] = {}
    try:
        for text, each in electors.items():
            began[text] = time.monotonic()
            each.start()

        def all_lead() -> bool:
            for text, each in electors.items():
                if text not in took and each.current_leader:
                    took[text] = time.monotonic() - began[text]
            return len(took) == len(electors)

        wait_until(all_lead, within=PATIENCE, what=f"all but {took} lead")
        return {
            text: (
                took[text],
                cluster.request("GET", lease_path(namespace, label(text))).json(),
            )
            for text in records
        }
    finally:
        for each in electors.values():
            each.stop()


def test_elector_takes_a_free_record_at_once_whatever_its_shape(
    control_plane: Cluster, namespace: str, tell: Callable[[str], None]
) -> None:
    """Every released form seen in the wild is free at once (rule 3, fault 37)."""
    for text, (took, lease) in elect(control_plane, namespace, FREE).items():
        assert took < QUICK.duration, text
        assert lease["spec"]["holderIdentity"] == "odd", text
        before = (FREE[text] or {}).get("leaseTransitions", 0)
        assert lease["spec"]["leaseTransitions"] == before + 1, text
    tell(f"{len(FREE)} shapes of a free record")


def test_elector_waits_for_a_held_record_as_long_as_it_says_whatever_its_shape(
    control_plane: Cluster, namespace: str, tell: Callable[[str], None]
) -> None:
    """Held is held for its own duration, whatever its times say (rule 1, rule 3, rule 5)."""
    for text, (took, lease) in elect(control_plane, namespace, TAKEN).items():
        assert took >= HELD["leaseDurationSeconds"], text
        assert lease["spec"]["holderIdentity"] == "odd", text
        assert lease["spec"]["leaseTransitions"] >= 1, text
    tell(f"{len(TAKEN)} shapes of a held record")


def test_elector_waits_twenty_seconds_for_a_record_without_a_duration(
    control_plane: Cluster, namespace: str
) -> None:
    """The Node package creates Leases without a duration; it means 20 s (rule 3)."""
    records = {"no duration": {"holderIdentity": "node", "renewTime": LONG_AGO}}
    [(took, _)] = elect(control_plane, namespace, records).values()
    assert took >= 20


def test_elector_honours_the_longest_duration(
    control_plane: Cluster, namespace: str
) -> None:
    """A duration of 68 years is a duration: kept, and left to whoever wrote it."""
    spec = {"holderIdentity": "for ever", "leaseDurationSeconds": 2**31 - 1}
    write(control_plane, namespace, "long", spec)
    one = elector(control_plane, namespace, "long")
    one.start()
    try:
        assert one.wait_for_leader(PATIENCE) == "for ever"
        time.sleep(QUICK.duration)  # after its own duration it would lead
        assert not one.current_leader
    finally:
        one.stop()
    lease = control_plane.request("GET", lease_path(namespace, "long")).json()
    assert lease["spec"] == spec
