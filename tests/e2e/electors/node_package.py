"""Install the Node candidate once, outside the source tree."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from controlplane.binaries import cache_folder

from electors.candidates import PROGRAMS

__all__ = ["NotInstalledError", "install"]

SOURCE = PROGRAMS / "node"
FILES = ("candidate.js", "package.json", "package-lock.json", ".npmrc")


class NotInstalledError(Exception):
    """Say why there is no Node candidate."""


def install() -> Path:
    """
    Return the folder with the candidate and all it needs.

    Raises:
        NotInstalledError: there is no Node, or npm failed.

    """
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise NotInstalledError("there is no Node.js with npm")
    digest = hashlib.sha256()
    for name in FILES:
        digest.update((SOURCE / name).read_bytes())
    home = cache_folder().parent / "node" / digest.hexdigest()[:12]
    if home.exists():
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".installing-", dir=home.parent))
    try:
        for name in FILES:
            shutil.copy(SOURCE / name, scratch)
        done = subprocess.run(
            ["npm", "ci", "--omit=dev"],
            cwd=scratch,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            raise NotInstalledError(f"npm ci failed: {done.stderr.strip()[-500:]}")
        try:
            scratch.rename(home)
        except OSError:
            if not home.exists():
                raise  # else another run was faster
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return home
