"""The core is composed: each part owns its fields, and each field is explained."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from kubernetes_leader_election.core import messages

CORE = Path(messages.__file__).parent
MOST_FIELDS = 15
MOST_LINES = 420
SET_BY_THE_VERBS = {"now"}
"""What each input brings: the verbs put it where all parts find it."""

TREES = {path.stem: ast.parse(path.read_text("utf-8")) for path in CORE.glob("*.py")}
COMPOSED = (
    "election",
    "conclusions",
    "standing",
    "observed",
    "outcomes",
    "commands",
    "lease_writes",
)
PARTS = (
    "own_writes",
    "retry",
    "watch_policy",
    "contending",
    "challenge",
    "hearing",
    "schedule",
    "cut_record",
    "participation",
    "notices",
    "in_flight",
    "observation",
    "gap",
)


def classes(module):
    """Give the classes of a module that keep fields by slots of their own."""
    for node in TREES[module].body:
        if isinstance(node, ast.ClassDef):
            for line in node.body:
                if (
                    isinstance(line, ast.Assign)
                    and line.targets[0].id == "__slots__"
                    and isinstance(line.value, ast.Tuple)
                ):
                    yield node, [field.value for field in line.value.elts]


def targets(tree):
    """Give what is written: each attribute, with its object."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            found = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            found = [node.target]
        else:
            continue
        for target in found:
            for one in getattr(target, "elts", [target]):
                if isinstance(one, ast.Attribute):
                    yield one


def foreign_writes(tree):
    """Give the attributes of other objects that are written."""
    return {
        ast.unparse(target)
        for target in targets(tree)
        if not (isinstance(target.value, ast.Name) and target.value.id == "self")
        and target.attr not in SET_BY_THE_VERBS
    }


@pytest.mark.parametrize("module", TREES)
def test_nobody_writes_the_field_of_another(module):
    """Whoever wants one to be changed calls a method of its owner."""
    assert foreign_writes(TREES[module]) == set()


@pytest.mark.parametrize(
    "line",
    [
        "other.field = 1",
        "self._retry.failures += 1",
        "self.x, self._retry.failures = 1, 2",
        "self._term.pending: list[int] = []",
    ],
)
def test_write_of_the_field_of_another_is_seen(line):
    """In each form that Python has for it."""
    assert foreign_writes(ast.parse(line))
    assert not foreign_writes(ast.parse("self.failures += 1"))


@pytest.mark.parametrize("module", COMPOSED + PARTS)
def test_no_part_has_more_fields_than_can_be_kept_in_mind(module):
    """Fifteen at most, the parts that it is made of among them."""
    assert list(classes(module))
    for node, fields in classes(module):
        assert len(set(fields) - {"__dict__"}) <= MOST_FIELDS, node.name


@pytest.mark.parametrize("module", COMPOSED + PARTS)
def test_files_of_the_core_can_be_read_at_a_sitting(module):
    """Each is about one thing."""
    assert len((CORE / f"{module}.py").read_text("utf-8").splitlines()) <= MOST_LINES


PLAIN = {
    "settings": "the class says what they are",
    "draw": "the class says what it is",
    "identity": "the settings say what it is",
    "standing": "a class of that name says what it is",
    "observed": "a class of that name says what it is",
    "outcomes": "a class of that name says what it is",
    "commands": "a class of that name says what it is",
    "conclusions": "a class of that name says what it is",
    "lease_writes": "a class of that name says what it is",
    **dict.fromkeys(PARTS, "a class of that name says what it is"),
}
"""Fields that a line would only repeat."""


def unexplained(node, fields):
    """Give the fields that no line below their first value says a word about."""
    explained = set()
    for method in node.body:
        if isinstance(method, ast.FunctionDef):
            for line, following in zip(method.body, method.body[1:], strict=False):
                if isinstance(following, ast.Expr) and isinstance(
                    following.value, ast.Constant
                ):
                    explained |= {t.attr for t in targets(ast.Module([line], []))}
    return {f for f in fields if f.strip("_") not in PLAIN} - explained - {"__dict__"}


@pytest.mark.parametrize("module", COMPOSED + PARTS)
def test_each_field_is_explained_in_a_line(module):
    """What it means, in which unit, and when it is nothing."""
    for node, fields in classes(module):
        assert unexplained(node, fields) == set(), node.name


def test_field_without_a_line_is_seen():
    """Also one that is first set in a method."""
    node = ast.parse(
        "class A:\n"
        " def __init__(self):\n"
        "  self.a = 1\n"
        "  '''Yes.'''\n"
        "  self._b = 2\n"
        "  self._settings = 3\n"
    ).body[0]
    assert unexplained(node, ["a", "_b", "_settings"]) == {"_b"}


def test_each_field_is_written_in_one_class():
    """Two classes of the composed core do not keep the same thing under one name."""
    owners = defaultdict(set)
    for module in COMPOSED + PARTS:
        for node, fields in classes(module):
            for field in fields:
                if field.strip("_") not in PLAIN and field != "__dict__":
                    owners[field].add(node.name)
    twice = {field: names for field, names in owners.items() if len(names) > 1}
    # Two that count different failures, and two kinds of version.
    assert twice.keys() <= {"failures"}
