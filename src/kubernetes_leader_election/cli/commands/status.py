"""``status``: who leads, judged by watching it renew, not by comparing clocks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import click

from kubernetes_leader_election.cli import exit_codes
from kubernetes_leader_election.cli.observe import cluster, holder_end
from kubernetes_leader_election.cli.observe.command_options import several_options
from kubernetes_leader_election.cli.option_names import as_options
from kubernetes_leader_election.cli.options import lease_argument, seconds_option
from kubernetes_leader_election.cli.output import (
    emit,
    note,
    output_option,
    seconds,
    style,
)
from kubernetes_leader_election.cli.tables import Column, table, terminal_width
from kubernetes_leader_election.text import printable, quoted

if TYPE_CHECKING:
    from kubernetes_leader_election.cli.observe.lease_watcher import LeaseWatcher
    from kubernetes_leader_election.cli.observe.tracker import Tracker
    from kubernetes_leader_election.core.timing import Now

LONGEST_LOOK: Final = 60.0
"""Seconds to observe at most unless told: leases of an hour are no reason to wait."""
COLOURS: Final = {"leads": "green", "expired": "red", "free": "yellow"}
TABLE: Final = (
    Column(title="LEASE", least=14),
    Column(title="STATE"),
    Column(title="HOLDER", least=14),
    Column(title="RENEWED", optional=1),
    Column(title="EXPIRES"),
    Column(title="TRANSITIONS", optional=3),
    Column(title="PROGRAM", optional=2),
)
LONGEST_NAME: Final = 253
"""Characters of a name that are shown where there is room: those of a pod's."""
GROUP: Final = "coordination.k8s.io"
CANDIDATE_VERSIONS: Final = ("v1beta1", "v1alpha2")
"""Those of LeaseCandidate, since Kubernetes 1.33 and 1.32; off unless switched on."""
SILENT: Final = "who waits for an ordinary Lease writes nothing"


@click.command("status")
@lease_argument(required=False)
@several_options
@seconds_option(
    "--observe-sec",
    None,
    "Observe for at most this long; 0 shows what is written and judges nothing. By "
    "default, until it is known whether the holder renews, and for at most 60 s.",
)
@output_option
def command(
    *,
    lease: str | None,
    open_target: cluster.Opening,
    observe_sec: float | None,
    output: str,
) -> None:
    """
    Show who holds LEASE, since when, and whether it is alive; without LEASE, a table.

    A holder is judged as every candidate judges it: either its record changes, or it stands
    still for the whole lease duration by this machine's clock. This takes up to one renew
    interval of the holder. `status` never contends and writes nothing.

    Needs the rights to get and watch LEASE; with the right to get pods, too, it says whether
    the end of a holder with crash_takeover is proved. The table needs the right to list leases, with
    -A in all namespaces. Exits with 0 if somebody leads, with 1 if nobody does or there is
    no such Lease; for the table, with 1 if there is no such namespace.

    \b
    kle status billing -n shop
    kle status                    all Leases of the namespace
    kle status -A -l app=shop     of all namespaces, with this label
    kle status billing -o json
    """
    from kubernetes_leader_election.cli.observe.lease_watcher import LeaseWatcher  # noqa: PLC0415 - help is quick

    with open_target(*([lease] if lease else [])) as target:
        leases = None if lease is None else [lease]
        with LeaseWatcher(target, leases) as watcher:
            limit = LONGEST_LOOK if observe_sec is None else observe_sec
            trackers = observe(watcher, leases, limit, say=output == "text")
            now = watcher.now()
        if lease is None:
            raise SystemExit(_show_table(trackers, now, target, output))
        found = describe(trackers[lease], now, target)
        names, because = candidates(target, lease)
        end = holder_end.look_at_holder(target, trackers[lease].snapshot)
        found |= {
            "crash_proof": None if end is None else end.verdict,
            "crash_proof_because": None if end is None else end.why,
        }
        found |= {"candidates": names, "candidates_because": because}
        if output == "text":
            _show_one(found, trackers[lease], target, now)
        else:
            emit(found, output)
            if found["state"] == "missing" and (why := _about_missing(target, lease)):
                note(why)
    leading = found["state"] in {"leads", "held"}
    raise SystemExit(exit_codes.OK if leading else exit_codes.NO)


def observe(
    watcher: LeaseWatcher, leases: list[str] | None, limit: float, *, say: bool = False
) -> dict[str, Tracker]:
    """
    Look until it is known of each Lease whether its holder renews, or for ``limit``.

    Raises:
        LeaseApiError: the very first look failed.

    """
    from kubernetes_leader_election.cli.observe.lease_watcher import (  # noqa: PLC0415 - help is quick
        AllListed,
        Sighting,
        Trouble,
    )
    from kubernetes_leader_election.cli.observe.tracker import Tracker  # noqa: PLC0415 - help is quick

    began = watcher.now()
    trackers = {name: Tracker(name, began) for name in leases or ()}
    some, said = False, False
    while True:
        now = watcher.now()
        unknown = [t for t in trackers.values() if not t.is_judged(now)]
        over = now.monotonic - began.monotonic >= limit
        if some and (over or not unknown):
            # A silent watch must not make a holder look dead: look once more.
            suspects = [t for t in trackers.values() if t.state(now) == "expired"]
            for tracker in suspects:
                again = watcher.look(tracker.lease)
                if isinstance(again, Sighting):
                    tracker.see(again.snapshot, again.at)
            if over or all(t.is_judged(watcher.now()) for t in suspects):
                return trackers
        if some and not said and say and unknown:
            said = True
            wait = max(t.expires_in(now) or 0.0 for t in unknown)
            note(f"observing for up to {math.ceil(min(limit, wait))} s ...")
        seen = watcher.next(_pause(unknown, now, began.monotonic + limit, some=some))
        if isinstance(seen, Trouble):
            if not some:
                raise seen.error
            note(as_options(str(seen.error)))
        elif isinstance(seen, Sighting):
            tracker = trackers.setdefault(seen.lease, Tracker(seen.lease, began))
            tracker.see(seen.snapshot, seen.at)
            some = some or (
                leases is not None and all(t.seen for t in trackers.values())
            )
        elif isinstance(seen, AllListed):
            some = True


def _pause(unknown: list[Tracker], now: Now, end: float, *, some: bool) -> float:
    """Return the seconds until there may be something to judge without news."""
    if not some:
        return cluster.REQUEST_WITHIN
    nearest = min((t.expires_in(now) or 0.0 for t in unknown), default=0.0)
    return max(0.01, min(nearest + 0.01, end - now.monotonic))


def describe(tracker: Tracker, now: Now, target: cluster.Target) -> dict[str, Any]:
    """Return all that is known of a Lease, in plain types."""
    from kubernetes_leader_election.core.annotations import STEP_DOWN, SUCCESSOR  # noqa: PLC0415 - help is quick
    from kubernetes_leader_election.core.pod_notes import note_of  # noqa: PLC0415 - as above

    record, snapshot, holder = tracker.record, tracker.snapshot, tracker.holder
    held = record is not None and not record.is_free
    annotations = {} if snapshot is None else snapshot.annotations
    version = snapshot.version if snapshot is not None and held else None
    token = tracker.token if held else None
    note = None if snapshot is None else note_of(snapshot)
    namespace, lease = target.place_of(tracker.lease)
    return {
        "lease": lease,
        "namespace": namespace,
        "server": target.server,
        "state": tracker.state(now),
        "holder": record.holder_identity if record is not None and held else None,
        "holder_kind": None if holder is None else holder.kind,
        "can_be_asked": None if holder is None else holder.honours_wishes,
        "acquire_time": None if record is None else _time(record.acquire_time),
        "renew_time": None if record is None else _time(record.renew_time),
        "lease_duration_sec": None if record is None else record.lease_duration,
        "renewed_ago_sec": _ago(tracker.renewed, now),
        "unchanged_for_at_least_sec": _round(tracker.quiet_for(now)),
        "expires_in_sec": _round(tracker.expires_in(now)),
        "transitions": None if record is None else record.lease_transitions,
        "token": None if token is None else token[0],
        "token_because": None if token is None else token[1],
        "token_at_most": version,
        "asked_to_step_down": held and STEP_DOWN in annotations,
        "successor": annotations.get(SUCCESSOR),
        "pod_of_crash_note": None if note is None else f"{note.namespace}/{note.pod}",
        "observed_for_sec": _ago(tracker.began, now),
    }


def candidates(target: cluster.Target, lease: str) -> tuple[list[str] | None, str]:
    """
    Return the candidates that registered as such, and why there may be more, or none.

    Only coordinated elections of Kubernetes itself register theirs (LeaseCandidate);
    an ordinary candidate waits without writing anything, so no source knows it.
    """
    from kubernetes_leader_election.kube_api.results import Answered  # noqa: PLC0415 - help is quick

    for version in CANDIDATE_VERSIONS:
        path = f"/apis/{GROUP}/{version}/namespaces/{target.namespace}/leasecandidates"
        answer = target.client.request("GET", path, call=cluster.call())
        if isinstance(answer, Answered):
            break
        if answer.error.status == 403:
            return None, f"no right to list leasecandidates, and {SILENT}"
        if answer.error.status != 404:
            return None, f"the server does not tell ({answer.error})"
    else:
        return None, f"this server has no LeaseCandidates, and {SILENT}"
    items = answer.body.get("items")
    found = [
        str(item.get("metadata", {}).get("name"))
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, dict) and item.get("spec", {}).get("leaseName") == lease
    ]
    if not found:
        return None, f"no LeaseCandidate names this Lease, and {SILENT}"
    return found, "registered as LeaseCandidates"


def _show_one(
    found: dict[str, Any], tracker: Tracker, target: cluster.Target, now: Now
) -> None:
    click.echo(target.describe(tracker.lease))
    if found["state"] == "missing":
        click.echo(style("There is no such Lease", fg="yellow") + ": nobody leads.")
        if why := _about_missing(target, found["lease"]):
            click.echo(why)
        if target.namespace != "default":
            click.echo(
                "The library's default is the namespace `default`: try -n default."
            )
        return
    rows = [("leader", _leader(found))]
    if found["holder"] is not None:
        rows += [
            ("program", _program(tracker)),
            ("since", _since(found, tracker, now)),
            ("renewed", _renewed(found)),
            ("expires", _expires(found)),
        ]
    rows.append(("transitions", _or(found["transitions"], "not counted")))
    if found["holder"] is not None:
        rows.append(("token", _token(found)))
        if found["pod_of_crash_note"]:
            rows.append(("crash", _crash(found)))
    names, because = found["candidates"], found["candidates_because"]
    shown = ", ".join(printable(name) for name in names or ())
    rows.append(
        ("candidates", shown or f"not known: {printable(because, longest=200)}")
    )
    if found["asked_to_step_down"]:
        rows.append(("asked", "to step down"))
    if found["successor"]:
        rows.append(("successor", quoted(str(found["successor"]))))
    for name, value in rows:
        click.echo(f"{style(f'{name:12}', bold=True)} {value}")


def _leader(found: dict[str, Any]) -> str:
    holder = quoted(found["holder"] or "")
    return {
        "leads": f"{style(holder, fg='green', bold=True)}, seen to renew",
        "held": f"{style(holder, bold=True)}, not seen to renew yet",
        "expired": f"{style('nobody', fg='red', bold=True)}: {holder} let it expire",
        "free": f"{style('nobody', fg='yellow', bold=True)}: it is free",
    }[found["state"]]


def _program(tracker: Tracker) -> str:
    holder = tracker.holder
    if holder is None:
        return ""
    asked = {
        True: "can be asked to step down",
        False: "cannot be asked to step down",
        None: "may not know how to step down",
    }[holder.honours_wishes]
    return (
        f"{printable(holder.kind)} ({asked}: {printable(holder.because, longest=200)})"
    )


def _renewed(found: dict[str, Any]) -> str:
    ago = found["renewed_ago_sec"]
    if ago is not None:
        return f"{seconds(ago)} ago"
    return f"not within the {seconds(found['unchanged_for_at_least_sec'])} observed"


def _expires(found: dict[str, Any]) -> str:
    left = found["expires_in_sec"]
    if found["state"] == "expired":
        from kubernetes_leader_election.core.record import ASSUMED_DURATION  # noqa: PLC0415 - help is quick

        lasts = found["lease_duration_sec"] or ASSUMED_DURATION
        return f"it has: unchanged for {lasts} s"
    return f"in {seconds(left)} unless renewed"


def _token(found: dict[str, Any]) -> str:
    if found["token"] is not None:
        return f"{found['token']}, {found['token_because']}"
    if found["token_at_most"] is None:
        return "not known"
    why = (
        "the holder notes it with its first renewal"
        if found["can_be_asked"]
        else "only who saw it acquired knows it"
    )
    return f"at most {found['token_at_most']}: {why}"


def _crash(found: dict[str, Any]) -> str:
    """Say whether the holder's pod proves its end, and for how long others wait if not."""
    pod, verdict = quoted(found["pod_of_crash_note"]), found["crash_proof"]
    why = found["crash_proof_because"]
    if verdict == "proven":
        # It renews and has ended: not both are so, or not any more.
        still = "; yet it was seen to renew" if found["state"] == "leads" else ""
        return f"{style('proved', fg='red', bold=True)}: {why}{still}"
    if verdict == "unknown":
        return f"would be proved by the status of its pod {pod}, not read here: {why}"
    if verdict == "not yet" and found["state"] == "leads":
        return f"would be proved by the status of its pod {pod}"
    left = found["expires_in_sec"]
    waits = f"; others wait for {seconds(left)}" if left else ""
    if found["state"] == "leads":
        waits = "; after a crash others wait for the whole lease duration"
    return f"not proven: {why}{waits}"


def _since(found: dict[str, Any], tracker: Tracker, now: Now) -> str:
    """Say when the term began: how long ago in words, and as it is written."""
    record = tracker.record
    moment = None if record is None else record.acquire_time
    if not moment:
        return "not written"
    words = f"{found['acquire_time']}, by the clock of who wrote it"
    if not isinstance(moment, int):
        return words
    ago = (now.wall - moment) / 1_000_000
    if ago < 0:
        return f"{words}, which is {seconds(-ago)} ahead of this one"
    return f"{seconds(ago)} ago ({words})"


def _about_missing(target: cluster.Target, lease: str) -> str:
    from kubernetes_leader_election.cli.observe import whereabouts  # noqa: PLC0415 - help is quick

    return whereabouts.about_missing(target, lease)


def _show_table(
    trackers: dict[str, Tracker], now: Now, target: cluster.Target, output: str
) -> int:
    """Show all Leases; give the exit code."""
    found = [describe(trackers[name], now, target) for name in sorted(trackers)]
    found = [one for one in found if one["state"] != "missing"]
    if output != "text":
        emit(found, output)
    else:
        click.echo(target.describe())
        _print_table(found, everywhere=target.everywhere)
    if found or target.everywhere:
        return exit_codes.OK
    from kubernetes_leader_election.cli.observe import whereabouts  # noqa: PLC0415 - help is quick

    exists = whereabouts.namespace_exists(target)
    if why := whereabouts.about_namespace(target, exists):
        note(why)
    return exit_codes.NO if exists is False else exit_codes.OK


def _print_table(found: list[dict[str, Any]], *, everywhere: bool) -> None:
    if not found:
        click.echo("There are none.")
        return
    rows = [
        (
            *([one["namespace"]] if everywhere else []),
            one["lease"],
            style(one["state"], fg=COLOURS.get(one["state"])),
            printable(one["holder"] or "-", longest=LONGEST_NAME),
            _table_time(one["renewed_ago_sec"], " ago"),
            _table_time(one["expires_in_sec"]),
            _or(one["transitions"], "-"),
            printable(one["holder_kind"] or "-", longest=24),
        )
        for one in found
    ]
    columns = (Column(title="NAMESPACE", least=9), *TABLE) if everywhere else TABLE
    for line in table(columns, rows, terminal_width()):
        click.echo(line)


def _table_time(value: float | None, suffix: str = "") -> str:
    return "-" if value is None else seconds(value) + suffix


def _or(value: Any, otherwise: str) -> str:
    return otherwise if value is None else str(value)


def _ago(moment: Now | None, now: Now) -> float | None:
    return None if moment is None else _round(now.monotonic - moment.monotonic)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _time(value: int | str | None) -> str | None:
    """Write a time as the Lease has it."""
    from kubernetes_leader_election.core.record import format_time  # noqa: PLC0415 - help is quick

    return format_time(value) if isinstance(value, int) else value
