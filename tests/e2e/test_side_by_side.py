"""The report of the comparison shows every figure, and those that have none."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.side_by_side import on_node
from benchmarks.side_by_side.contenders import CONTENDERS
from benchmarks.side_by_side.report import UNITS, Report, write_all

pytestmark = pytest.mark.e2e


def test_report_writes_page_picture_and_figures(tmp_path: Path) -> None:
    """Each contender has a cell and a bar in each line, "no end" among them."""
    figures = dict.fromkeys(UNITS, 1.5)
    results = {one.key: dict(figures) for one in CONTENDERS}
    results["official"]["black hole: leader works for"] = None
    results["ours"]["first acquisition"] = 0.0421

    report = Report(results=results, seconds=60)
    write_all(report, report.markdown(), docs=tmp_path, name="side-by-side")

    page = (tmp_path / "side-by-side.md").read_text()
    assert "| first acquisition | 42 ms |" in page
    assert page.count("| no end |") == 1
    picture = ET.fromstring((tmp_path / "side-by-side.svg").read_text())  # noqa: S314
    bars = [x for x in picture.iter() if x.tag.endswith("rect")]
    # The background and the legend have rectangles, too.
    assert len(bars) == 1 + len(CONTENDERS) * (1 + len(UNITS))
    said = [x.text for x in picture.iter() if x.tag.endswith("text")]
    # Only where it is so: in an outage nobody can take over from who works on.
    assert said.count("shorter is better") == len(UNITS) - 2
    place = said.index("outage: leader works for")
    assert said[place + 1] == "longer is better"
    place = said.index("black hole: leader works for")
    assert "better" not in said[place + 1]
    assert "Shorter is better" not in said
    assert (
        json.loads((tmp_path / "side-by-side.json").read_text())["results"] == results
    )


def test_page_of_the_comparison_in_pods_shows_every_figure() -> None:
    """The same table and bars, with lines of its own."""
    columns = on_node.IN_PODS
    assert on_node.commands("shop").keys() == {one.key for one in columns}
    results = {one.key: dict.fromkeys(on_node.UNITS, 0.033) for one in columns}
    report = Report(results=results, seconds=0, units=on_node.UNITS, contenders=columns)
    page = on_node.page(report, 20)
    assert "| rollout | 0.033 s | 0.033 s | 0.033 s |" in page
    assert all(f"| {line} |" in page for line in on_node.UNITS)
    bars = ET.fromstring(report.picture()).iter()  # noqa: S314 - our own
    rectangles = [x for x in bars if x.tag.endswith("rect")]
    assert len(rectangles) == 1 + len(columns) * (1 + len(on_node.UNITS))
