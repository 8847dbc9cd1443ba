"""The electors for asyncio and for threads are one: same names, same words."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from kubernetes_leader_election import elector as on_loop
from kubernetes_leader_election import sync as on_threads
from tests.lifecycle.life_cycle import table

CLASSES = ["Background", "Elector", "Guard", "Leadership", "Lost", "Term"]
WAITING = {
    ("Elector", "start"),
    ("Elector", "stop"),
    ("Elector", "step_down"),
    ("Elector", "wait_until_leading"),
    ("Elector", "wait_for_leader"),
    ("Elector", "states"),
    ("Elector", "run"),
    ("Elector", "call_if_leading"),
    ("Background", "start"),
    ("Background", "stop"),
    ("Lost", "wait"),
    ("Term", "to_thread"),
}
"""What is awaited on a loop and blocks on a thread; nothing else may differ so."""
ENTER_AND_LEAVE = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
}


def members(cls):
    """Give the public members by name, ways to enter and leave included."""
    found = {}
    for name, member in inspect.getmembers(cls):
        shared = ENTER_AND_LEAVE.get(name, name)
        if not name.startswith("_") or shared in ENTER_AND_LEAVE.values():
            found.setdefault(shared, member)  # of both ways to enter, that of a loop
    return found


PAIRS = [
    (name, member) for name in CLASSES for member in members(getattr(on_loop, name))
]


def pair(cls, name):
    """Give a member of both fronts."""
    return tuple(members(getattr(front, cls))[name] for front in (on_loop, on_threads))


def is_async(member):
    """Tell whether a call of it has to be awaited or iterated on a loop."""
    return inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(member)


def on_a_thread(text):
    """Say on threads what is said for a loop."""
    text = re.sub(r"Awaitable\[(\w+)\]", r"\1", text)
    return text.replace("AsyncIterator[", "Iterator[")


def words(member):
    """Give a docstring without its examples of code."""
    text = inspect.getdoc(member) + "\n"
    return re.sub(r"\.\. code-block:: python\n\n(?:(?: {4}.*)?\n)+", "", text).strip()


@pytest.mark.parametrize("name", CLASSES)
def test_fronts_have_the_same_public_names(name):
    """Neither front has a class, method or property that the other has not."""
    assert on_loop.__all__ == on_threads.__all__ == CLASSES
    assert members(getattr(on_loop, name)).keys() == (
        members(getattr(on_threads, name)).keys()
    )
    assert len(members(getattr(on_loop, name))) > 1


@pytest.mark.parametrize(("cls", "name"), PAIRS)
def test_fronts_have_the_same_signatures(cls, name):
    """Parameters, defaults and types are the same, but for what is awaited."""
    loop, threads = pair(cls, name)
    if not callable(loop):
        assert type(loop) is type(threads)
        return
    if inspect.isclass(loop):
        assert loop is threads
        return
    assert on_a_thread(str(inspect.signature(loop))) == (
        str(inspect.signature(threads))
    )
    enters = name in ENTER_AND_LEAVE.values()
    assert is_async(loop) == (enters or (cls, name) in WAITING)
    assert not is_async(threads)


@pytest.mark.parametrize(("cls", "name"), PAIRS)
def test_fronts_have_the_same_words(cls, name):
    """Docstrings promise the same on both fronts."""
    loop, threads = pair(cls, name)
    if name in ENTER_AND_LEAVE.values() or not inspect.getdoc(loop):
        return
    assert inspect.getdoc(loop) == inspect.getdoc(threads)


@pytest.mark.parametrize("name", CLASSES)
def test_fronts_describe_their_classes_alike(name):
    """Classes differ in their examples of code alone."""
    loop, threads = getattr(on_loop, name), getattr(on_threads, name)
    assert words(loop) == words(threads)


def test_fronts_are_of_the_same_size():
    """Both are thin: neither has grown logic that the other has not."""
    sizes = [len(inspect.getsource(f).splitlines()) for f in (on_loop, on_threads)]
    assert max(sizes) < 1.2 * min(sizes)


# The page -----------------------------------------------------------------------


def proved_rows():
    """Find every `pytest.mark.row(table, cell)` in the tests."""
    found = set()
    for path in Path(__file__).parent.rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        if "mark.row(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "row"
            ):
                found.add(tuple(ast.literal_eval(argument) for argument in node.args))
    return found


@pytest.mark.parametrize("heading", ["Handlers", "Signals, exit, fork"])
def test_every_row_of_the_page_has_its_test(heading):
    """Rows that are not played by a table-driven test name the tests that prove them."""
    rows = {(heading, row[0]) for row in table(heading)}
    proved = {row for row in proved_rows() if row[0] == heading}
    assert rows - proved == set()
    assert proved - rows == set()
