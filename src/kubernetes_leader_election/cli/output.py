"""
How commands say what they found: for people, or as JSON or YAML for programs.

Colours only on a terminal and never with NO_COLOR; what others wrote into a Lease is
escaped before it is shown.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable
from typing import Any, Final

import click

from kubernetes_leader_election.cli.options import option

FORMATS: Final = ("text", "json", "yaml")

output_option = option(
    "-o",
    "--output",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="text for people; json or yaml for programs.",
)
"""Add -o/--output; passed as ``output``."""


def emit(value: Any, output: str) -> None:
    """Print a value of plain types as JSON or YAML."""
    if output == "json":
        click.echo(json.dumps(value, indent=2))
        return
    import yaml  # noqa: PLC0415 - only for this format

    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
        shows = text.replace("\n", "").isprintable()
    except UnicodeEncodeError:  # stdout has no such letters
        shows = False
    if not shows:  # nor may others' letters turn a line round: YAML can escape them
        text = yaml.safe_dump(value, sort_keys=False)
    click.echo(text, nl=False)


def style(text: str, **how: Any) -> str:
    """Colour a text; click takes colours away where the output is no terminal."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else click.style(text, **how)


def note(text: str) -> None:
    """Say on stderr what goes on, so that stdout holds the answer alone."""
    click.echo(text, err=True)


def on_terminal() -> bool:
    """Return whether the output is a terminal that can redraw."""
    return to_terminal() and os.environ.get("TERM", "dumb") != "dumb"


def to_terminal() -> bool:
    """Return whether somebody reads stdout on a terminal; it may be closed altogether."""
    return sys.stdout is not None and sys.stdout.isatty()


def seconds(value: float, rounded: Callable[[float], float] = round) -> str:
    """Write a length of time as people do, rounded in this way."""
    if (milliseconds := _whole(value * 1000, rounded)) < 1000:
        return f"{milliseconds} ms"
    if (tenths := _whole(value * 10, rounded)) < 1200:
        return f"{tenths / 10:g} s"
    if value < 7200:
        return f"{_whole(value / 60, rounded)} min"
    if value < 48 * 3600:
        return f"{_whole(value / 3600, rounded)} h"
    return f"{_whole(value / 86400, rounded)} days"


def at_most(value: float) -> str:
    """Write a length of time that is a promise of no more: never rounded down."""
    return seconds(value, math.ceil)


def at_least(value: float) -> str:
    """Write a length of time that is a promise of no less: never rounded up."""
    return seconds(value, math.floor)


def exact(value: float) -> str:
    """Write a length of time as it was chosen, to the millisecond."""
    if value < 1:
        return f"{value * 1000:g} ms"
    return f"{value:.3f}".rstrip("0").rstrip(".") + " s"


def _whole(value: float, rounded: Callable[[float], float]) -> int:
    # What floats cannot say exactly, as 22.6 s in tenths, is no reason to round.
    return int(rounded(round(value, 6)))


def short_time(value: float) -> str:
    """Write a length of time with the unit that suits it."""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"
