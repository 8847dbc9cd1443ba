"""``timings``: what a choice of times means, or why it is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from kubernetes_leader_election.cli.option_names import as_options
from kubernetes_leader_election.cli.options import option, timing_options
from kubernetes_leader_election.cli.output import (
    at_least,
    at_most,
    emit,
    exact,
    note,
    output_option,
    style,
)

if TYPE_CHECKING:
    from kubernetes_leader_election.settings.options import Settings
    from kubernetes_leader_election.settings.promises import Timings

WIDTH: Final = 60
"""Characters of the picture's time line."""


@click.command("timings")
@timing_options
@option("--presets", is_flag=True, help="Compare the default and all presets instead.")
@output_option
def command(*, timing: dict[str, float | str], presets: bool, output: str) -> None:
    """
    Show what a choice of times means: every derived number, and a picture.

    Give as few times as you like; the others follow. The renew interval is 10 s by default.
    Times that could let two replicas work at once are refused, with the arithmetic and with
    times that would work (exit code 2). What is promised is rounded to the safe side.

    \b
    kle timings --lease-duration-sec 10 --renew-interval-ms 3000
    kle timings --preset steady -o json
    kle timings --presets
    """
    from kubernetes_leader_election import settings as s  # noqa: PLC0415 - help is quick

    if presets:
        if timing:
            raise click.UsageError("--presets compares presets: give no other times.")
        _compare(output)
        return
    chosen = s.resolve_settings(lease_name="timings", **timing)
    derived = s.timings(chosen)
    _warn(derived)
    if output != "text":
        emit({"preset": chosen.preset, **asdict(derived)}, output)
        return
    for line in describe(chosen, derived):
        click.echo(line)
    click.echo()
    for line in picture(derived, chosen.clock_rate_error):
        click.echo(line)


def _warn(derived: Timings) -> None:
    """Say on stderr what had better not be so."""
    from kubernetes_leader_election.settings.promises import warning_about  # noqa: PLC0415 - help is quick

    if warning := warning_about(derived):
        note(f"Warning: {as_options(warning)}")


def describe(chosen: Settings, derived: Timings) -> list[str]:
    """Return every number with its meaning, a line each."""
    t, rho = derived, chosen.clock_rate_error
    best, kills = at_least(t.crash_fail_over_best), at_least(t.run_kills_after)
    quiet = "nothing" if t.quiet_candidates else "a read now and then (R > D / 2)"
    rows: list[tuple[str, str, str]] = [
        ("lease duration", exact(t.lease_duration), "D, what stands in the Lease"),
        ("renew interval", exact(t.renew_interval), "R, the leader writes this often"),
        (
            "renew deadline",
            exact(t.renew_deadline),
            "L, a leader that cannot renew stops",
        ),
        ("stop budget", exact(t.stop_budget), "S, time for the work to stop then"),
        ("grace", _or_never(t.grace, exact), "for the work to end in a planned stop"),
        ("request timeout", exact(t.request_timeout), "T, for one request in all"),
        ("", "", ""),
        (
            "leader has stopped",
            exact(t.leader_stops_within),
            f"after its last renewal at the latest, if its clock is {rho:.3g} slow",
        ),
        (
            "others start",
            exact(t.others_start_after),
            f"after it at the earliest, if their clocks are {rho:.3g} fast",
        ),
        (
            "hard limit",
            at_least(t.hard_limit),
            f"on its own clock; `run` kills its command after {kills}",
        ),
        (
            "signal ends it",
            _or_never(t.after_signal, at_most),
            "after SIGTERM at the latest, if work in the main thread goes on",
        ),
        (
            "pod needs",
            _or_never(t.pod_needs, at_most),
            "of terminationGracePeriodSeconds: grace, release, a moment",
        ),
        (
            "crash fail-over",
            at_most(t.crash_fail_over),
            f"at worst from the last renewal, {best} at best from the crash",
        ),
        (
            "proved crash",
            at_most(t.crash_fail_over_proved),
            "with --crash-takeover, from the kubelet's report: a second after the crash",
        ),
        (
            "clean hand-over",
            at_most(t.hand_over),
            "at worst, and three round trips of the network",
        ),
        (
            "outage survived",
            at_least(t.outage_survived),
            "of the API: a leader rides out every shorter one",
        ),
        (
            "leader writes",
            f"{t.writes_per_minute:.3g}/min",
            f"while nothing goes wrong; a waiting candidate sends {quiet}",
        ),
    ]
    width = max(9, *(len(value) for _, value, _ in rows))
    return [_line(*row, width) if row[0] else "" for row in rows]


def _line(name: str, value: str, meaning: str, width: int) -> str:
    return f"{style(f'{name:19}', bold=True)} {value:>{width}}  {meaning}"


def _or_never(value: float | None, shown: Callable[[float], str]) -> str:
    return "no end" if value is None else shown(value)


def picture(derived: Timings, rho: float) -> list[str]:
    """Draw who may do what after the last renewal of a leader that is cut off."""
    t = derived
    end = t.crash_fail_over
    stop = t.leader_stops_within - t.stop_budget

    def at(moment: float) -> int:
        return min(WIDTH, round(WIDTH * moment / end))

    def bar(first: float, last: float, mark: str) -> str:
        return " " * at(first) + mark * max(1, at(last) - at(first))

    works = bar(0, stop, "=") + "~" * max(1, at(t.leader_stops_within) - at(stop))
    tries = list(" " * (WIDTH + 1))
    moment = t.renew_interval
    # Where a place stands for many tries, half a place on is enough: one mark each.
    step = max(t.request_timeout, t.renew_interval / 4, end / WIDTH / 2)
    while moment < t.renew_deadline:
        tries[at(moment)] = "^"
        moment += step
    waits = bar(0, t.others_start_after, ".") + bar(0, end - t.others_start_after, "?")
    return [
        "A leader that is cut off right after a renewal:",
        "",
        f"  {'seconds':10} 0{_ruler(end)}",
        f"  {'leader':10} {works}",
        f"  {'tries':10} {''.join(tries).rstrip()}",
        f"  {'others':10} {waits}",
        "",
        f"  = works, even with a clock {rho:.3g} slow   ~ stops   ^ tries to renew",
        "  . must wait   ? takes over somewhere here, as clocks are right or wrong",
    ]


def _ruler(end: float) -> str:
    """Write the seconds at a few round places of the time line."""
    step = next(
        (s for s in (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600) if end / s <= 6),
        end / 5,
    )
    line = ""
    moment = step
    while moment < end:
        mark = f"{moment:.4g}"
        target = round(WIDTH * moment / end) - len(mark) // 2 - 1
        if target > len(line):
            line = line.ljust(target) + mark
        moment += step
    return line


def _compare(output: str) -> None:
    from kubernetes_leader_election import settings as s  # noqa: PLC0415 - help is quick
    from kubernetes_leader_election.cli.tables import (  # noqa: PLC0415 - help is quick
        Column,
        table,
        terminal_width,
    )

    purposes = {"default": "the Node package's rhythm"}
    purposes |= {name: preset.purpose for name, preset in s.PRESETS.items()}
    found = {
        name: s.timings(
            s.resolve_settings(
                lease_name="timings", preset=None if name == "default" else name
            )
        )
        for name in purposes
    }
    if output != "text":
        emit({name: asdict(one) for name, one in found.items()}, output)
        return
    titles = ("PRESET", "D", "R", "L", "CRASH FAIL-OVER", "IF PROVED")
    columns = [Column(title=title) for title in (*titles, "OUTAGE SURVIVED", "WRITES")]
    rows = [
        (
            name,
            exact(t.lease_duration),
            exact(t.renew_interval),
            exact(t.renew_deadline),
            f"<= {at_most(t.crash_fail_over)}",
            f"<= {at_most(t.crash_fail_over_proved)}",
            f"< {at_least(t.outage_survived)}",
            f"{t.writes_per_minute:.3g}/min",
        )
        for name, t in found.items()
    ]
    for line in table(columns, rows, terminal_width()):
        click.echo(line)
    click.echo()
    click.echo(
        "A crash fail-over counts from the last renewal; if proved (--crash-takeover), "
        "from the kubelet's report."
    )
    for name, purpose in purposes.items():
        click.echo(f"{name:10} {purpose}")
