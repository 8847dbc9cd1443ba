"""
Where this container's termination file is, and whether a note in it would prove anything.

The kubelet mounts a new file into each container that it starts, and shows what stands
in it in the pod's status when that container has ended. Inside, its line in
``/proc/self/mountinfo`` names the pod's uid and the container. The kernel ends every
process of a container with its first one, if the container has a PID namespace of its
own: only then does the container's end prove this process's.
"""

from __future__ import annotations

import os
import re
import sys

from kubernetes_leader_election.left_note import is_label, is_uid
from kubernetes_leader_election.pods.names import NoNote
from kubernetes_leader_election.values import Value

__all__ = ["TerminationFile", "parse_mountinfo", "shared_by", "termination_file"]

_ROOT = re.compile(
    r"(?:/[^/]+)*/pods/(?P<uid>[^/]+)/containers/(?P<name>[^/]+)/[0-9a-f]{8}", re.ASCII
)
_POD = re.compile(r"/pods/[0-9a-f-]{36}(?=/)", re.ASCII)
_OCTAL = re.compile(r"\\([0-7]{3})")


class TerminationFile(Value):
    """The termination file of the container that this process runs in."""

    path: str
    pod_uid: str
    container: str


def termination_file(
    proc: str = "/proc", *, platform: str = sys.platform
) -> TerminationFile | NoNote:
    """
    Return the termination file of this container, or why no note can be left in it.

    Reads a few files of ``/proc``, which never blocks.

    Args:
        proc: where procfs is mounted.
        platform: as :data:`sys.platform`.

    """
    if platform != "linux":
        return NoNote(why=f"that needs Linux, and this is {platform}")
    try:
        with open(f"{proc}/self/mountinfo", "rb") as file:  # noqa: PTH123 - pathlib takes 3 ms to import
            mounts = file.read()
    except OSError as error:
        return NoNote(
            why=f"{proc}/self/mountinfo cannot be read ({error.strerror or error})"
        )
    found = parse_mountinfo(os.fsdecode(mounts))
    if isinstance(found, NoNote):
        return found
    return _shared_processes(proc) or found


def parse_mountinfo(mountinfo: str) -> TerminationFile | NoNote:
    """Find the one mount that is a termination file, in what the kernel says of mounts."""
    mounts = [_root_and_point(line) for line in mountinfo.split("\n")]
    found = [
        TerminationFile(path=point, pod_uid=match["uid"], container=match["name"])
        for root, point in mounts
        if (match := _ROOT.fullmatch(root))
        and len(_POD.findall(root)) == 1
        and is_uid(match["uid"])
        and is_label(match["name"])
    ]
    if not found:
        return NoNote(
            why="this is no container that a kubelet started: no mount of it is a "
            "termination file"
        )
    if len(found) > 1:
        return NoNote(why="more than one mount looks like the termination file")
    (file,) = found
    if sum(point == file.path for _, point in mounts) > 1:
        return NoNote(why=f"something else is mounted over {file.path}")
    return file


def shared_by(path: str, mountinfo: str) -> str | None:
    """
    Return the mount that a path lies on; None: it is the container's own file system.

    What is mounted, a volume or the pod's /dev/shm, other containers may see as well.

    Args:
        path: without links in it.
        mountinfo: what the kernel says of mounts.

    """
    points = {point for _, point in map(_root_and_point, mountinfo.split("\n"))}
    above = [point for point in points if point and _is_below(path, point)]
    longest = max(above, key=len, default="/")
    return None if longest == "/" else longest


def _is_below(path: str, point: str) -> bool:
    return path == point or path.startswith(f"{point.rstrip('/')}/")


def _root_and_point(line: str) -> tuple[str, str]:
    """Return fields 4 and 5 of a line, as paths; empty where it is no such line."""
    fields = line.split(" ")
    if len(fields) < 7 or "-" not in fields[6:]:
        return "", ""
    return _unescaped(fields[3]), _unescaped(fields[4])


def _unescaped(path: str) -> str:
    """Undo the kernel's way to write blanks, newlines and backslashes."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), path)


def _shared_processes(proc: str) -> NoNote | None:
    """Say why the container's end might leave this process alive, if it might."""
    try:
        own = os.readlink(f"{proc}/self")  # noqa: PTH115 - the text, not a path
        if own != str(os.getpid()):
            return NoNote(why=f"{proc} is that of another PID namespace")
        ours = os.readlink(f"{proc}/self/ns/mnt")  # noqa: PTH115 - the text, not a path
        first = os.readlink(f"{proc}/1/ns/mnt")  # noqa: PTH115 - the text, not a path
    except OSError as error:
        return NoNote(
            why="it cannot be shown that process 1 is one of this container "
            f"({error.strerror or error}: {error.filename}); it is not with hostPID or "
            "shareProcessNamespace, nor can it be shown where process 1 runs as "
            "another user"
        )
    if ours != first:
        return NoNote(
            why="process 1 is not one of this container: the pod has hostPID or "
            "shareProcessNamespace, so the container's end would not prove that of "
            "this process"
        )
    return None
