"""
Write the map of the rooms in ``docs/architecture.md``: ``python docs/rooms.py``.

Each line of the map is the first line of a module's docstring, so it cannot go stale: a
test compares the page with what this gives.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "kubernetes_leader_election"
PAGE = ROOT / "docs" / "architecture.md"
MARK = "<!-- generated: python docs/rooms.py -->\n"
FLOORS = (
    "contrib",
    "cli",
    "testing",
    "elector.py",
    "sync.py",
    "lifecycle",
    "observability",
    "leadership.py",
    "publish",
    "engine",
    "kube_api",
    "settings",
    "core",
    "events.py",
    "credentials",
    "pods",
    "process",
    "text.py",
    "backoff.py",
    "rights.py",
    "left_note.py",
    "errors.py",
    "values.py",
)
"""From the highest floor to the lowest, as the contract in pyproject.toml has them."""


def first_line(path: Path) -> str:
    """Return what a module is for: the first paragraph of its docstring."""
    told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(told.partition("\n\n")[0].split()).replace("``", "`")


def room(folder: Path, level: str) -> list[str]:
    """Return the map of a room, and of the rooms in it."""
    name = folder.relative_to(PACKAGE).as_posix()
    lines = [f"{level} `{name}/`", "", first_line(folder / "__init__.py"), ""]
    files = [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
    lines += [f"- `{path.name}`: {first_line(path)}" for path in files]
    if files:
        lines.append("")
    for inner in sorted(path.parent for path in folder.glob("*/__init__.py")):
        lines += room(inner, f"{level}#")
    return lines


def rooms() -> str:
    """Return the map of all rooms, from the highest floor to the lowest."""
    lines = [""]
    for floor in FLOORS:
        path = PACKAGE / floor
        if path.is_dir():
            lines += room(path, "###")
        else:
            lines += [f"### `{floor}`", "", first_line(path), ""]
    return "\n".join(lines)


def page() -> str:
    """Return the whole page, with its map as it should be."""
    head, _, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    return head + MARK + rooms()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
