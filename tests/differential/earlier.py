"""
The core that the working one is compared with: a copy, made when it is needed.

It is that of the commit in the environment variable ``DIFFERENTIAL_SINCE``, so that
every process of a comparison, and pytest, compares with the same one. Without it the
working tree's own core is copied: nothing has changed then, and what differs is a defect
of the comparison or chance that has crept into the core.
"""

from __future__ import annotations

import os
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from tests.versions.families import Family, family
from tests.versions.freeze import ROOT, freeze, of_commit, of_tree

SINCE: Final = "DIFFERENTIAL_SINCE"
PACKAGE: Final = "earlier_core"


def sources(since: str, *, root: Path = ROOT) -> dict[str, str]:
    """
    Return the source of each module at a commit; of the working tree if it is ``""``.

    Raises:
        FreezeError: the commit is not in this clone, or this is no clone.

    """
    return of_commit(since, root=root) if since else of_tree(root)


def load(found: dict[str, str], *, package: str = PACKAGE) -> Family:
    """Copy a core, and import all of the copy as ``package``; no file of it stays."""
    with tempfile.TemporaryDirectory() as folder:
        freeze(found, Path(folder, package), package=package, origin="the comparison")
        sys.path.insert(0, folder)
        try:
            return family(package)
        finally:
            sys.path.remove(folder)


@cache
def earlier_core() -> Family:
    """Return the classes of the core that this process compares with."""
    return load(sources(os.environ.get(SINCE, "")))
