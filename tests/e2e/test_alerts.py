"""The alerts that `manifests --monitoring` prints, as Prometheus itself judges them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from lacking import leave_out

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
SHOWN = ROOT / "deploy" / "monitoring" / "billing.yaml"
"""Held to what the command prints by tests/cli/commands/test_monitoring.py."""
CASES = Path(__file__).parent / "alerts"
FILES = ("billing.yaml", "each_minute.yaml")
"""Histories with scrapes as the cases want them, and with one each minute."""


@pytest.fixture
def promtool() -> str:
    """Return the program; Debian's package `prometheus` has it."""
    found = shutil.which("promtool")
    if found is None:
        reason = "there is no promtool: apt-get install prometheus"
        leave_out(reason)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the rules, and the cases, as promtool takes them."""
    (rules,) = (
        one["spec"]
        for one in yaml.safe_load_all(SHOWN.read_text(encoding="utf-8"))
        if one["kind"] == "PrometheusRule"
    )
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    for name in FILES:
        shutil.copy(CASES / name, tmp_path / name)
    return tmp_path


def judged(promtool: str, folder: Path, *words: str) -> str:
    """Run promtool; return what it says, and fail with that."""
    done = subprocess.run(
        [promtool, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_alerts_are_rules_that_prometheus_takes(promtool: str, folder: Path) -> None:
    """Seven of them, and nothing to complain of."""
    assert "7 rules found" in judged(promtool, folder, "check", "rules", "rules.yaml")


@pytest.mark.parametrize("cases", FILES)
def test_alerts_come_when_they_should_and_only_then(
    promtool: str, folder: Path, cases: str
) -> None:
    """Each in a history of its own, with its labels and its text."""
    judged(promtool, folder, "test", "rules", cases)


@pytest.mark.parametrize("cases", FILES)
def test_each_alert_has_a_history_in_which_it_comes(cases: str) -> None:
    """And one in which it does not."""
    (rules,) = (
        one["spec"]
        for one in yaml.safe_load_all(SHOWN.read_text(encoding="utf-8"))
        if one["kind"] == "PrometheusRule"
    )
    names = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    checks = [
        check
        for history in yaml.safe_load((CASES / cases).read_text("utf-8"))["tests"]
        for check in history["alert_rule_test"]
    ]
    comes = {check["alertname"] for check in checks if check["exp_alerts"]}
    comes_not = {check["alertname"] for check in checks if not check["exp_alerts"]}
    assert (comes, comes_not) == (names, names)
