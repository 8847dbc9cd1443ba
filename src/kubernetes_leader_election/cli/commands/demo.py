"""``demo``: the story of three processes, told line by line, and a table at the end."""

from __future__ import annotations

import importlib.util
import signal
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import click

from kubernetes_leader_election.cli import exit_codes
from kubernetes_leader_election.cli.extras import needs
from kubernetes_leader_election.cli.options import option
from kubernetes_leader_election.cli.output import (
    emit,
    note,
    on_terminal,
    output_option,
    short_time,
    style,
)

if TYPE_CHECKING:
    from kubernetes_leader_election.cli.demo.story import Result


@click.command("demo")
@option(
    "--keep-logs",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the logs of the workers in this folder.",
)
@option("--plain", is_flag=True, help="Print lines, even on a terminal.")
@output_option
def command(*, keep_logs: Path | None, plain: bool, output: str) -> None:
    """
    Watch three real processes elect a leader on a Lease API of their own.

    They start, hand over on SIGTERM, take over after kill -9 and from a frozen leader, ride
    out a short outage of the API, and stop by themselves in a long one. Each worker logs what
    it believes; the table at the end is counted from those logs. Takes about half a minute.
    Exits with 1 if a promise was broken.

    On a terminal this is a live picture (with the extra `tui`), otherwise lines. With
    -o json the story goes to stderr and the table to stdout. Needs the extra `testing`.
    """
    # So that the workers are ended, too.
    before = signal.signal(signal.SIGTERM, _end)
    try:
        if keep_logs is not None:
            keep_logs.mkdir(parents=True, exist_ok=True)
            _demo(keep_logs, plain=plain, output=output)
            return
        with tempfile.TemporaryDirectory(prefix="leader-election-demo-") as folder:
            _demo(Path(folder), plain=plain, output=output)
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def _demo(folder: Path, *, plain: bool, output: str) -> None:
    with needs("testing", "demo"):
        from kubernetes_leader_election.cli.demo import story  # noqa: PLC0415 - needs an extra
    live = on_terminal() and not plain and output == "text"
    if live and importlib.util.find_spec("rich") is not None:
        from kubernetes_leader_election.cli.demo import table  # noqa: PLC0415 - needs an extra

        results, error = table.play(folder)
    else:
        results, error = _play_in_lines(folder, story, output)
    if not all(result.kept for result in results) or error is not None:
        if error is not None:
            click.echo(f"Error: {error}", err=True)
        _show_stderr(folder)
        raise SystemExit(exit_codes.NO)


def _play_in_lines(
    folder: Path, story: ModuleType, output: str
) -> tuple[list[Result], str | None]:
    begin = time.monotonic()
    say = click.echo if output == "text" else note

    def tell(line: str) -> None:
        say(f"{time.monotonic() - begin:6.2f} s  {line}")

    results: list[Result] = []
    try:
        results.extend(story.play(folder, tell))
    except story.BrokenPromiseError as error:
        return results, str(error)
    if output != "text":
        emit([asdict(result) for result in results], output)
        return results, None
    click.echo()
    _table(results)
    return results, None


def _table(results: list[Result]) -> None:
    width = max(len(result.what) for result in results)
    promised = max(len(result.promise) for result in results)
    click.echo(f"{'what':{width}}  {'took':>8}  {'promised':{promised}}  kept")
    click.echo(f"{'-' * width}  {'-' * 8}  {'-' * promised}  ----")
    for result in results:
        took = "" if result.took is None else short_time(result.took)
        kept = style("yes", fg="green") if result.kept else "NO"
        click.echo(
            f"{result.what:{width}}  {took:>8}  {result.promise:{promised}}  {kept}"
        )


def _show_stderr(folder: Path) -> None:
    for path in sorted(folder.glob("*.stderr")):
        text = path.read_text(errors="replace")
        if text:
            click.echo(f"--- {path.stem}\n{text}", err=True)
