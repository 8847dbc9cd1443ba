"""
Compare three libraries at the same work on one API server, in one run.

Run on a quiet machine, from the folder of the project; it takes some six minutes and
needs the real control plane (``make controlplane``)::

    make side-by-side
    python -m benchmarks.side_by_side --output side-by-side.json

It prints a table, and writes JSON, a picture and the page of the documentation.
"""

from __future__ import annotations

import argparse
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


def main() -> int:
    """Measure, and write everything down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--output", type=Path, default=None, help="JSON to write")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the page goes")
    parser.add_argument("--quiet-seconds", type=float, default=60.0)
    options = parser.parse_args()
    results: dict[str, parts.Result] = {one.key: {} for one in CONTENDERS}

    def add(title: str, found: dict[str, parts.Result]) -> None:
        print(f"{title}: done", file=sys.stderr, flush=True)
        for key, result in found.items():
            results[key].update(result)

    with (
        tempfile.TemporaryDirectory(prefix="side-by-side-") as folder,
        start_server(Path(folder)) as server,
    ):
        audit = Path(folder) / "audit.log"
        add("first acquisition", each(server, parts.first_acquisition))
        add("hand-over", each(server, parts.hand_over))
        add("crash", each(server, parts.crash))
        quiet = options.quiet_seconds
        add("quiet", each(server, lambda s: parts.quiet(s, audit=audit, seconds=quiet)))
        add("freeze", each(server, parts.freeze))
        add("black hole", each(server, parts.black_hole))
        add("outage", share_an_outage(server))
    report = Report(results=results, seconds=quiet)
    print(report.table())
    write_all(report, docs=options.docs, output=options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
