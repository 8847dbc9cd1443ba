"""The pictures of the documentation are what the code says that they show."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from proofs.pictures import DIAGRAMS as DRAWN
from proofs.pictures import TIMELINES

DOCS = Path(__file__).resolve().parents[2] / "docs"
DIAGRAMS = pytest.mark.parametrize(
    ("name", "diagram"),
    DRAWN.items(),
    ids=DRAWN.keys(),
)


@DIAGRAMS
def test_diagram_of_the_states_is_current(name, diagram):
    """The file is what the table says; `proofs/pictures.py` writes it."""
    assert (DOCS / f"{name}.dot").read_text(encoding="utf-8") == diagram()


@DIAGRAMS
def test_picture_of_the_states_shows_every_change(name, diagram):
    """The picture has the edges of the table, and no others."""
    root = ET.fromstring((DOCS / f"{name}.svg").read_text(encoding="utf-8"))  # noqa: S314 - our own file
    groups = [g for g in root.iter() if g.get("class") == "edge"]
    drawn = {
        (group[0].text, ", ".join(n.text for n in group if n.tag.endswith("}text")))
        for group in groups
    }
    table = re.findall('"(.+)" -> "(.+)" .label="(.+)"', diagram())
    assert table
    assert drawn == {(f"{start}->{end}", facts) for start, end, facts in table}


def test_picture_of_how_work_stops_tells_three_stories():
    """A planned stop, a loss, a crash; it is well-formed, and knows the grace."""
    drawn = TIMELINES["how-work-stops"]()
    assert "grace_sec, 20 s" in drawn
    root = ET.fromstring(drawn)  # noqa: S314 - our own
    titles = [t.text for t in root.iter() if t.get("class") == "head"]
    assert [re.split("[:,]", title)[0] for title in titles] == [
        "SIGTERM",
        "A loss",
        "A crash",
    ]


def test_picture_of_a_crash_tells_of_both_kinds():
    """With a proof and without; it is well-formed, and the proof is the faster one."""
    drawn = TIMELINES["after-a-crash"]()
    root = ET.fromstring(drawn)  # noqa: S314 - our own
    titles = [t.text for t in root.iter() if t.get("class") == "head"]
    assert [title.split(":")[0] for title in titles] == [
        "With a proof",
        "Without a proof",
    ]
    begins = [float(r.get("x")) for r in root.iter() if r.get("class") == "next"]
    assert begins[0] < begins[1] / 2


@pytest.mark.parametrize(("name", "drawn"), TIMELINES.items(), ids=TIMELINES)
def test_time_line_is_current(name, drawn):
    """The world that is shown is the one of today; `proofs/pictures.py` draws it anew."""
    shown = (DOCS / f"{name}.svg").read_text(encoding="utf-8")
    assert shown == drawn(), f"docs/{name}.svg is old: run `python proofs/pictures.py`"


def test_documentation_shows_the_diagrams():
    """Where each belongs."""
    page = (DOCS / "how-work-stops.md").read_text(encoding="utf-8")
    assert "](how-work-stops.svg)" in page
    page = (DOCS / "after-a-crash.md").read_text(encoding="utf-8")
    assert "](after-a-crash.svg)" in page
    assert "](states.svg)" in (DOCS / "design.md").read_text(encoding="utf-8")
    assert "](signals.svg)" in (DOCS / "life-cycle.md").read_text(encoding="utf-8")
