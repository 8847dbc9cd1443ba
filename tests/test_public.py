"""
What is public is a list, `docs/reference/public.md`: this compares it with the code.

Whoever adds a name adds it there; whoever takes one away reads there what that needs.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import re
from enum import Enum
from pathlib import Path

import pytest

import kubernetes_leader_election
from kubernetes_leader_election import events
from kubernetes_leader_election.cli import exit_codes
from kubernetes_leader_election.cli.main import COMMANDS
from kubernetes_leader_election.cli.supervise.term_file import TermFacts
from kubernetes_leader_election.core import annotations as on_the_lease
from kubernetes_leader_election.elector import Elector
from kubernetes_leader_election.lifecycle.base_elector import BaseElector
from kubernetes_leader_election.observability.metrics import Metrics
from kubernetes_leader_election.settings import PRESETS
from kubernetes_leader_election.values import Value

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "public.md"
NAME = "kubernetes_leader_election"
TEXT = PAGE.read_text(encoding="utf-8")


def section(title):
    """Return the rows of the table under a title: the words in code of each cell."""
    body = re.split(r"(?m)^## ", TEXT.partition(f"## {title}\n")[2])[0]
    rows = [line for line in body.splitlines() if line.startswith("| `")]
    assert rows, f"the page has no table {title!r}"
    return [
        [re.findall(r"`([^`]+)`", cell) for cell in row.strip("| ").split(" | ")]
        for row in rows
    ]


def first_column(title):
    """Return the names in the first column of a table."""
    return [name for row in section(title) for name in row[0]]


PATHS = {row[0][0]: row[1] for row in section("Import paths")}


@pytest.mark.parametrize("path", PATHS)
def test_names_of_an_import_path_are_those_of_the_page(path):
    """Each can be imported, and what a module offers by ``__all__`` is on the page."""
    module = importlib.import_module(path)
    for name in PATHS[path]:
        assert hasattr(module, name), f"{path}.{name} is gone"
    offered = getattr(module, "__all__", None)
    if offered is not None:
        assert sorted(PATHS[path]) == sorted(offered)
    else:
        made = {
            name
            for name, value in vars(module).items()
            if inspect.isclass(value)
            and value.__module__ == path
            and issubclass(value, Exception)
        }
        assert made <= set(PATHS[path])


def test_names_of_the_package_itself_are_on_the_page():
    """What is imported without a further path comes first."""
    assert next(iter(PATHS)) == NAME
    assert sorted(PATHS[NAME]) == sorted(kubernetes_leader_election.__all__)


def test_options_are_those_of_the_page():
    """Names and defaults; an option that has gone or come is seen here."""
    parameters = inspect.signature(BaseElector.__init__).parameters
    taken = {
        name: repr(parameter.default)
        for name, parameter in parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    written = {row[0][0]: row[1][0] for row in section("Options")}
    assert {name: value.replace('"', "'") for name, value in written.items()} == taken


def test_presets_are_those_of_the_page():
    """By name."""
    assert first_column("Presets") == list(PRESETS)


def test_members_of_an_elector_are_those_of_the_page():
    """Both fronts have the same: tests/test_parity.py compares them."""
    members = [n for n, _ in inspect.getmembers(Elector) if not n.startswith("_")]
    assert sorted(first_column("Electors")) == sorted(members)


def test_members_of_an_elector_are_described_as_in_the_code():
    """By the first sentence of each."""
    body = TEXT.partition("## Electors\n")[2].partition("\n## ")[0]
    for name, said in re.findall(r"^\| `(\w+)` \| (.*?) \|$", body, re.MULTILINE):
        text = inspect.getdoc(inspect.getattr_static(Elector, name))
        first = " ".join(text.partition("\n\n")[0].split())
        assert said == re.sub(r"(?::\w+:)?`+([^`]+)`+", r"`\1`", first), name


def test_fields_of_public_values_have_a_line():
    """The reference shows what has one; how a value is made is not shown."""
    for path, names in PATHS.items():
        module = importlib.import_module(path)
        for name in names:
            kind = getattr(module, name)
            if not inspect.isclass(kind) or not issubclass(kind, Value | Enum):
                continue
            fields = kind.__members__ if issubclass(kind, Enum) else kind._fields
            lacks = set(fields) - fields_with_a_line(kind)
            assert not lacks, f"{name}: {lacks}"


def fields_with_a_line(kind):
    """Return the fields of a class, and of those it is made from, that are explained."""
    explained = set()
    for base in kind.__mro__:
        if base.__module__.startswith(NAME) and base is not Value:
            body = ast.parse(inspect.getsource(base)).body[0].body
            for field, after in itertools.pairwise(body):
                if isinstance(after, ast.Expr) and isinstance(field, ast.AnnAssign):
                    explained.add(field.target.id)
                elif isinstance(after, ast.Expr) and isinstance(field, ast.Assign):
                    explained |= {target.id for target in field.targets}
    return explained


def test_events_and_their_fields_are_those_of_the_page():
    """What a handler gets; common fields are those of every event."""
    kinds = {
        kind.name: kind
        for kind in vars(events).values()
        if inspect.isclass(kind) and getattr(kind, "name", None) in set(events.EVENTS)
    }
    written = {row[0][0]: row[1] for row in section("Events")}
    assert list(written) == [str(name) for name in events.EVENTS]
    for name, fields in written.items():
        common = ("lease", "namespace", "identity")
        own = [f for f in kinds[name]._fields if f not in common]
        assert fields == own, name


def test_reasons_of_a_loss_are_those_of_the_page():
    """Programs compare them."""
    assert first_column("Reasons of a loss") == list(events.LossReason.__args__)


def test_metrics_are_those_of_the_page():
    """As Prometheus has them; dashboards and alerts name them."""
    shown = re.findall(r"^# TYPE (\S+)", Metrics().text(), re.MULTILINE)
    assert first_column("Metrics") == shown


def test_commands_and_exit_codes_are_those_of_the_page():
    """Scripts call the ones and compare the others."""
    assert first_column("Commands") == list(COMMANDS)
    codes = [str(x) for x in vars(exit_codes).values() if isinstance(x, int)]
    assert first_column("Exit codes") == codes


def test_variables_of_a_command_are_those_of_the_page():
    """What `run` tells the program that it runs."""
    facts = TermFacts(
        lease="l",
        namespace="n",
        identity="i",
        token=1,
        deadline=None,
        renew_deadline=15.0,
        origin=("boot", "namespace"),
    )
    written = first_column("Variables of a command that is run")
    assert written == list(facts.variables(None))


def test_annotations_on_the_lease_are_those_of_the_page():
    """Other versions of this package, and people, read and write them."""
    names = (on_the_lease.TOKEN, on_the_lease.STEP_DOWN, on_the_lease.SUCCESSOR)
    assert first_column("Annotations on the Lease") == list(names)


def test_page_says_how_what_is_public_may_change():
    """A list without a rule protects nobody."""
    assert "## How it may change" in TEXT
