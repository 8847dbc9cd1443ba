"""
Copy a core into a package of its own, with all that it imports of this package.

.. code-block:: shell

    python -m tests.versions.freeze --earlier   # the cores of all versions in EARLIER

A copy imports nothing of ``src``, so that both can run side by side. It is never
edited: it is made again.
"""

from __future__ import annotations

import ast
import io
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.versions import EARLIER

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = "kubernetes_leader_election"
MARK: Final = "A frozen copy of the core"
"""How the docstring of a copy begins; a folder without it is not overwritten."""

_IMPORT: Final = re.compile(rf"^(\s*(?:from|import)\s+){PACKAGE}\b", re.MULTILINE)


class FreezeError(Exception):
    """Say why a core cannot be copied, and what to do about it."""


def of_tree(root: Path = ROOT) -> dict[str, str]:
    """Return the source of each module of the working tree, by path in the package."""
    package = root / "src" / PACKAGE
    return {
        path.relative_to(package).as_posix(): path.read_text(encoding="utf-8")
        for path in package.rglob("*.py")
    }


def archive(commit: str, *paths: str, root: Path = ROOT) -> bytes:
    """
    Return files of a commit, as a tar archive.

    Raises:
        FreezeError: the commit is not in this clone, or this is no clone.

    """
    done = subprocess.run(  # noqa: S603 - a commit of our own
        ["git", "archive", commit, *paths],  # noqa: S607 - whichever git there is
        cwd=root,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise FreezeError(
            f"Commit {commit[:12]} is not in this clone, so the earlier version cannot "
            "be built from it; get the history with `git fetch --unshallow` (in GitHub "
            "Actions: `fetch-depth: 0` for actions/checkout). Git says: "
            f"{done.stderr.decode(errors='replace').strip()}"
        )
    return done.stdout


def of_commit(commit: str, *, root: Path = ROOT) -> dict[str, str]:
    """Return the source of each module at a commit, by path in the package."""
    prefix = f"src/{PACKAGE}/"
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive(commit, prefix, root=root))) as tar:
        for member in tar.getmembers():
            file = tar.extractfile(member)
            if file is not None and member.name.endswith(".py"):
                name = member.name.removeprefix(prefix)
                found[name] = file.read().decode("utf-8")
    return found


def freeze(sources: Mapping[str, str], to: Path, *, package: str, origin: str) -> None:
    """
    Write the core, and all that it imports, to ``to``, importable as ``package``.

    Args:
        sources: the modules of the whole package, by path in it.
        to: a folder that holds such a copy, or nothing.
        package: the name under which ``to`` is imported.
        origin: where the sources come from, for people.

    Raises:
        FreezeError: ``to`` holds something else, or the core imports what is not there.

    """
    first = to / "__init__.py"
    if to.exists() and (not first.exists() or MARK not in first.read_text("utf-8")):
        raise FreezeError(f"{to} holds no frozen core: remove it, or name another one.")
    core = core_of(sources)
    if to.exists():
        shutil.rmtree(to)
    for name, source in core.items():
        path = to / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = _IMPORT.sub(rf"\g<1>{package}", source)
        path.write_text(text, encoding="utf-8")
    first.write_text(
        f'"""\n{MARK}, of {origin}.\n\n'
        "Made by ``python -m tests.versions.freeze``; never edit it.\n"
        '"""\n',
        encoding="utf-8",
    )


def core_of(sources: Mapping[str, str]) -> dict[str, str]:
    """
    Return the modules of the core, and what they import, however far down.

    Raises:
        FreezeError: the core imports what is not there.

    """
    waiting = [name for name in sources if name.startswith("core/")]
    if not waiting:
        raise FreezeError("There is no core: the package has no folder `core`.")
    needed: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        needed.add(name)
        waiting += [
            f"{parent.as_posix()}/__init__.py"
            for parent in Path(name).parents
            if parent.name and f"{parent.as_posix()}/__init__.py" in sources
        ]
        for node in ast.walk(ast.parse(sources[name])):
            if isinstance(node, ast.ImportFrom):
                waiting += _imported_from(node, name, sources)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    waiting += _modules(alias.name, sources)
    return {name: sources[name] for name in sorted(needed)}


def _imported_from(
    node: ast.ImportFrom, name: str, sources: Mapping[str, str]
) -> list[str]:
    if node.level:
        raise FreezeError(f"{name}:{node.lineno}: a relative import cannot be copied.")
    source = node.module or ""
    found = _modules(source, sources)
    for alias in node.names:
        found += _modules(f"{source}.{alias.name}", sources)
    if source.partition(".")[0] == PACKAGE and not found:
        raise FreezeError(
            f"{name}:{node.lineno}: {source} itself is imported by the core; a copy "
            "can only take modules of the package along."
        )
    return found


def _modules(dotted: str, sources: Mapping[str, str]) -> list[str]:
    """Return the file of a module of the package; none for a name in a module."""
    root, _, rest = dotted.partition(".")
    if root != PACKAGE or not rest:
        return []
    path = rest.replace(".", "/")
    return [name for name in (f"{path}.py", f"{path}/__init__.py") if name in sources]


def main(arguments: list[str]) -> int:
    """Copy the cores of all earlier versions; return 0 when that is done."""
    if arguments != ["--earlier"]:
        sys.stderr.write("Usage: python -m tests.versions.freeze --earlier\n")
        return 2
    for version in EARLIER:
        to = ROOT.joinpath(*version.package.split("."))
        freeze(
            of_commit(version.commit),
            to,
            package=version.package,
            origin=f"commit {version.commit}",
        )
        sys.stdout.write(f"{to.relative_to(ROOT)}: {version}\n")
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1:]))
    except FreezeError as problem:
        raise SystemExit(str(problem)) from None
