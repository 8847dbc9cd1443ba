"""The looks of the site: what site.css names is there."""

from __future__ import annotations

import re
from pathlib import Path

from docutils.nodes import make_id

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_sections_of_the_style_sheet_have_headings():
    """A heading that is renamed would lose its looks without a word."""
    css = (DOCS / "_static" / "site.css").read_text(encoding="utf-8")
    named = set(re.findall(r"(?<=[\s(])#([a-z][a-z0-9-]+)", css))
    pages = [page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md")]
    headings = [h for page in pages for h in re.findall(r"(?m)^#+ (.+)$", page)]
    assert named
    assert named <= {make_id(heading) for heading in headings}


def test_pictures_of_the_style_sheet_exist():
    """It chooses them by their names."""
    css = (DOCS / "_static" / "site.css").read_text(encoding="utf-8")
    pictures = re.findall(r'src\$="(.+?)"', css)
    assert pictures
    assert all((DOCS / picture).is_file() for picture in pictures)
