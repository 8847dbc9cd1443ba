"""
What a test does to one container of a node, from outside, for as long as a block lasts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node.space import Life, Space, numbers_of

__all__ = ["cut_off", "frozen", "hide_state", "parent"]


@contextmanager
def frozen(space: Space, life: Life) -> Iterator[None]:
    """Freeze a container by the freezer of control groups, as `docker pause` does."""
    groups = space.node.groups(space.container_id(life.pod, life.container))
    one, stop, go = (
        (groups["freezer"] / "freezer.state", "FROZEN", "THAWED")
        if "freezer" in groups
        else (groups["cgroup"] / "cgroup.freeze", "1", "0")
    )
    one.write_text(stop)
    try:
        yield
    finally:
        one.write_text(go)


@contextmanager
def cut_off(space: Space, life: Life) -> Iterator[None]:
    """Cut the wire of a pod; the node and its probes go on."""
    pid, *_ = space.processes(life)  # its first one
    wire = space.node.inside.must(
        "nsenter", f"--net=/proc/{numbers_of(pid)[1]}/ns/net", "--", "ip", "-o", "link", "show", "eth0"
    )  # fmt: skip
    number = re.search(r"eth0@if(\d+)", wire)
    assert number is not None, wire
    links = space.node.inside.must("ip", "-o", "link")
    found = re.search(rf"^{number[1]}: (\w+)@", links, re.MULTILINE)
    assert found is not None, links
    space.node.inside.must("ip", "link", "set", found[1], "down")
    try:
        yield
    finally:
        space.node.inside.must("ip", "link", "set", found[1], "up")


def hide_state(space: Space, life: Life) -> None:
    """Hide from runc what it knows of a container, so that it finds nothing to kill."""
    home = "/run/containerd/runc/k8s.io"
    container = space.container_id(life.pod, life.container)
    space.node.inside.must("mv", f"{home}/{container}", f"{home}/hidden-{container}")


def parent(pid: int) -> int:
    """Return the parent of a process: of a container's first one it is the shim."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"^PPid:\s+(\d+)", status, re.MULTILINE)
    assert found is not None, status
    return int(found[1])
