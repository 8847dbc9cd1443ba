"""What a docstring refers to, as ``:class:`.Elector```, is there."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src"
PACKAGE = "kubernetes_leader_election"
REFERENCE = re.compile(
    r":(?:mod|class|func|meth|data|attr|exc):`(?:[^`<]*<)?([^`>]+)>?`"
)


def modules():
    """Return each file of the package by the dotted name of its module."""
    found = {}
    for path in sorted((SOURCE / PACKAGE).rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def names_of(body, prefix):
    """Yield the dotted name of all that statements define: also what they import."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield f"{prefix}.{node.name}"
            if isinstance(node, ast.ClassDef):
                yield from names_of(node.body, f"{prefix}.{node.name}")
            else:
                yield from attributes_of(node, prefix)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield f"{prefix}.{alias.asname or alias.name}"
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for name in targets:
                if isinstance(name, ast.Name):
                    yield f"{prefix}.{name.id}"
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from names_of([*node.body, *getattr(node, "orelse", ())], prefix)


def attributes_of(function, prefix):
    """Yield what a method makes on ``self``."""
    for node in ast.walk(function):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id == "self"
        ):
            yield f"{prefix}.{node.attr}"


MODULES = modules()
NAMES = set(MODULES)
for module, path in MODULES.items():
    NAMES.update(names_of(ast.parse(path.read_text(encoding="utf-8")).body, module))


def outside(name):
    """Whether the name is one of the standard library's, or of a library's."""
    parts = name.split(".")
    try:
        thing = importlib.import_module(parts[0])
        for i, part in enumerate(parts[1:], 2):
            if not hasattr(thing, part):
                importlib.import_module(".".join(parts[:i]))
            thing = getattr(thing, part)
    except (ImportError, AttributeError):
        return False
    return True


def found(reference, module):
    """Whether a reference in a module means something."""
    name = reference.lstrip("~").removesuffix("()")
    dots = len(name) - len(name.lstrip("."))
    name = name.lstrip(".")
    if dots:
        is_package = MODULES[module].name == "__init__.py"
        above = module.split(".")[: None if is_package and dots == 1 else -dots]
        if is_package and dots > 1:
            above = module.split(".")[: -(dots - 1)]
        if f"{'.'.join(above)}.{name}" in NAMES:
            return True
    elif name in NAMES or f"{module}.{name}" in NAMES:
        return True
    # A class of this file, and something of it; a method of the class at hand.
    if any(f"{module}.{owner}.{name}" in NAMES for owner in classes(module)):
        return True
    return not dots and outside(name)


def classes(module):
    """Return the classes of a module."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    return [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


def test_references_of_docstrings_lead_somewhere():
    """A module that was renamed, a function that moved: no docstring has its old name."""
    astray = [
        f"{module}: {name}"
        for module, path in MODULES.items()
        for name in REFERENCE.findall(path.read_text(encoding="utf-8"))
        if not found(name, module)
    ]
    assert not astray, "\n".join(astray)


def test_a_reference_to_what_is_not_there_is_noticed():
    """The names of this test are looked up as those of the package are."""
    life = f"{PACKAGE}.lifecycle.lifecycle"
    assert found("Lifecycle.begin", life)
    assert found(".engine_listener.EngineListener", life)
    assert found("~..events.LeadershipAcquired", life)
    assert found("signal.set_wakeup_fd", life)
    for name in (".news", "Lifecycle.commence", "..engine.Listener", "signal.no_such"):
        assert not found(name, life), name
