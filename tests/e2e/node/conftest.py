"""Fixtures of the tests on a real node: the node, and a namespace on it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from controlplane.access import RefusedError
from lacking import leave_out

from node.handle import Node
from node.report import Measured
from node.space import Space
from node.up import RunningNode, lacking

SPACES = pytest.StashKey[list[Space]]()


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """Lend the node that `python tests/e2e/node` has brought up, or bring up one."""
    if folder := os.environ.get("NODE_FOLDER"):
        yield Node(Path(folder))
        return
    if missing := lacking():
        leave_out(missing)
    with RunningNode() as running:
        yield running.node


@pytest.fixture
def make_space(
    node: Node, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Space]]:
    """Give a function that makes a namespace; show its logs if the test fails."""
    spaces = request.node.stash.setdefault(SPACES, [])

    with ExitStack() as opened:

        def make(**options: str) -> Space:
            space = opened.enter_context(Space(node, **options))
            spaces.append(space)
            return space

        yield make


@pytest.fixture
def space(make_space: Callable[..., Space]) -> Space:
    """Make a namespace for one test."""
    return make_space()


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str, float], None]:
    """Give a function that writes down how long nobody worked after something."""
    return Measured(request.node.name).note


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what was said in the pods of a test that failed."""
    report = yield
    if report.failed and report.when == "call":
        for space in item.stash.get(SPACES, []):
            report.sections.append((f"pods of {space.name}", _told(space)))
    return report


def _told(space: Space) -> str:
    """Return the runs of work, the events, and what else was said."""
    parts = [f"{a:.3f} to {b:.3f}: {who}" for a, b, who in space.runs()]
    for life in space.lives():
        noted = [f"{x.instant:.3f} {x.what} {x.detail}" for x in life.log.lines]
        parts += [f"--- {life.name}", *(x for x in noted if "work yes" not in x)]
        parts += life.said[-20:]
    try:
        parts.append(space.kubectl("get", "events", "--sort-by=.lastTimestamp"))
        parts.append(space.kubectl("get", "all", "-o", "wide"))
    except RefusedError as error:
        # The node may be what failed; the report of the test is not to fail with it.
        parts.append(str(error))
    return "\n".join(parts)
