"""Tables: they fit the terminal, and what is shortened still tells names apart."""

from __future__ import annotations

import click
import pytest

from kubernetes_leader_election.cli.tables import Column, shortened, table, width_of

COLUMNS = (
    Column(title="LEASE", least=14),
    Column(title="STATE"),
    Column(title="EXTRA", optional=1),
    Column(title="COUNT", right=True),
)
ROWS = [
    ("the-lease-of-a-service-with-a-long-name", "leads", "something", "7"),
    ("short", "free", "-", "12345"),
]


def test_a_table_with_room_is_shown_whole():
    """Programs that read a pipe get every character; numbers stand at the right."""
    head, first, second = map(click.unstyle, table(COLUMNS, ROWS))
    assert head.split() == ["LEASE", "STATE", "EXTRA", "COUNT"]
    assert first.split() == list(ROWS[0])
    assert first.endswith("      7")
    assert second.endswith("  12345")


@pytest.mark.parametrize("width", [60, 40, 28, 20])
def test_a_table_fits_and_keeps_what_must_not_be_left_out(width):
    """Names give way first to what they need, then optional columns, then names again."""
    lines = table(COLUMNS, ROWS, width)
    assert max(map(width_of, lines)) <= width
    assert all(word in lines[1] for word in ("leads", " 7"))
    assert ("EXTRA" in lines[0]) == (width >= 39)
    # The end of a name is what tells the pods of one deployment apart.
    assert lines[1].startswith("t")
    assert ".." in lines[1]


def test_a_name_is_cut_in_its_middle_by_the_columns_that_it_takes():
    """Letters of two columns count twice, and are not cut in half."""
    assert shortened("billing-7d9c5-x2x4z", 12) == "billi..x2x4z"
    assert shortened("billing", 7) == "billing"
    wide = shortened("選挙管理委員会", 9)
    assert width_of(wide) <= 9
    assert wide.startswith("選")
    assert wide.endswith("会")
