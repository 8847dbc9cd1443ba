"""
Compare three libraries at the same work on one API server, in one run.

Run on a quiet machine, from the folder of the project; it takes a quarter of an hour
and needs the real control plane (``make controlplane``)::

    make side-by-side
    python -m benchmarks.side_by_side --output side-by-side.json
    python -m benchmarks.side_by_side --part processor

It prints a table, and writes JSON, a picture and the page of the documentation; of
some parts alone it prints each figure, and writes nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from benchmarks.side_by_side import contenders, parts
from benchmarks.side_by_side.contenders import CONTENDERS, Stage, stage
from benchmarks.side_by_side.report import Report, write_all
from controlplane.control_plane import ControlPlane

AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [ResponseStarted, ResponseComplete, Panic]
rules: [{level: Metadata}]
"""
"""One line a request, when it arrives: a watch that stays open is counted, too."""

OUTAGE = 20.0
"""Seconds without an API server: longer than everybody's deadline."""

DOCS = Path(__file__).resolve().parents[2] / "docs"


def start_server(folder: Path) -> ControlPlane:
    """Make a control plane that writes down who asks for what."""
    policy, audit = folder / "policy.yaml", folder / "audit.log"
    policy.write_text(AUDIT_POLICY, encoding="utf-8")
    named = {name: [] for one in CONTENDERS for name in parts.users(one.key)}
    for name in named:
        named[name] = ["system:masters"]
    return ControlPlane(
        users=named,
        apiserver_flags=[
            f"--audit-policy-file={policy}",
            f"--audit-log-path={audit}",
            "--audit-log-mode=blocking",
        ],
    )


def each(
    control_plane: ControlPlane, measure: Callable[[Stage], parts.Result]
) -> dict[str, parts.Result]:
    """Measure all contenders at once, each on a stage of its own."""

    def one(contender: contenders.Contender) -> tuple[str, parts.Result]:
        with stage(contender, control_plane) as set_up:
            return contender.key, measure(set_up)

    with ThreadPoolExecutor(len(CONTENDERS)) as pool:
        return dict(pool.map(one, CONTENDERS))


def share_an_outage(control_plane: ControlPlane) -> dict[str, parts.Result]:
    """Let all contenders live through the same outage."""
    with ExitStack() as stack, ThreadPoolExecutor(len(CONTENDERS)) as pool:
        stages = [stack.enter_context(stage(one, control_plane)) for one in CONTENDERS]
        pairs = list(pool.map(parts.outage_begins, stages))
        down = time.monotonic()
        control_plane.apiserver.kill()
        time.sleep(OUTAGE)
        # From here on: electors are back before a check of the server would notice.
        up = time.monotonic()
        control_plane.restart_apiserver()
        results = pool.map(
            lambda both: parts.outage(both[0], both[1], down=down, up=up),
            zip(stages, pairs, strict=True),
        )
        return {
            one.contender.key: result
            for one, result in zip(stages, results, strict=True)
        }


def several(
    times: int, measure: Callable[[], dict[str, parts.Result]]
) -> dict[str, parts.Result]:
    """Measure several times, tell each figure, and give the medians."""
    found = [measure() for _ in range(times)]
    medians: dict[str, parts.Result] = {}
    for key in found[0]:
        for what in found[0][key]:
            values = [one[key][what] for one in found]
            print(f"{key}: {what}: {values}", file=sys.stderr, flush=True)
            median = statistics.median(x for x in values if x is not None)
            medians.setdefault(key, {})[what] = median
    return medians


def main() -> int:
    """Measure, and write everything down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--output", type=Path, default=None, help="JSON to write")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the page goes")
    parser.add_argument("--quiet-seconds", type=float, default=70.0)
    parser.add_argument("--part", action="append", help="measure these parts alone")
    options = parser.parse_args()
    results: dict[str, parts.Result] = {one.key: {} for one in CONTENDERS}

    def add(title: str, measure: Callable[[], dict[str, parts.Result]]) -> None:
        if options.part and title not in options.part:
            return
        for key, result in measure().items():
            results[key].update(result)
            if options.part:
                print(f"{key}: {result}")
        load = f"{os.getloadavg()[0]:.2f}"
        print(f"{title}: done, at a load of {load}", file=sys.stderr, flush=True)

    with (
        tempfile.TemporaryDirectory(prefix="side-by-side-") as folder,
        start_server(Path(folder)) as server,
    ):
        audit = Path(folder) / "audit.log"
        quiet = options.quiet_seconds

        def together(
            measure: Callable[[Stage], parts.Result],
        ) -> Callable[[], dict[str, parts.Result]]:
            return lambda: each(server, measure)

        def processor() -> dict[str, parts.Result]:
            return each(server, lambda s: parts.processor(s, seconds=quiet))

        add("first acquisition", together(parts.first_acquisition))
        add("hand-over", together(parts.hand_over))
        add("crash", together(parts.crash))
        add("quiet", together(lambda s: parts.quiet(s, audit=audit, seconds=quiet)))
        add("processor", lambda: several(parts.SAMPLES, processor))
        add("freeze", together(parts.freeze))
        add("black hole", together(parts.black_hole))
        add("outage", lambda: share_an_outage(server))
    if options.part:
        return 0
    report = Report(results=results, seconds=quiet)
    print(report.table())
    write_all(report, report.markdown(), docs=options.docs, name="side-by-side")
    if options.output is not None:
        options.output.write_text(report.json(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
