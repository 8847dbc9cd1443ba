"""
Plant each mistake in a copy of the source, and run the tests that have to notice it.

A mistake is found when one of its tests fails by an assertion, an exception or a time
limit of its own. A test that cannot even be imported, or fails before it begins, has
found nothing. Without the mistake the same tests pass.
"""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET  # noqa: N817 - as everybody calls it

from tests.mutants import MISTAKES
from tests.mutants.mistakes import PACKAGE, ROOT, Mistake

COPIES = 2
LONGEST = 10.0
"""Seconds that a test may take beside five times what it takes without a mistake."""
NO_FINDINGS = ("ImportError", "ModuleNotFoundError", "NameError", "SyntaxError")
"""Errors that show a mistake badly planted, not a test that notices it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one run of pytest."""

    failed: tuple[str, ...]
    """Tests that failed by themselves, with the first line of why."""
    broken: tuple[str, ...]
    """Tests that could not be run."""
    seconds: dict[str, float]
    """How long each test took."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one mistake."""

    mistake: Mistake
    found: bool
    why: str
    seconds: float


def read_report(path: Path) -> Outcome:
    """Read what pytest reports of a run."""
    failed, broken, seconds = [], [], {}
    for case in ET.parse(path).iter("testcase"):  # noqa: S314 - pytest wrote it
        name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
        seconds[name] = float(case.get("time", "0"))
        for failure in case.iter("failure"):
            why = (failure.get("message") or "").strip().partition("\n")[0]
            badly = why.startswith(NO_FINDINGS)
            (broken if badly else failed).append(f"{name}: {why}")
        for error in case.iter("error"):
            why = (error.get("message") or "").strip().partition("\n")[0]
            broken.append(f"{name}: {why}")
    return Outcome(tuple(failed), tuple(broken), seconds)


def run_tests(
    copy: Path, tests: tuple[str, ...], *, limit: float, keep_bytecode: bool = False
) -> Outcome:
    """
    Run tests on the source in ``copy``, each for ``limit`` seconds at most.

    Raises:
        SystemExit: pytest itself fails, as where a test is not there any more.

    """
    report = copy / "report.xml"
    report.unlink(missing_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(copy / "src")}
    if not keep_bytecode:
        # Python takes bytecode for that of a source of the same second and size.
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"),
        *("-p", "no:xdist", f"--timeout={limit:.0f}", f"--junitxml={report}"),
        *tests,
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    # 0: all passed; 1: some failed; 2: could not be collected.
    if done.returncode not in (0, 1, 2) or not report.exists():
        # A time limit that a thread had to keep ends the whole run.
        if "Timeout" in done.stdout + done.stderr and keep_bytecode is False:
            return Outcome((f"{tests[0]}: its time limit",), (), {})
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return read_report(report)


@contextmanager
def copies(number: int) -> Iterator[list[Path]]:
    """Make copies of the source, and see that they are what tests import."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        made = [Path(folder) / str(n) for n in range(number)]
        for copy in made:
            shutil.copytree(ROOT / "src" / PACKAGE, copy / "src" / PACKAGE)
            code = f"import {PACKAGE}; print({PACKAGE}.__file__)"
            found = subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "PYTHONPATH": str(copy / "src")},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            if not found.startswith(str(copy)):
                raise SystemExit(f"The tests would import {found.strip()}, no copy.")
        yield made


def check_unplanted(copy: Path, mistakes: list[Mistake]) -> dict[str, float]:
    """Run all tests without any mistake; return how long each took."""
    tests = tuple(dict.fromkeys(test for mistake in mistakes for test in mistake.tests))
    outcome = run_tests(copy, tests, limit=120.0, keep_bytecode=True)
    wrong = (*outcome.failed, *outcome.broken)
    if wrong:
        raise SystemExit("Without any mistake this fails:\n" + "\n".join(wrong))
    return outcome.seconds


def try_mistake(copy: Path, mistake: Mistake, seconds: dict[str, float]) -> Finding:
    """Plant a mistake in ``copy``, run its tests, and take it out again."""
    path = copy / "src" / PACKAGE / mistake.file
    right, times = path.read_text(encoding="utf-8"), path.stat()
    longest = max(
        taken
        for test, taken in seconds.items()
        if any(test.startswith(named) for named in mistake.tests)
    )
    began = time.monotonic()
    try:
        path.write_text(mistake.plant(right), encoding="utf-8")
        outcome = run_tests(copy, mistake.tests, limit=LONGEST + 5 * longest)
    finally:
        path.write_text(right, encoding="utf-8")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    taken = time.monotonic() - began
    if outcome.failed:
        return Finding(mistake, True, outcome.failed[0], taken)
    if outcome.broken:
        return Finding(mistake, False, f"badly planted: {outcome.broken[0]}", taken)
    return Finding(mistake, False, "NOTICED BY NO TEST", taken)


def try_all(mistakes: list[Mistake]) -> list[Finding]:
    """Try each mistake on one of the copies; tell how it goes."""
    findings: list[Finding] = []
    with copies(COPIES) as made:
        print(f"The tests without any of {len(mistakes)} mistakes ...", flush=True)
        seconds = check_unplanted(made[0], mistakes)
        free: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for copy in made:
            free.put(copy)

        def one(mistake: Mistake) -> Finding:
            copy = free.get()
            try:
                return try_mistake(copy, mistake, seconds)
            finally:
                free.put(copy)

        with ThreadPoolExecutor(COPIES) as pool:
            for done in as_completed([pool.submit(one, m) for m in mistakes]):
                finding = done.result()
                findings.append(finding)
                word = "found" if finding.found else "NOT FOUND"
                print(
                    f"[{len(findings):3}/{len(mistakes)}] {word} in "
                    f"{finding.seconds:4.1f} s: {finding.mistake.area}: "
                    f"{finding.mistake.name}\n          {finding.why[:150]}",
                    flush=True,
                )
    return findings


def table(findings: list[Finding]) -> str:
    """Return how many were found in each part of the package."""
    planted = Counter(f.mistake.area for f in findings)
    found = Counter(f.mistake.area for f in findings if f.found)
    lines = [f"{'planted in':<14}{'mistakes':>10}{'found':>8}"]
    lines += [f"{a:<14}{n:>10}{found[a]:>8}" for a, n in sorted(planted.items())]
    lines.append(f"{'all':<14}{planted.total():>10}{found.total():>8}")
    return "\n".join(lines)


def main(words: list[str]) -> int:
    """Try the mistakes that were asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="those found in seconds")
    parser.add_argument("text", nargs="*", help="those whose name or file has this")
    asked = parser.parse_args(words)
    mistakes = [m for m in MISTAKES if not (asked.quick and m.slow)]
    if asked.text:
        mistakes = [m for m in mistakes if any(t in m.name + m.file for t in asked.text)]
    if not mistakes:
        parser.error("there is no such mistake")
    began = time.monotonic()
    findings = try_all(mistakes)
    print(f"\n{table(findings)}\nin {time.monotonic() - began:.0f} s")
    missed = [f for f in findings if not f.found]
    for finding in missed:
        print(f"NOT FOUND: {finding.mistake.name}: {finding.why}")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
