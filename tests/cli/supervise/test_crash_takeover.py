"""``run --crash-takeover``: refused where work could outlive the container unseen."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from kubernetes_leader_election.cli.option_names import as_options
from kubernetes_leader_election.cli.supervise import wiring
from kubernetes_leader_election.pods import termination
from kubernetes_leader_election.pods.names import NoNote
from kubernetes_leader_election.pods.termination import TerminationFile, shared_by

MOUNTS = """\
820 741 0:91 / / rw,relatime master:271 - overlay overlay rw,lowerdir=/var/lib/x
822 820 0:95 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755
826 822 0:90 / /dev/shm rw,nosuid - tmpfs shm rw,size=65536k
827 820 254:1 /var/lib/kubelet/pods/x/volumes/k~empty-dir/tmp /tmp/work rw - ext4 /dev/vda1 rw
"""


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("/tmp/kle-1", None),
        ("/tmp/workshop", None),
        ("/tmp/work", "/tmp/work"),
        ("/tmp/work/kle-1", "/tmp/work"),
        ("/dev/shm/kle-1", "/dev/shm"),
        ("/devices", None),
    ],
)
def test_mount_that_a_path_lies_on(path, mount):
    """Whatever is mounted others may see; the root file system is the container's own."""
    assert shared_by(path, MOUNTS) == mount


def test_term_file_on_a_volume_is_refused(monkeypatch, tmp_path):
    """Work in another container could go by it, and would not end with this one."""
    file = TerminationFile(path="/dev/termination-log", pod_uid="x", container="c")
    monkeypatch.setattr(termination, "termination_file", lambda: file)
    monkeypatch.setattr(termination, "shared_by", lambda *_: str(tmp_path))
    with pytest.raises(click.UsageError, match="other containers of the pod may have"):
        wiring._refuse_shared(tmp_path)
    monkeypatch.setattr(termination, "shared_by", lambda *_: None)
    wiring._refuse_shared(tmp_path)


def test_outside_a_pod_nothing_is_refused(monkeypatch):
    """There is no note, so nothing is promised."""
    monkeypatch.setattr(termination, "termination_file", lambda: NoNote(why="no"))
    monkeypatch.setattr(termination, "shared_by", lambda *_: "/dev/shm")
    wiring._refuse_shared(Path("/dev/shm"))


def test_messages_name_the_options_of_the_command_line():
    """Whoever typed --crash-challenge-sec is not told of keywords."""
    said = "crash_challenge_sec does nothing without crash_takeover=True."
    assert as_options(said) == (
        "--crash-challenge-sec does nothing without --crash-takeover."
    )
