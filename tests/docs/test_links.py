"""Links between pages lead to a file, and to a heading, that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))
    if "_build" not in path.parts
)
BLOCK = re.compile(r"^(`{3,}).*?^\1\s*$", re.MULTILINE | re.DOTALL)
MARKUP = re.compile(r"`|\*|\[([^\]]*)\]\([^)]*\)")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def text_of(page):
    """Return a page without its blocks of code."""
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def anchor_of(heading):
    """Return what a heading is linked by, as GitHub and MyST have it."""
    words = MARKUP.sub(lambda found: found[1] or "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def anchors(page):
    """Return all that a link into a page may name."""
    text = text_of(page)
    return {
        *(
            anchor_of(heading)
            for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        ),
        *re.findall(r"^\(([\w\-]+)\)=", text, re.MULTILINE),
        *re.findall(r'(?:id|name)="([^"]+)"', text),
    }


def astray(page, link):
    """Return whether a link leads nowhere in this repository."""
    if re.match(r"[a-z]+:", link):
        return False
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    if not target.exists():
        return True
    return bool(anchor) and target.suffix == ".md" and anchor not in anchors(target)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_what_is_there(page):
    """A heading that was renamed takes the links to it along."""
    assert [link for link in LINK.findall(text_of(page)) if astray(page, link)] == []


def test_links_that_lead_nowhere_are_noticed():
    """A file that is not there, a heading that is not there."""
    page = ROOT / "README.md"
    assert not astray(page, "docs/guarantees.md#g1-exclusive-belief")
    assert not astray(page, "https://example.org/nothing#at-all")
    assert astray(page, "docs/guarantees.md#no-such-heading")
    assert astray(page, "docs/no-such-page.md")
    assert astray(page, "#no-such-heading")
