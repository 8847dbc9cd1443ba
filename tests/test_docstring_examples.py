"""Every example in a docstring of the package is run, or it is said why it is not."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import textwrap
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

import kubernetes_leader_election
from kubernetes_leader_election import (
    Elector,
    ProtocolMisuseError,
    credentials,
    settings,
)
from kubernetes_leader_election.observability.metrics import Metrics
from kubernetes_leader_election.sync import Elector as SyncElector
from kubernetes_leader_election.testing import mutations
from kubernetes_leader_election.testing.faults import Delay, Fault
from kubernetes_leader_election.testing.lease_server import LeaseServer
from kubernetes_leader_election.testing.lease_server.api.resources import LEASES
from kubernetes_leader_election.testing.tcp_proxy import TcpProxy
from tests.node_page import PATIENCE

PACKAGE = Path(kubernetes_leader_election.__file__).parent
MARK = ".. code-block:: python\n"
SHOWN_ONLY = {
    "cli.supervise.polled_elector.PolledElector": "a loop of `run`, with the command of its caller",
    "cli.options": "click's options of a command that is not there",
    "kube_api.client.LeaseClient": "needs a Lease that its caller holds",
    "kube_api.call.Call": "a call that another thread makes",
    "lifecycle.handlers.Handlers": "an event of the caller's",
    "observability": "port 8080, which may be taken; docs/health.md is run with another",
    "observability.dependency.require_leader": "FastAPI; tests/e2e runs it",
    "observability.mounts.asgi": "a framework's mount; tests/e2e runs it",
    "observability.mounts.wsgi": "werkzeug's mount",
    "observability.opentelemetry.export": "a global provider, set once in a process",
    "observability.prometheus.ElectionCollector": "a global registry, the same",
    "observability.serving.serve": "port 8080, which may be taken; docs/health.md is run",
    "testing.lease_server.http.request_log.RequestLog": "counts of a test's own",
    "testing.simulation.cores.Versions": "an earlier version as a package",
    "testing.simulation": "a world of minutes; tests/simulation runs such",
}
"""Examples that are only compiled, and why."""


class WorkDoneError(Exception):
    """The work of an example has run."""


def examples():
    """Give (name, code) of every example: the first of its docstring."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        module = ".".join(part for part in parts if part != "__init__")
        tree = ast.parse(path.read_text())
        for node, name in named(tree, module):
            text = ast.get_docstring(node) or ""
            _, mark, below = text.partition(MARK)
            if mark:
                found[name] = indented(below)
    return found


def named(node, name):
    """Give every node that has a docstring, with its dotted name."""
    yield node, name
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from named(child, f"{name}.{child.name}".lstrip("."))


def indented(text):
    """Give the indented lines that a text begins with."""
    lines = []
    for line in text.splitlines():
        if line and not line.startswith(" "):
            break
        lines.append(line)
    return textwrap.dedent("\n".join(lines))


EXAMPLES = examples()


def compiled(name):
    """Compile an example; `await` may stand at its top."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return compile(EXAMPLES[name], name, "exec", flags=flags, dont_inherit=True)


def is_asynchronous(code):
    """Return whether it has to be awaited."""
    return bool(code.co_flags & inspect.CO_COROUTINE)


def module_of(name):
    """Import the module that an example stands in."""
    parts = ["kubernetes_leader_election", *(part for part in name.split(".") if part)]
    while True:
        try:
            return importlib.import_module(".".join(parts))
        except ModuleNotFoundError:
            parts.pop()


@pytest.mark.parametrize("name", sorted(EXAMPLES), ids=lambda name: name or "package")
def test_example_runs(name, lease_server, tmp_path, monkeypatch):
    """What people copy works: an example that raises is believed, not tested."""
    code = compiled(name)
    if name in SHOWN_ONLY:
        return
    monkeypatch.chdir(tmp_path)
    lease_server.kubeconfig(path=tmp_path / "kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    front = Elector if is_asynchronous(code) else SyncElector
    made = partial(front, server=lease_server.url, auto_close=False)
    if "credentials=" in EXAMPLES[name]:
        made = partial(front, auto_close=False)
    elif "server=" in EXAMPLES[name]:
        made = SyncElector
    given = vars(module_of(name)) | stubs(made, lease_server)
    if is_asynchronous(code):
        asyncio.run(asyncio.wait_for(awaited(name, code, given), PATIENCE))
    else:
        blocking(name, code, given)


async def awaited(name, code, given):
    """Run an example in an event loop, in an elector that is started where it asks."""

    async def work(*_args, **_more):
        raise WorkDoneError

    async def bill(term):
        given["done"].append(term)

    given |= {"work": work, "write": work, "bill": bill}
    if "Elector(" in EXAMPLES[name]:
        await reached(name, eval(code, given), given)  # noqa: S307 - our own text
        return
    async with given["Elector"](lease_name="billing") as elector:
        given["elector"] = elector
        await reached(name, eval(code, given), given)  # noqa: S307 - our own text


async def reached(name, example, given):
    """Await it until the work that it shows has run."""
    try:
        await example
    except WorkDoneError:
        return
    assert given["done"] or "bill" not in EXAMPLES[name]


def blocking(name, code, given):
    """Run an example of threads, in an elector that is started where it asks."""

    def work(*_args, **_more):
        raise WorkDoneError

    given |= {"work": work, "write": work, "bill": given["done"].append}
    text = EXAMPLES[name]
    if "elector" not in text or "elector = " in text or "as elector" in text:
        _execute(code, given)
    elif "watch(elector)" in text or "elector.start()" in text:
        given["elector"] = given["Elector"](lease_name="billing")
        try:
            _execute(code, given)
        finally:
            given["elector"].stop()
    else:
        with given["Elector"](lease_name="billing") as elector:
            given["elector"] = elector
            _execute(code, given)
    assert given["done"] or "(bill)" not in text


def _execute(code, given):
    try:
        exec(code, given)  # noqa: S102 - our own text
    except WorkDoneError:
        return


class Once:
    """True the first time it is asked."""

    asked = False

    def __bool__(self):
        self.asked, before = True, self.asked
        return not before


def stubs(made, server):
    """Give what examples take as there, beside the names of their module."""
    return {
        "Elector": made,
        "LeaseServer": LeaseServer,
        "TcpProxy": TcpProxy,
        "Mutate": mutations.Mutate,
        "Mutation": mutations.Mutation,
        "Fault": Fault,
        "Delay": Delay,
        "Metrics": Metrics,
        "credentials": credentials,
        "resolve_settings": settings.resolve_settings,
        "timings": settings.timings,
        "running": Once(),
        "LEASES": LEASES,
        "done": [],
        "row": SimpleNamespace(),
        "server": server,
    }


def test_every_reason_not_to_run_an_example_has_its_example():
    """None of the examples that are only compiled has gone."""
    assert set(SHOWN_ONLY) <= set(EXAMPLES)
    assert {"elector.Elector", "sync.Elector", ""} <= set(EXAMPLES) - set(SHOWN_ONLY)


def test_run_in_a_with_block_says_that_it_starts_the_elector_itself(lease_server):
    """The mistake is said in words: which of three ways to start was one too many."""
    with (
        SyncElector(lease_name="billing", server=lease_server.url) as elector,
        pytest.raises(ProtocolMisuseError, match=r"run\(\) starts the elector itself"),
    ):
        elector.run(lambda term: None)


NOT_PYTHON = {
    "cli.supervise.supervisor": "a picture of three states",
    "contrib.celery": "a command: tests/e2e/test_recipes.py types it",
    "errors": "a tree of names; the text of each is that of its docstring",
    "kube_api.failures": "a table: tests/kube_api judges each status",
    "settings.timing": "formulas: tests/settings computes them",
    "testing.simulation.soak": "hours: `make soak` is that command",
}
"""Blocks in docstrings that are no Python, and what stands for them."""


def test_each_block_of_a_docstring_is_an_example():
    """None is passed over: one of Python in each, first, and others have a reason."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        module = ".".join(part for part in parts if part != "__init__")
        for node, name in named(ast.parse(path.read_text()), module):
            text = ast.get_docstring(node) or ""
            python = text.count(MARK)
            assert python == (name in EXAMPLES), name
            assert ">>>" not in text, name
            others = text.count(".. code-block::") - python
            assert others == (name in NOT_PYTHON), name
