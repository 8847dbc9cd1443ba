"""What pages call on an elector or a term is there, also outside blocks of code."""

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
