"""What others wrote, as it is shown to people."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("elector-7", "elector-7"),
        ("münchen", "münchen"),
        ("a\nb\x1b[2J", "a\\nb\\x1b[2J"),
        ("\u202egnp", "\\u202egnp"),
        ("y" * 12, "y" * 12),
        ("y" * 13, "y" * 9 + "..."),
        ("\0" * 12, "\\x00\\x00\\..."),
    ],
)
def test_what_others_wrote_is_one_short_line_of_printable_characters(text, shown):
    """Fault 51: no control code reaches a terminal or a log, and no flood of text."""
    assert printable(text, longest=12) == shown
