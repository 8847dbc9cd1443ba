"""The page about health over HTTP: its example runs, its paths are those that there are."""

from __future__ import annotations

import re
from pathlib import Path

from kubernetes_leader_election.observability.endpoints import MOST_STREAMS, Endpoints
from kubernetes_leader_election.observability.http_messages import LARGEST_HEAD
from kubernetes_leader_election.observability.http_server import MOST_CLIENTS, SLOWEST
from kubernetes_leader_election.observability.mounts import LONGEST_STREAM
from tests.observability.fakes import FakeElector

PAGE = (Path(__file__).parents[2] / "docs" / "health.md").read_text()


def test_first_example_of_the_page_serves(capsys):
    """Three lines: they run as they stand, and say where."""
    (text, *_) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    exec(compile(text, "docs/health.md", "exec"), {})  # noqa: S102 - our own page
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+\n", capsys.readouterr().out)


def test_paths_of_the_page_are_those_that_there_are():
    """Each row of the table can be asked, and none is missing."""
    paths = re.findall(r"^\| `(/\w*)` \|", PAGE, re.MULTILINE)
    known = Endpoints(FakeElector()).answer("GET", "/else").body
    assert set(re.findall(r"/\w*", known)) == set(paths)


def test_numbers_of_the_page_are_those_of_the_code():
    """They are promises to whoever looks after the pod."""
    assert f"at most {MOST_CLIENTS} connections, {MOST_STREAMS} of them" in PAGE
    assert (LARGEST_HEAD, SLOWEST, LONGEST_STREAM) == (8192, 10.0, 10.0)
    assert "a request may have 8 KiB and take ten seconds" in PAGE
    assert "ends after ten seconds" in PAGE
