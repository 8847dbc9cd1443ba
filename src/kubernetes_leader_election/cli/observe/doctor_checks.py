"""The checks of ``doctor``, one function each; each yields what it found."""

from __future__ import annotations

import socket
import ssl
import statistics
from collections.abc import Generator, Iterator
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from kubernetes_leader_election.cli.observe import (
    announcing,
    cluster,
    crash_proof,
    pod_period,
)
from kubernetes_leader_election.cli.observe.doctor_writes import precise, try_writes
from kubernetes_leader_election.cli.observe.findings import Check
from kubernetes_leader_election.cli.observe.holders import recognise
from kubernetes_leader_election.cli.observe.whereabouts import about_missing
from kubernetes_leader_election.cli.option_names import as_options
from kubernetes_leader_election.cli.output import at_least, at_most, exact, seconds
from kubernetes_leader_election.cli.rights import role_rule
from kubernetes_leader_election.core.annotations import STEP_DOWN, SUCCESSOR
from kubernetes_leader_election.core.record import Snapshot, read_snapshot
from kubernetes_leader_election.core.timing import ODD_DURATION
from kubernetes_leader_election.engine.clocks import SystemClock
from kubernetes_leader_election.errors import CredentialsError
from kubernetes_leader_election.kube_api.call import boottime
from kubernetes_leader_election.kube_api.results import (
    Answered,
    NotFound,
    NotSent,
    Ok,
    Unknown,
)
from kubernetes_leader_election.rights import ELECTION
from kubernetes_leader_election.settings.options import Settings, timings
from kubernetes_leader_election.settings.promises import warning_about
from kubernetes_leader_election.text import printable, quoted

if TYPE_CHECKING:
    from kubernetes_leader_election.cli.connection import Connection
    from kubernetes_leader_election.credentials.base import Credentials

SAMPLES: Final = 25
"""Reads whose time is taken: enough to see a slow one, few enough for any server."""
EXPIRES_SOON: Final = 14
"""Days before a certificate runs out at which people want to know."""
CLOCK_NOTICED: Final = 5.0
"""Seconds of clock offset that are worth a word."""


def examine(
    connection: Connection, namespace: str | None, settings: Settings
) -> Iterator[Check]:
    """Look at everything, in the order in which one needs the other."""
    credentials = found = None
    try:
        found = connection.as_library()
        credentials = found or connection.as_kubectl()
    except CredentialsError as error:
        yield Check(name="credentials", verdict="FAIL", text=str(error))
    else:
        yield from _credentials(credentials, in_cluster=found is not None)
    if credentials is not None:
        with cluster.at(connection, namespace, needs=ELECTION) as target:
            yield from _server(target, settings)
            if found is not None:
                yield pod_period.look_at_pod(target, settings)
                yield crash_proof.look_for_proof(target)
            yield from announcing.look(target, settings)
    if found is None:
        yield pod_period.without_pod(settings)
    yield from _timings(settings)


def _server(target: cluster.Target, settings: Settings) -> Iterator[Check]:
    yield from _tls(target.client.credentials)
    begin = SystemClock().now().wall
    version = target.client.request("GET", "/version", call=cluster.call())
    if isinstance(version, NotSent | Unknown):
        yield Check(name="server", verdict="FAIL", text=str(version.error))
        return
    name = version.body.get("gitVersion") if isinstance(version, Answered) else None
    yield Check(
        name="server",
        verdict="PASS",
        text=f"{target.server} answers, version {printable(str(name or 'unknown'))}",
    )
    yield from _latency(target, settings)
    missing = yield from _rights(target, settings.lease_name)
    if not {"create", "update"} & missing:
        yield from try_writes(target, settings)
    if isinstance(version, Answered):
        yield from _clock(version.date, begin)
    yield from _lease(target, settings)


def _credentials(credentials: Credentials, *, in_cluster: bool) -> Iterator[Check]:
    yield Check(
        name="credentials",
        verdict="PASS",
        text=f"from {credentials.source}; {credentials.login_description}",
    )
    if not in_cluster:
        yield Check(
            name="cluster",
            verdict="INFO",
            text="this is no pod: a program that is given no credentials assumes\n"
            "leadership here and asks nobody",
        )


def _tls(credentials: Credentials) -> Iterator[Check]:
    server = credentials.server
    if server.scheme == "http":
        where = "on this very machine" if server.is_loopback else "over the network"
        verdict = "INFO" if server.is_loopback else "WARN"
        yield Check(name="tls", verdict=verdict, text=f"plain http, {where}")
        return
    if credentials.proxy is not None:
        text = f"behind the proxy {credentials.proxy.authority}: not looked at"
        yield Check(name="tls", verdict="INFO", text=text)
        return
    try:
        context = credentials.tls_context(timeout=cluster.REQUEST_WITHIN)
        assert context is not None  # noqa: S101 - the scheme is https
        with (
            socket.create_connection(
                (server.host, server.port), timeout=cluster.REQUEST_WITHIN
            ) as sock,
            context.wrap_socket(
                sock, server_hostname=credentials.server_hostname
            ) as secure,
        ):
            version, certificate = secure.version(), secure.getpeercert()
    except ssl.SSLCertVerificationError as error:
        text = f"the server's certificate is not accepted: {error.verify_message}"
        fix = f"Check the CA and the server's name in {credentials.source}."
        yield Check(name="tls", verdict="FAIL", text=text, fix=fix)
        return
    except (CredentialsError, OSError) as error:
        yield Check(name="tls", verdict="FAIL", text=f"no TLS connection: {error}")
        return
    if context.verify_mode is ssl.CERT_NONE:
        text = f"{version}; the server's certificate is NOT checked"
        fix = "Take insecure-skip-tls-verify out of the kubeconfig and name the CA."
        yield Check(name="tls", verdict="WARN", text=text, fix=fix)
        return
    yield _certificate(str(version), certificate or {})


def _certificate(version: str, certificate: dict[str, Any]) -> Check:
    ends = ssl.cert_time_to_seconds(certificate["notAfter"])
    days = (ends - SystemClock().now().wall / 1_000_000) / 86400
    return Check(
        name="tls",
        verdict="WARN" if days < EXPIRES_SOON else "PASS",
        text=f"{version}, certificate accepted, good for {days:.0f} days",
    )


def _latency(target: cluster.Target, settings: Settings) -> Iterator[Check]:
    took = []
    for _ in range(SAMPLES):
        begin = boottime()
        result = target.get(settings.lease_name)
        if isinstance(result, NotSent | Unknown):
            yield Check(name="latency", verdict="FAIL", text=str(result.error))
            return
        took.append(boottime() - begin)
    # The first one opens the connection, which an elector does once.
    took = took[1:]
    half, worst = statistics.median(took), max(took)
    limit = settings.request_timeout_sec
    verdict = "PASS" if worst < limit / 2 else "WARN" if worst < limit else "FAIL"
    yield Check(
        name="latency",
        verdict=verdict,
        text=f"of {len(took)} reads: p50 {precise(half)}, p99 {precise(worst)}; "
        f"the request timeout is {seconds(limit)}",
        fix=""
        if verdict == "PASS"
        else "Give requests more time: a longer --request-timeout-sec, or --preset calm.",
    )


def _rights(
    target: cluster.Target, lease: str
) -> Generator[Check, None, frozenset[str]]:
    """Ask for each right; return those that are known to be missing."""
    user = _user(target)
    missing: list[str] = []
    for verb in role_rule(lease)["verbs"]:
        review = target.client.request(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            call=cluster.call(),
            body=_review(target.namespace, lease, verb),
        )
        if not isinstance(review, Answered):
            text = f"the server does not tell which there are: {review.error}"
            yield Check(name="rights", verdict="WARN", text=text)
            return frozenset(missing)
        status = review.body.get("status")
        if not (isinstance(status, dict) and status.get("allowed") is True):
            missing.append(verb)
    who = f" as {printable(user['username'])}" if user else ""
    if not missing:
        text = f"get, create, update and watch{who} on {target.namespace}/{lease}"
        yield Check(name="rights", verdict="PASS", text=text)
        return frozenset()
    only_watch = missing == ["watch"]
    text = f"missing{who} on {target.namespace}/{lease}: {', '.join(missing)}"
    if only_watch:
        text += ";\nelectors poll instead: slower to take over, and more requests"
    yield Check(
        name="rights",
        verdict="WARN" if only_watch else "FAIL",
        text=text,
        fix=f"Let an administrator apply this:\n{_yaml(target, lease, user)}",
    )
    return frozenset(missing)


def _review(namespace: str, lease: str, verb: str) -> dict[str, Any]:
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {
            "resourceAttributes": {
                "group": "coordination.k8s.io",
                "version": "v1",
                "resource": "leases",
                "namespace": namespace,
                "name": lease,
                "verb": verb,
            }
        },
    }


def _user(target: cluster.Target) -> dict[str, Any] | None:
    """Ask the server who it thinks is asking; None where it does not tell."""
    answer = target.client.request(
        "POST",
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        call=cluster.call(),
        body={
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "SelfSubjectReview",
        },
    )
    status = answer.body.get("status") if isinstance(answer, Answered) else None
    user = status.get("userInfo") if isinstance(status, dict) else None
    return user if isinstance(user, dict) and "username" in user else None


def _yaml(target: cluster.Target, lease: str, user: dict[str, Any] | None) -> str:
    import yaml  # noqa: PLC0415 - only where something is missing

    name = str(user["username"]) if user else "YOUR-USER"
    kind, _, account = name.partition("system:serviceaccount:")
    subject: dict[str, Any] = {
        "kind": "User",
        "name": name,
        "apiGroup": "rbac.authorization.k8s.io",
    }
    if not kind and account.count(":") == 1:
        namespace, _, account = account.partition(":")
        subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    metadata = {"name": f"lease-{lease}", "namespace": target.namespace}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": metadata,
        "rules": [role_rule(lease)],
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "subjects": [subject],
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Role",
            "name": metadata["name"],
        },
    }
    return "---\n".join(
        yaml.safe_dump(document, sort_keys=False) for document in (role, binding)
    )


def _clock(date: str, begin: int) -> Iterator[Check]:
    """Compare the wall clocks: for people; no election ever does."""
    try:
        theirs = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return
    # The header has whole seconds: half of one is the best guess.
    offset = begin / 1_000_000 - (theirs + 0.5)
    size = max(0.0, abs(offset) - 0.5)
    text = (
        "agrees with the server's"
        if size < CLOCK_NOTICED
        else f"{seconds(size)} {'ahead of' if offset > 0 else 'behind'} the server's"
    )
    text += " (for information: elections never compare clocks)"
    yield Check(name="clock", verdict="INFO", text=text)


def _lease(target: cluster.Target, settings: Settings) -> Iterator[Check]:
    match target.get(settings.lease_name):
        case Ok(lease=found):
            snapshot = read_snapshot(found)
        case NotFound():
            where = f"{target.namespace}/{settings.lease_name}"
            text = f"there is no Lease {where} yet: the first leader creates it"
            if why := about_missing(target, settings.lease_name):
                text += f". {why.removesuffix('.')}"
            yield Check(name="lease", verdict="INFO", text=text)
            return
        case failed:
            yield Check(name="lease", verdict="FAIL", text=str(failed.error))
            return
    record = snapshot.record
    text = "free: whoever comes first leads"
    holder = recognise(snapshot)
    if holder is not None:
        text = (
            f"held by {quoted(record.holder_identity)} ({printable(holder.kind)}); "
            "`status` tells whether it lives"
        )
    yield Check(name="lease", verdict="PASS", text=text)
    for odd in oddities(snapshot, settings):
        yield Check(name="lease", verdict="WARN", text=odd)


def oddities(snapshot: Snapshot, settings: Settings) -> list[str]:
    """Say in plain words what is unusual about a Lease."""
    record, metadata = snapshot.record, snapshot.lease["metadata"]
    found = []
    if metadata.get("deletionTimestamp"):
        found.append(
            "it is being deleted and waits for its finalizers: it can be renewed until "
            "they are gone, then the election begins anew"
        )
    elif metadata.get("finalizers"):
        found.append("it has finalizers: deleting it will wait for somebody")
    if metadata.get("ownerReferences"):
        found.append("another object owns it: it is deleted together with that one")
    if record.is_free:
        wishes = [w for w in (STEP_DOWN, SUCCESSOR) if w in snapshot.annotations]
        return found + [f"it is free and still carries the wish {w}" for w in wishes]
    duration = record.lease_duration
    if duration is None:
        found.append(
            "it is held and has no duration, as the Node package creates it: others "
            "wait for 20 s at least"
        )
    elif duration > ODD_DURATION:
        found.append(
            f"it lasts {duration} s: if its holder dies, nobody leads for so long"
        )
    elif duration != settings.lease_duration_sec:
        found.append(
            f"its holder wrote {duration} s, and these settings say "
            f"{settings.lease_duration_sec} s: do all replicas have the same?"
        )
    for name, moment in (
        ("acquireTime", record.acquire_time),
        ("renewTime", record.renew_time),
    ):
        if not isinstance(moment, int):
            found.append(f"its {name} is {printable(str(moment or 'missing'))}")
    if record.lease_transitions is None:
        found.append("its transitions are not counted")
    ahead = _ahead(record.renew_time)
    if ahead > CLOCK_NOTICED:
        found.append(
            f"its renewTime is {seconds(ahead)} ahead of this machine's clock: one of "
            "the two clocks is wrong, which does no harm to an election"
        )
    if not record.holder_identity.isprintable():
        found.append("its holder's identity holds characters that cannot be shown")
    return found


def _ahead(moment: int | str | None) -> float:
    if not isinstance(moment, int):
        return 0.0
    return (moment - SystemClock().now().wall) / 1_000_000


def _timings(settings: Settings) -> Iterator[Check]:
    t = timings(settings)
    text = (
        f"a crash costs at most {at_most(t.crash_fail_over)} from the last renewal; a "
        f"leader rides out API outages below {at_least(t.outage_survived)};\n"
        f"it has stopped {exact(t.leader_stops_within)} after a renewal, others start "
        f"{exact(t.others_start_after)} after it: all of `kle timings`"
    )
    fix = as_options(warning_about(t))
    yield Check(name="timings", verdict="WARN" if fix else "PASS", text=text, fix=fix)
