"""
The writes that ``doctor`` tries: through everything, admission too, and never stored.

They do no harm even where a server overlooks ``dryRun``: what is updated is sent as it
was read, what is created is free.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from kubernetes_leader_election.cli.observe import cluster
from kubernetes_leader_election.cli.observe.findings import Check
from kubernetes_leader_election.cli.output import seconds
from kubernetes_leader_election.kube_api.call import boottime
from kubernetes_leader_election.kube_api.results import (
    Answered,
    Conflict,
    Failure,
    LeaseObject,
    NotFound,
    Ok,
    Refused,
)
from kubernetes_leader_election.settings.options import resolve_settings
from kubernetes_leader_election.settings.presets import PRESETS

if TYPE_CHECKING:
    from kubernetes_leader_election.settings.options import Settings

TRIES: Final = 10
"""A renewal may come between our read and our write: as often in a row it does not."""

UNTRIED: Final = {
    "update": "an update cannot be tried before there is a Lease",
    "creation": "a creation cannot be tried: the Lease is there, and creating any other "
    "is not permitted",
}
NO_RIGHT: Final = "cannot create resource"
"""What the server says to who may create this Lease and no other one."""

Tried = tuple[Answered | Failure, float]
"""What became of a write, and the seconds that took."""


def try_writes(target: cluster.Target, settings: Settings) -> Iterator[Check]:
    """Try what an elector writes: an update and a creation, as far as that is possible."""
    there = isinstance(target.get(settings.lease_name), Ok)
    tried = {
        "update": _update(target, settings.lease_name) if there else None,
        "creation": _create(target, settings, there=there),
    }
    took = {}
    for what, found in tried.items():
        if found is None:
            continue
        result, lasted = found
        if isinstance(result, Answered | Conflict):
            took[what] = lasted
        else:
            yield Check(name="writes", verdict="FAIL", text=str(result.error))
    if took:
        untried = [what for what, found in tried.items() if found is None]
        yield _judge(took, untried, settings.request_timeout_sec)


def precise(value: float) -> str:
    """Return a time that was measured: in milliseconds where it is short."""
    return f"{value * 1000:.1f} ms" if value < 0.1 else f"{value:.2f} s"


def _judge(took: dict[str, float], untried: list[str], limit: float) -> Check:
    worst = max(took.values())
    verdict = "PASS" if worst < limit / 2 else "WARN" if worst < limit else "FAIL"
    texts = [f"{what} {precise(lasted)}" for what, lasted in took.items()]
    text = (
        f"not stored (dryRun=All): {', '.join(texts)}; the request timeout is "
        f"{seconds(limit)}"
    )
    return Check(
        name="writes",
        verdict=verdict,
        text=";\n".join([text, *(UNTRIED[what] for what in untried)]),
        fix="" if verdict == "PASS" else _more_time(worst),
    )


def _more_time(worst: float) -> str:
    fitting = [
        f"--preset {name}"
        for name in PRESETS
        if resolve_settings(preset=name).request_timeout_sec > worst
    ]
    longer = [*fitting, "a longer --request-timeout-sec"]
    return (
        "If reads are quick, an admission webhook takes that long: exempt the Lease from "
        f"it. Or give requests more time: {', '.join(longer)}."
    )


def _update(target: cluster.Target, lease: str) -> Tried | None:
    """Send the Lease back as it is; None where there is none, or it cannot be read."""
    last = None
    for _ in range(TRIES):
        read = target.get(lease)
        if not isinstance(read, Ok):
            return last
        last = _timed(target, lease, read.lease)
        if not isinstance(last[0], Conflict | NotFound):
            break
    return last


def _create(target: cluster.Target, settings: Settings, *, there: bool) -> Tried | None:
    """
    Create a Lease that is free; None where that cannot be tried.

    An elector creates by a PUT, which a Role may allow for the one name. Where the
    Lease is there, only a POST gets as far as admission, before it meets it.
    """
    lease = settings.lease_name
    document = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": lease, "namespace": target.namespace},
        "spec": {
            "holderIdentity": "",
            "leaseDurationSeconds": settings.lease_duration_sec,
        },
    }
    tried = _timed(target, "" if there else lease, document)
    refused = tried[0]
    if there and isinstance(refused, Refused) and NO_RIGHT in str(refused.error):
        return None
    return tried


def _timed(target: cluster.Target, name: str, lease: LeaseObject) -> Tried:
    begin = boottime()
    result = target.client.try_write(target.namespace, name, lease, call=cluster.call())
    return result, boottime() - begin
