"""A control group that freezes what is in it, as a container's pause does."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Self

from controlplane.processes import wait_until

__all__ = ["Freezer", "why_impossible"]

ROOT = Path("/sys/fs/cgroup")


def _place() -> tuple[Path, bool] | None:
    """Return where groups are made, and whether it is the second version."""
    if (ROOT / "freezer" / "cgroup.procs").exists():
        return ROOT / "freezer", False
    for root in (ROOT, ROOT / "unified"):
        if (root / "cgroup.controllers").exists():
            return root, True
    return None


def why_impossible() -> str | None:
    """Return why this machine freezes no control group, or None if it does."""
    if _place() is None:
        return "there is no control group that freezes, of either version"
    if os.geteuid() != 0:
        return "only root may make control groups"
    try:
        with Freezer():
            return None
    except OSError as error:
        return f"no control group can be made: {error}"


class Freezer:
    """A group of its own below the root; processes go in and do not come out."""

    def __init__(self) -> None:
        place = _place()
        assert place is not None
        root, self._second = place
        self._group = root / f"election-{secrets.token_hex(4)}"

    def __enter__(self) -> Self:
        """Make the group."""
        self._group.mkdir()
        if self._second and not (self._group / "cgroup.freeze").exists():
            self._group.rmdir()
            raise OSError("this kernel's control groups do not freeze")
        return self

    def __exit__(self, *_: object) -> None:
        """Thaw, and take the group away; processes go back to the root."""
        self.thaw()
        for pid in (self._group / "cgroup.procs").read_text().split():
            try:
                (self._group.parent / "cgroup.procs").write_text(pid)
            except OSError:
                continue  # it has ended
        wait_until(self._empty, within=10, what="the control group is empty")
        self._group.rmdir()

    def _empty(self) -> bool:
        return not (self._group / "cgroup.procs").read_text().split()

    def take(self, pid: int) -> None:
        """Put a process in, with all its threads."""
        (self._group / "cgroup.procs").write_text(f"{pid}")

    def freeze(self) -> None:
        """Let all of it stand still; return when it does."""
        if self._second:
            (self._group / "cgroup.freeze").write_text("1")
            events = self._group / "cgroup.events"
            wait_until(
                lambda: "frozen 1" in events.read_text(), within=10, what="frozen"
            )
            return
        state = self._group / "freezer.state"
        state.write_text("FROZEN")
        wait_until(
            lambda: state.read_text().strip() == "FROZEN", within=10, what="frozen"
        )

    def thaw(self) -> None:
        """Let all of it go on."""
        if self._second:
            (self._group / "cgroup.freeze").write_text("0")
        else:
            (self._group / "freezer.state").write_text("THAWED")
