"""
Freeze the core of the working tree, for the comparison with what it becomes.

.. code-block:: shell

    python -m tests.differential.freeze

Do so after a rule has changed on purpose, and say in the commit which one.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.versions.freeze import ROOT, FreezeError, freeze, of_tree

PACKAGE: Final = "tests.differential.frozen"
FROZEN: Final = ROOT.joinpath(*PACKAGE.split("."))


def _origin() -> str:
    """Return which commit the working tree is at, and whether the core differs."""
    where = ["git", "describe", "--always", "--abbrev=12", "--exclude=*"]
    commit = _git(where) or "an unknown commit"
    changed = _git(["git", "status", "--porcelain", "--", "src"])
    return f"{commit} with changes not committed" if changed else commit


def _git(command: list[str]) -> str:
    done = subprocess.run(  # noqa: S603 - commands of our own
        command, cwd=ROOT, capture_output=True, check=False, text=True
    )
    return done.stdout.strip()


def main(to: Path = FROZEN) -> int:
    """Freeze the core of the working tree; return 0 when that is done."""
    freeze(of_tree(), to, package=PACKAGE, origin=_origin())
    sys.stdout.write(f"{to.relative_to(ROOT)}: the core of {_origin()}\n")
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except FreezeError as problem:
        raise SystemExit(str(problem)) from None
