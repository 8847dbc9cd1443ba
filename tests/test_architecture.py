"""The rooms: few modules at the top, imports that go down, tests that mirror them."""

from __future__ import annotations

import ast
import importlib.util
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAME = "kubernetes_leader_election"
PACKAGE = ROOT / "src" / NAME
MOST_AT_THE_TOP = 10
"""Modules of the package itself, besides ``__init__`` and ``__main__``."""
BESIDE = ("testing",)
"""Rooms whose layers only the search for circles looks at."""


def module_of(path):
    """Return the dotted name of a file."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports():
    """Return what each module imports of the package: lazily and for types, too."""
    files = {module_of(path): path for path in PACKAGE.rglob("*.py")}
    found = {}
    for module, path in files.items():
        named = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                whole = {f"{node.module}.{alias.name}" for alias in node.names}
                named |= {name if name in files else node.module for name in whole}
        found[module] = (named & files.keys()) - {module}
    return found


def circles(graph):
    """Return the sets of modules that reach each other, by following arrows both ways."""
    reached = {}
    for start in graph:
        seen, waiting = set(), [start]
        while waiting:
            for module in graph[waiting.pop()] - seen:
                seen.add(module)
                waiting.append(module)
        reached[start] = seen
    return {
        frozenset({m for m in reached[module] if module in reached[m]} | {module})
        for module in graph
        if module in reached[module]
    }


def test_search_finds_a_circle():
    """Also a long one, and one that touches others."""
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"a"}}
    assert circles(graph) == {frozenset("abc")}
    assert circles({"a": {"b"}, "b": set()}) == set()


def test_no_files_import_each_other():
    """However late they do it, or if for types alone."""
    assert {tuple(sorted(circle)) for circle in circles(imports())} == set()


def test_few_modules_lie_at_the_top():
    """Every other file is in a room whose name says what it is."""
    loose = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert len(loose) <= MOST_AT_THE_TOP, sorted(loose)


def layers():
    """Return the modules that a contract of layers names, for each of its containers."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {
        container: {
            module.strip()
            for layer in contract["layers"]
            for module in layer.split("|")
        }
        for contract in project["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
        for container in contract["containers"]
        if contract["exhaustive"] is True
    }


ROOMS = [
    PACKAGE,
    *sorted(
        room
        for room in PACKAGE.iterdir()
        if (room / "__init__.py").exists()
        and room.name not in BESIDE
        and len(list(room.glob("*.py"))) > 2
    ),
]


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_contract_names_every_module_of_a_room(room):
    """So "imports go down only" is checked of each; `lint-imports` does so."""
    there = {path.stem for path in room.glob("*.py")} - {"__init__"}
    there |= {path.parent.name for path in room.glob("*/__init__.py")}
    assert layers()[module_of(room / "__init__.py")] == there


def test_tests_mirror_the_rooms():
    """Whoever knows where the code is knows where its tests are."""
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert {room for room in rooms if not (ROOT / "tests" / room).is_dir()} == set()


def script(name):
    """Load a script of the documentation."""
    path = ROOT / "docs" / name
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_map_of_the_rooms_is_what_the_modules_say():
    """`python docs/rooms.py` writes it anew; no room is left out."""
    rooms = script("rooms.py")
    page = rooms.PAGE.read_text(encoding="utf-8")
    assert rooms.page() == page
    assert not re.findall(r":[a-z]+:`", page)  # markup of docstrings, on a page
    assert {f.removesuffix(".py") for f in rooms.FLOORS} == (
        layers()[NAME] - {"__main__"}
    )
    files = {path.name for path in PACKAGE.rglob("*.py")} - {"__init__.py"}
    assert {name for name in files if f"`{name}`" not in page} == set()


def test_page_of_tasks_names_files_that_there_are():
    """Where to change what: a file that has gone leads nobody astray."""
    rooms = script("rooms.py")
    head = rooms.PAGE.read_text(encoding="utf-8").partition(rooms.MARK)[0]
    tasks = head.partition("## Where to change what")[2]
    named = re.findall(r"`([a-z_]+(?:/[a-z_]+)*(?:/|\.py))`", tasks)
    assert len(named) > 20
    assert [name for name in named if not (PACKAGE / name).exists()] == []
