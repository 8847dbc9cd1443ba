"""
Plant each mistake in a copy of the source, and run the tests that have to notice it.

A mistake is found when one of its tests fails by an assertion, an exception or a time
limit of its own. A test that cannot even be imported, or fails before it begins, has
found nothing. Without the mistake the same tests pass.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from tests.mutants import MISTAKES
from tests.mutants.mistakes import PACKAGE, ROOT, Mistake

COPIES = 2
"""How many mistakes are tried at a time."""
LONGEST = 10.0
"""Seconds that a test may take beside five times what it takes without a mistake."""
PATIENCE = 30.0
"""Seconds that a run may take beside three such tests."""
GLANCE = 0.02
"""Seconds between two looks at what has ended."""
PRELOADED = (
    "_hypothesis_pytestplugin",
    "aiohttp.web",
    "anyio.pytest_plugin",
    "click.testing",
    "hypothesis.strategies",
    "pytest_timeout",
    "trustme",
    "xdist.plugin",
    "yaml",
)
"""What tests import and no mistake changes: loaded once, before each run is forked."""
WRONG_SOURCE = 99
"""The exit code of a run that imported another source than its copy."""
BROKE_OFF = 98
"""That of one that failed after its tests, as by what a test has left behind."""
NO_FINDINGS = ("ImportError", "ModuleNotFoundError", "NameError", "SyntaxError")
"""Errors that show a mistake badly planted, not a test that notices it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one run of pytest."""

    failed: tuple[str, ...] = ()
    """Tests that failed by themselves, each with the first line of why."""
    broken: tuple[str, ...] = ()
    """Tests that could not be run, or that failed because of how a mistake is made."""
    seconds: dict[str, float] | None = None
    """How long each test took."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one mistake."""

    mistake: Mistake
    found: bool
    why: str
    seconds: float


class Recorder:
    """
    A plugin of pytest that writes down what came of each test as soon as it is known.

    A mistake may tear pytest itself after its tests, as by a signal that nobody takes
    any more, and with it whatever report would be written in the end.
    """

    def __init__(self, path: Path) -> None:
        # Opened once: a test may be another user for as long as it runs.
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write a line about a step of one test."""
        self._write(report.nodeid, report.when or "", report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Write a line about a file that cannot be collected."""
        if report.failed:
            self._write(report.nodeid, "collect", report)

    def _write(
        self, test: str, step: str, report: pytest.TestReport | pytest.CollectReport
    ) -> None:
        crash = getattr(report.longrepr, "reprcrash", None)
        line = {
            "test": test,
            "step": step,
            "failed": report.failed,
            "why": getattr(crash, "message", "") or str(report.longrepr or ""),
            "seconds": getattr(report, "duration", 0.0),
        }
        self._file.write(json.dumps(line) + "\n")


def read_report(path: Path) -> Outcome:
    """Read what was written down of a run."""
    failed, broken = [], []
    seconds: Counter[str] = Counter()
    for line in path.read_text(encoding="utf-8").splitlines():
        step = json.loads(line)
        seconds[step["test"]] += step["seconds"]
        if step["failed"]:
            why = step["why"].strip().partition("\n")[0]
            badly = step["step"] != "call" or why.startswith(NO_FINDINGS)
            (broken if badly else failed).append(f"{step['test']}: {why}")
    return Outcome(tuple(failed), tuple(broken), dict(seconds))


class Run:
    """
    A run of pytest, in a process of its own, on the source in ``copy``.

    Forked, as pytest and what tests import take longer to load than most tests to run.
    """

    def __init__(self, copy: Path, tests: tuple[str, ...], *, limit: float) -> None:
        self.copy = copy
        self._tests = tests
        self._until = time.monotonic() + PATIENCE + 3 * limit
        self._hangs = False
        self._report, self._output_path = copy / "report.jsonl", copy / "output.txt"
        self._report.unlink(missing_ok=True)
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            code = WRONG_SOURCE
            try:
                code = self._be_it(limit)
            except BaseException:  # noqa: BLE001 - nothing may lead back from here
                traceback.print_exc()
                code = BROKE_OFF
            finally:
                os._exit(code)

    def _be_it(self, limit: float) -> int:
        os.setpgid(0, 0)
        output = os.open(self._output_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        source = str(self.copy / "src")
        sys.path.insert(0, source)
        # For the programs that tests start, too.
        os.environ["PYTHONPATH"] = source
        os.chdir(ROOT)
        code = pytest.main(
            [
                *("-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist"),
                # This package has a plugin: pytest would rewrite each of its files.
                "--assert=plain",
                *(f"--timeout={limit:.0f}", *self._tests),
            ],
            plugins=[Recorder(self._report)],
        )
        package = sys.modules.get(str(PACKAGE))
        if package is None or not str(package.__file__).startswith(source):
            return WRONG_SOURCE
        sys.stdout.flush()
        return code

    def poll(self) -> int | None:
        """Return how it ended; None while it goes on. What hangs is ended."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid and time.monotonic() >= self._until:
            # A test has failed at its time limit, and what it leaves cannot be ended.
            self._hangs = True
            os.kill(self.pid, signal.SIGKILL)
            pid, status = os.waitpid(self.pid, 0)
        if not pid:
            return None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # what a mistake has left behind
        return status

    def wait(self) -> int:
        """Wait until it has ended; return how."""
        while (status := self.poll()) is None:
            time.sleep(GLANCE)
        return status

    def outcome(self, status: int) -> Outcome:
        """
        Return what came of it, when it has ended.

        Raises:
            SystemExit: pytest failed itself, as where a test is not there any more.

        """
        code = os.waitstatus_to_exitcode(status)
        if self._hangs:
            return Outcome(failed=(f"{self._tests[0]}: the run did not end",))
        # 0: all passed; 1: some failed; 2: some could not be collected.
        if self._report.exists():
            found = read_report(self._report)
            # A mistake may tear pytest itself, after the test that has noticed it.
            if code in (0, 1, 2, BROKE_OFF) or found.failed:
                return found
        if "+++ Timeout +++" in self.output:
            # It could not be interrupted: its time limit has ended the whole run.
            return Outcome(failed=(f"{self._tests[0]}: its time limit",))
        raise SystemExit(
            f"pytest {' '.join(self._tests)}: exit code {code}\n{self.output}"
        )

    @property
    def output(self) -> str:
        """What pytest has said."""
        return self._output_path.read_text(encoding="utf-8", errors="replace")


@contextmanager
def copies(number: int) -> Iterator[list[Path]]:
    """Make copies of the source, with its bytecode."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        made = [Path(folder) / str(n) for n in range(number)]
        for copy in made:
            shutil.copytree(ROOT / "src" / PACKAGE, copy / "src" / PACKAGE)
        yield made


def check_unplanted(made: list[Path], mistakes: list[Mistake]) -> dict[str, float]:
    """Run all tests without any mistake; return how long each took."""
    tests = tuple(dict.fromkeys(test for mistake in mistakes for test in mistake.tests))
    runs = [
        Run(copy, tests[n :: len(made)], limit=120.0)
        for n, copy in enumerate(made)
        if tests[n :: len(made)]
    ]
    seconds, wrong = {}, []
    for run in runs:
        outcome = run.outcome(run.wait())
        wrong += [*outcome.failed, *outcome.broken]
        seconds |= outcome.seconds or {}
    wrong += [
        f"{test}: it was not run"
        for test in tests
        if not any(ran.startswith(test) for ran in seconds)
    ]
    if wrong:
        raise SystemExit("Without any mistake this fails:\n" + "\n".join(wrong))
    return seconds


dates = count(int(time.time()) + 3600)  # noqa: TID251 - no clock, but a file's date
"""A date for each mistake that no other source has."""


class Trial:
    """One mistake, planted in a copy while its tests run."""

    def __init__(self, mistake: Mistake, copy: Path, *, limit: float) -> None:
        self.mistake = mistake
        self._path = copy / "src" / PACKAGE / mistake.file
        self._right, self._times = self._path.read_text("utf-8"), self._path.stat()
        self._path.write_text(mistake.plant(self._right), encoding="utf-8")
        # Python takes bytecode for that of a source of the same second and size.
        second = next(dates)
        os.utime(self._path, (second, second))
        self._began = time.monotonic()
        self.run = Run(copy, mistake.tests, limit=limit)

    def end(self, status: int) -> Finding:
        """Take the mistake out again; say whether it was found."""
        taken = time.monotonic() - self._began
        self._path.write_text(self._right, encoding="utf-8")
        # Else the bytecode of the copy would count for nothing.
        os.utime(self._path, ns=(self._times.st_atime_ns, self._times.st_mtime_ns))
        outcome = self.run.outcome(status)
        if outcome.failed:
            return Finding(self.mistake, True, outcome.failed[0], taken)
        if outcome.broken:
            why = f"badly planted: {outcome.broken[0]}"
            return Finding(self.mistake, False, why, taken)
        return Finding(self.mistake, False, "noticed by no test", taken)


def limit_of(mistake: Mistake, seconds: dict[str, float]) -> float:
    """Return how long each test of a mistake may take."""
    named = [
        taken
        for test, taken in seconds.items()
        if any(test.startswith(name) for name in mistake.tests)
    ]
    return LONGEST + 5 * max(named)


def try_all(mistakes: list[Mistake]) -> list[Finding]:
    """Try each mistake on one of the copies; tell how it goes."""
    findings: list[Finding] = []
    with copies(COPIES) as made:
        print(f"The tests, without any of {len(mistakes)} mistakes ...", flush=True)
        seconds = check_unplanted(made, mistakes)
        free, waiting = list(made), deque(mistakes)
        trials: list[Trial] = []
        while waiting or trials:
            while free and waiting:
                mistake = waiting.popleft()
                limit = limit_of(mistake, seconds)
                trials.append(Trial(mistake, free.pop(), limit=limit))
            time.sleep(GLANCE)
            for trial in tuple(trials):
                status = trial.run.poll()
                if status is not None:
                    trials.remove(trial)
                    free.append(trial.run.copy)
                    findings.append(trial.end(status))
                    tell(findings[-1], f"{len(findings):3}/{len(mistakes)}")
    return findings


def tell(finding: Finding, number: str) -> None:
    """Say how one mistake went."""
    word = "found" if finding.found else "NOT FOUND"
    mistake, why = finding.mistake, finding.why.removeprefix("tests/")
    print(
        f"[{number}] {word} in {finding.seconds:4.1f} s: {mistake.area}: "
        f"{mistake.name}\n          {why[:150]}",
        flush=True,
    )


def table(findings: list[Finding]) -> str:
    """Return how many were found in each part of the package."""
    planted = Counter(f.mistake.area for f in findings)
    found = Counter(f.mistake.area for f in findings if f.found)
    lines = [f"{'planted in':<14}{'mistakes':>10}{'found':>8}"]
    lines += [f"{a:<14}{n:>10}{found[a]:>8}" for a, n in sorted(planted.items())]
    lines.append(f"{'all':<14}{planted.total():>10}{found.total():>8}")
    return "\n".join(lines)


def chosen(words: list[str]) -> list[Mistake]:
    """Return the mistakes that were asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants", description=__doc__
    )
    parser.add_argument("--quick", action="store_true", help="those found in seconds")
    parser.add_argument("--slow", action="store_true", help="the others")
    parser.add_argument("text", nargs="*", help="those whose name or file has this")
    asked = parser.parse_args(words)
    left_out = {True} if asked.quick else {False} if asked.slow else set()
    mistakes = [m for m in MISTAKES if m.slow not in left_out]
    if asked.text:
        mistakes = [
            m for m in mistakes if any(t in m.name + m.file for t in asked.text)
        ]
    if not mistakes:
        parser.error("there is no such mistake")
    return mistakes


def main(words: list[str]) -> int:
    """Try the mistakes that were asked for; return the exit code."""
    mistakes = chosen(words)
    for name in PRELOADED:
        importlib.import_module(name)
    began = time.monotonic()
    findings = try_all(mistakes)
    print(f"\n{table(findings)}\nin {time.monotonic() - began:.0f} s")
    missed = [f for f in findings if not f.found]
    for finding in missed:
        print(f"NOT FOUND: {finding.mistake.name}: {finding.why}")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
