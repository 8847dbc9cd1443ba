"""What `make bench` measures with is still there: nobody runs it at each change."""

from __future__ import annotations

import pytest

from tests.type_checker import ROOT, check_types


@pytest.mark.slow
def test_benchmarks_use_names_that_are_there(tmp_path):
    """A hook into a private name goes with the name, unseen until somebody measures."""
    said = check_types(ROOT, tmp_path / "cache", "benchmarks")
    # What is asked of a module or an object there that it does not have.
    assert [line for line in said.splitlines() if line.endswith("[attr-defined]")] == []
