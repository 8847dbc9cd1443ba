"""The control groups of a node: below one of its own, in every hierarchy."""

from __future__ import annotations

from pathlib import Path

__all__ = ["HOME", "hierarchies", "make", "places"]

HOME = Path("/sys/fs/cgroup")
SHARES = {"cpu.shares": "20480", "cpu.weight": "2000"}
"""Of the processor, as twenty processes have; else all pods together have that of one."""


def hierarchies() -> list[Path]:
    """Return the folders that control groups are made in: one, or one a controller."""
    if (HOME / "cgroup.controllers").exists():
        return [HOME]
    return sorted(
        Path(place)
        for _, place, kind, *_ in (
            line.split() for line in Path("/proc/mounts").read_text().splitlines()
        )
        if kind in {"cgroup", "cgroup2"} and Path(place).is_relative_to(HOME)
    )


def places(name: str) -> list[Path]:
    """Return where the group of a node is."""
    return [hierarchy / name for hierarchy in hierarchies()]


def make(name: str) -> None:
    """Make the group of a node in every hierarchy."""
    for place in places(name):
        place.mkdir()
        for inherited in ("cpuset.cpus", "cpuset.mems"):
            # In the first version a new group has no processor, so nothing runs in it.
            above = place.parent / inherited
            if above.exists() and not (HOME / "cgroup.controllers").exists():
                (place / inherited).write_text(above.read_text())
        if (HOME / "cgroup.controllers").exists():
            known = (HOME / "cgroup.controllers").read_text().split()
            on = " ".join(f"+{one}" for one in known)
            (HOME / "cgroup.subtree_control").write_text(on)
            (place / "cgroup.subtree_control").write_text(on)
        for share, value in SHARES.items():
            if (place / share).exists():
                (place / share).write_text(value)
