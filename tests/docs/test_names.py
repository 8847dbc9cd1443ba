"""What pages name outside blocks of code is there, and is shown as it is typed."""

from __future__ import annotations

import re

import pytest

from kubernetes_leader_election import elector, sync
from tests.docs.blocks import PAGES
from tests.programs import ROOT

CALLED = re.compile(r"\b(elector|term)\.(?!py\b)([a-z_]+)\b")
KINDS = {
    "elector": (elector.Elector, sync.Elector),
    "term": (elector.Term, sync.Term),
}


@pytest.mark.parametrize("page", PAGES)
def test_members_that_a_page_names_are_there(page):
    """A name that is none is typed by whoever reads it, and raises."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for thing, name in set(CALLED.findall(text)):
        assert any(hasattr(kind, name) for kind in KINDS[thing]), f"{thing}.{name}"


@pytest.mark.parametrize("page", PAGES)
def test_options_of_commands_are_code(page):
    """Two hyphens in plain text become a dash on the site."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for code in (r"```.*?```", r"`[^`]*`", r"<!--.*?-->"):
        text = re.sub(code, "", text, flags=re.DOTALL)
    assert not re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)
