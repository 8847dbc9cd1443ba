"""What importing the package brings along: counted in modules, so that no clock decides."""

from __future__ import annotations

import subprocess
import sys

import pytest

BASE = "import asyncio, ssl, json, http.client"
NOT_NEEDED = {
    "aiohttp",
    "click",
    "cryptography",
    "dataclasses_json",
    "kubernetes",
    "opentelemetry",
    "prometheus_client",
    "rich",
    "trustme",
    "yaml",
}


def modules(code):
    """Give the modules that a fresh interpreter has after running ``code``."""
    run = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(run.stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    "front", ["kubernetes_leader_election", "kubernetes_leader_election.sync"]
)
def test_elector_brings_hardly_more_than_asyncio_and_http_client(front):
    """A pod pays for its elector only: a handful of modules beyond what it takes."""
    found = modules(f"from {front} import Elector")
    beyond = {
        name
        for name in found - modules(BASE)
        if not name.startswith("kubernetes_leader_election")
    }
    assert not NOT_NEEDED & {name.partition(".")[0] for name in found}
    assert beyond <= {"__future__", "_queue", "copy", "mmap", "queue"}
    assert "kubernetes_leader_election.testing" not in found
    assert "kubernetes_leader_election.cli" not in found


@pytest.mark.slow
def test_package_alone_brings_nothing_heavy():
    """``import kubernetes_leader_election`` waits with everything until it is used."""
    found = modules("import kubernetes_leader_election")
    assert not {"asyncio", "ssl", "json", "http", "socket", "threading"} & found
    assert [n for n in found if n.startswith("kubernetes_leader_election.")] == []


HELP = """
import contextlib, io
from kubernetes_leader_election.cli.main import cli
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as page:
    cli([{command!r}, "--help"], prog_name="kle")
assert "Usage: kle {command}" in page.getvalue()
"""


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "check", "timings"])
def test_help_brings_hardly_more_than_click(command):
    """Nobody waits for the engine, PyYAML or a client to read a page of help."""
    beyond = modules(HELP.format(command=command)) - modules(
        "import click, json, pathlib, click.shell_completion"
    )
    ours = {n for n in beyond if n.startswith("kubernetes_leader_election")}
    assert not NOT_NEEDED - {"click"} & {name.partition(".")[0] for name in beyond}
    assert not {"asyncio", "ssl", "http", "socket", "subprocess"} & beyond
    assert not [n for n in ours if ".engine" in n or ".core" in n or "settings" in n]
    assert len(ours) <= 10, sorted(ours)
