"""``release --force``: free a Lease that its holder does not let go of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

import click

from kubernetes_leader_election.cli import exit_codes
from kubernetes_leader_election.cli.observe import cluster
from kubernetes_leader_election.cli.observe.command_options import cluster_options
from kubernetes_leader_election.cli.options import (
    lease_argument,
    option,
    seconds_option,
)
from kubernetes_leader_election.cli.output import emit, note, output_option, seconds
from kubernetes_leader_election.rights import ASKING
from kubernetes_leader_election.text import quoted

if TYPE_CHECKING:
    from kubernetes_leader_election.cli.observe.tracker import Tracker
    from kubernetes_leader_election.core.timing import Now

DANGERS: Final = {
    "leads": (
        "{holder} was seen to renew {ago} ago: it is ALIVE and works.\n"
        "Released now, another candidate starts at once, while {holder} may go on until\n"
        "it notices: two will work at the same time. Use `step-down` instead."
    ),
    "held": (
        "{holder} was not seen to renew for {quiet}, and the Lease runs for {left} more.\n"
        "It may be alive: released now, two may work at the same time for that long,\n"
        "unless you know that its process is dead and cannot come back."
    ),
}


@click.command("release")
@lease_argument()
@option(
    "--force", is_flag=True, help="Confirm that you mean it; this is the last resort."
)
@seconds_option(
    "--observe-sec",
    None,
    "Observe for at most this long; by default until the Lease is renewed or expires.",
)
@option("-y", "--yes", is_flag=True, help="Do not ask if the Lease has expired.")
@option(
    "--two-may-work",
    is_flag=True,
    help="With --yes: do not ask even if the Lease has not expired. Two leaders may then "
    "work at the same time.",
)
@cluster_options
@output_option
def command(
    *,
    lease: str,
    force: bool,
    observe_sec: float | None,
    yes: bool,
    two_may_work: bool,
    open_target: cluster.Opening,
    output: str,
) -> None:
    """
    Free LEASE by force: the last resort if its holder is dead and the Lease is long.

    `release` observes first. A Lease that has expired can be freed safely. A holder that
    renews, or that has only been quiet so far, may be at work: freeing its Lease is
    dangerous, and you are asked to type the Lease's name. The Lease is written only if
    nothing has changed since (resourceVersion and uid).

    Try `step-down` first. Needs the rights to get, watch and update LEASE. Exits with 0 if
    LEASE is free, with 1 if it is not or does not exist.

    \b
    kle release billing --force
    kle release billing --force --yes      only if it is seen to have expired
    """
    if not force:
        raise click.UsageError(
            "This frees a Lease under its holder's feet, as the last resort. Try "
            f"`step-down {lease}` first; if you mean it, add --force."
        )
    from kubernetes_leader_election.cli.commands.status import observe  # noqa: PLC0415 - help is quick
    from kubernetes_leader_election.cli.observe.handover import read  # noqa: PLC0415 - help is quick
    from kubernetes_leader_election.cli.observe.lease_watcher import LeaseWatcher  # noqa: PLC0415 - help is quick
    from kubernetes_leader_election.cli.observe.whereabouts import about_missing  # noqa: PLC0415 - help is quick

    with open_target(needs=ASKING) as target:
        note(target.describe(lease))
        if read(target, lease) is None:
            why = about_missing(target, lease)
            text = f"There is no Lease {target.namespace}/{lease}: nothing to release."
            _end(target, lease, "missing", f"{text} {why}".rstrip(), output)
        limit = float("inf") if observe_sec is None else observe_sec
        with LeaseWatcher(target, [lease]) as watcher:
            tracker = observe(watcher, [lease], limit, say=True)[lease]
            now = watcher.now()
        state = tracker.state(now)
        if state in {"free", "missing"}:
            text = f"{lease} is {state}: nothing to release."
            _end(target, lease, state, text, output)
        try:
            _confirm(tracker, state, now, yes=yes, two_may_work=two_may_work)
        except click.Abort:
            note("")  # below the question
            text = f"Nothing was written: {lease} is as it was."
            _end(target, lease, "not confirmed", text, output, tracker)
        _free(target, tracker, output)


def _end(
    target: cluster.Target,
    lease: str,
    outcome: str,
    text: str,
    output: str,
    tracker: Tracker | None = None,
) -> NoReturn:
    """Say what came of it, and exit with 0 if the Lease is free."""
    free = outcome in {"released", "free"}
    record = None if tracker is None else tracker.record
    if output != "text":
        found = {
            "lease": lease,
            "namespace": target.namespace,
            "outcome": outcome,
            "holder": None if record is None else record.holder_identity or None,
            "text": text,
        }
        emit(found, output)
    else:
        click.echo(text, err=not free)
    raise SystemExit(exit_codes.OK if free else exit_codes.NO)


def _confirm(
    tracker: Tracker, state: str, now: Now, *, yes: bool, two_may_work: bool
) -> None:
    record = tracker.record
    assert record is not None  # noqa: S101 - it is held or expired
    holder = quoted(record.holder_identity)
    if state == "expired":
        note(
            f"{holder} let it expire: unchanged for {seconds(tracker.quiet_for(now) or 0)}."
            " Any candidate may take it; to release it is safe."
        )
        if not yes:
            click.confirm(f"Release {tracker.lease}?", abort=True, err=True)
        return
    renewed = tracker.renewed
    danger = DANGERS[state].format(
        holder=holder,
        ago=seconds(now.monotonic - renewed.monotonic) if renewed else "just now",
        quiet=seconds(tracker.quiet_for(now) or 0.0),
        left=seconds(tracker.expires_in(now) or 0.0),
    )
    note(f"DANGER: {danger}")
    if yes and two_may_work:
        return
    if yes:
        raise click.UsageError(
            "--yes answers only for a Lease that has expired. If two may work at the "
            "same time, say so with --two-may-work."
        )
    typed = click.prompt(
        f"Type the Lease's name to release it all the same ({tracker.lease})", err=True
    )
    if typed != tracker.lease:
        raise click.Abort


def _free(target: cluster.Target, tracker: Tracker, output: str) -> None:
    from kubernetes_leader_election.core.annotations import (  # noqa: PLC0415 - help is quick
        STEP_DOWN,
        TOKEN,
        without,
    )
    from kubernetes_leader_election.core.record import Stamp, released  # noqa: PLC0415 - help is quick
    from kubernetes_leader_election.engine.clocks import SystemClock  # noqa: PLC0415 - help is quick
    from kubernetes_leader_election.kube_api.results import Conflict, Ok  # noqa: PLC0415 - help is quick

    snapshot = tracker.snapshot
    assert snapshot is not None  # noqa: S101 - it is held or expired
    now = SystemClock().now().wall
    stamp = Stamp(holder_identity="", acquire_time=now, renew_time=now)
    match target.client.replace(
        target.namespace,
        tracker.lease,
        without(released(snapshot, stamp=stamp), STEP_DOWN, TOKEN),
        call=cluster.call(),
        needs=target.needs,
    ):
        case Ok():
            holder = quoted(snapshot.record.holder_identity)
            text = f"{tracker.lease} is free; {holder} held it."
            _end(target, tracker.lease, "released", text, output, tracker)
        case Conflict():
            text = (
                f"{tracker.lease} has changed since it was observed, so nothing was "
                "written: its holder lives, or another one leads. See `status`."
            )
            _end(target, tracker.lease, "changed", text, output, tracker)
        case failed:
            raise failed.error
