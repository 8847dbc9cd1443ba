"""
Write the numbers of the code into the pages that name them: ``python docs/quoted_numbers.py``.

Each place is a sentence with the numbers left open. A test compares the pages with what
this gives, so that a number that is changed in the code is changed everywhere, or seen.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

from kubernetes_leader_election.process import limits
from kubernetes_leader_election.settings import PRESETS, resolve_settings, timings

ROOT = Path(__file__).resolve().parents[1]
NUMBER = r"\d+(?:\.\d+)?"
_SETTINGS = "src/kubernetes_leader_election/settings"
_LIFE_CYCLE = "docs/life-cycle.md"
_ROW = (
    "| {title} | {name.renew_interval} s | {name.lease_duration} s "
    "| {name.outage_survived} s | {name.crash_fail_over} s | {name.writes_per_minute} |"
)
PLACES = (
    (
        "docs/production.md",
        "an outage of the API server of {none.outage_survived} s can cost",
    ),
    (
        "docs/production.md",
        "after a crash and rides out {steady.outage_survived} s, for twice",
    ),
    *(
        (
            "docs/production.md",
            _ROW.replace("title", f"title:{name}").replace("name.", f"{name}."),
        )
        for name in ("none", *PRESETS)
    ),
    (
        "docs/production.md",
        (
            "seconds of each request: {none.request_timeout} by default, "
            '{fast.request_timeout} with `"fast"`, {steady.request_timeout} with `"steady"`'
        ),
    ),
    (
        "docs/tutorial.md",
        "Lease last {fast.lease_duration} s instead of {none.lease_duration} s,",
    ),
    ("docs/deploy.md", "an outage of {none.outage_survived} s can cost"),
    ("docs/deploy.md", "same lease duration and survives {steady.outage_survived} s;"),
    ("docs/deploy.md", '`"calm"` survives {calm.outage_survived} s.'),
    (
        "docs/deploy.md",
        "by default {none.request_timeout} s, {fast.request_timeout} s with",
    ),
    (
        "docs/deploy.md",
        (
            '`"steady"` allows {steady.request_timeout} s, `"client-go"` '
            '{client-go.request_timeout} s, `"calm"` {calm.request_timeout} s'
        ),
    ),
    (
        "docs/reference/public.md",
        "rides out an API outage of {steady.outage_survived} s; twice as many writes",
    ),
    ("docs/guarantees.md", "a contending delay of at most {none.hand_over:ms} ms, one"),
    (
        _LIFE_CYCLE,
        "that end of the main thread, the grace and {MOMENT} s at most",
    ),
    (_LIFE_CYCLE, "is stopped and its Lease released, within {EXIT} s or one"),
    (f"{_SETTINGS}/__init__.py", "L - R - T = {none.outage_survived} s, no more"),
    (f"{_SETTINGS}/__init__.py", "survives {steady.outage_survived} s."),
    (
        f"{_SETTINGS}/options.py",
        "timings(settings).outage_survived    # {steady.outage_survived}",
    ),
    (f"{_SETTINGS}/presets.py", '"{steady.outage_survived} s; twice as many writes; '),
    (
        f"{_SETTINGS}/presets.py",
        'within {steady.crash_fail_over} s of a crash, "',
    ),
    (
        f"{_SETTINGS}/presets.py",
        '"{steady.crash_fail_over_proved} s where it is proved",\n            Map',
    ),
    (
        f"{_SETTINGS}/presets.py",
        (
            "{client-go.crash_fail_over} s of a crash, "
            '{client-go.crash_fail_over_proved} s where it is "'
        ),
    ),
    (
        f"{_SETTINGS}/presets.py",
        (
            "takes over within {fast.crash_fail_over} s of a crash, "
            "{fast.crash_fail_over_proved} s where it is proved; for"
        ),
    ),
    (
        f"{_SETTINGS}/presets.py",
        "an API outage of {calm.outage_survived} s, takes over",
    ),
    (
        f"{_SETTINGS}/presets.py",
        (
            '"within {calm.crash_fail_over} s of a crash, '
            '{calm.crash_fail_over_proved} s where it is proved",'
        ),
    ),
    *(
        (
            "docs/reference/public.md",
            (
                f"{before}takes over within {{{name}.crash_fail_over}} s of a crash, "
                f"{{{name}.crash_fail_over_proved}} s where it is proved"
            ),
        )
        for name, before in (
            ("steady", "twice as many writes; "),
            ("client-go", "one renewal every 2 s; "),
            ("fast", "| "),
            ("calm", "25 s, "),
        )
    ),
    (
        "docs/deploy.md",
        (
            "within {none.crash_fail_over} s of the last renewal, or, where the end of the "
            "holder [is proved](after-a-crash.md), within {none.crash_fail_over_proved} s"
        ),
    ),
    (
        "docs/deploy.md",
        '`"fast"` within {fast.crash_fail_over} s or {fast.crash_fail_over_proved} s',
    ),
)
"""Page and sentence. ``{preset.field}`` is a field of ``Timings``; others: see below."""


def value(name: str) -> str:
    """Return the number, or the title of a row, that stands for an open place."""
    name, _, unit = name.partition(":")
    if name == "title":
        return unit if unit == "none" else f'`"{unit}"`'
    if "." not in name:
        return f"{getattr(limits, name):g}"
    preset, field = name.split(".")
    derived = timings(resolve_settings(preset=None if preset == "none" else preset))
    number = getattr(derived, field) * (1000 if unit == "ms" else 1)
    if field == "request_timeout":
        return f"{number:g}"  # it is compared with the time of a webhook: not rounded
    # To the safe side, as `kle timings` does: no more is promised than holds.
    rounded = {
        "outage_survived": math.floor,
        "crash_fail_over": math.ceil,
        "crash_fail_over_proved": math.ceil,
    }
    return f"{rounded.get(field, round)(round(number * 10, 6)) / 10:g}"


def _filled(sentence: str, fill: Callable[[str], str]) -> str:
    """Return a pattern of the sentence whose open places are what ``fill`` says."""
    parts = re.split(r"\{(.+?)\}", sentence)
    return "".join(
        fill(part) if index % 2 else re.escape(part) for index, part in enumerate(parts)
    )


def _open(name: str) -> str:
    return re.escape(value(name)) if name.startswith("title") else NUMBER


def _written(sentence: str) -> str:
    return re.sub(r"\{(.+?)\}", lambda found: value(found[1]), sentence)


def page(path: str) -> str:
    """
    Return a page with its numbers as they should be.

    Raises:
        LookupError: a sentence does not stand there any more, or more than once.

    """
    text = (ROOT / path).read_text(encoding="utf-8")
    for place, sentence in PLACES:
        if place == path:
            text, times = re.subn(_filled(sentence, _open), _written(sentence), text)
            if times != 1:
                raise LookupError(f"{path} has {times} times: {sentence}")
    return text


if __name__ == "__main__":
    for path in {place for place, _ in PLACES}:
        (ROOT / path).write_text(page(path), encoding="utf-8")
