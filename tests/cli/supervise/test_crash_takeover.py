"""``run --crash-takeover``: left out where work could outlive the container unseen."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubernetes_leader_election.cli.option_names import as_options
from kubernetes_leader_election.cli.supervise import polled_elector, wiring
from kubernetes_leader_election.pods import termination
from kubernetes_leader_election.pods.names import NoNote
from kubernetes_leader_election.pods.termination import TerminationFile, shared_by

MOUNTS = """\
820 741 0:91 / / rw,relatime master:271 - overlay overlay rw,lowerdir=/var/lib/x
822 820 0:95 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755
826 822 0:90 / /dev/shm rw,nosuid - tmpfs shm rw,size=65536k
827 820 254:1 /var/lib/kubelet/pods/x/volumes/k~empty-dir/tmp /tmp/shared rw - ext4 /dev/vda1 rw
"""


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("/tmp/kle-1", None),
        ("/tmp/shared-by-name", None),
        ("/tmp/shared", "/tmp/shared"),
        ("/tmp/shared/kle-1", "/tmp/shared"),
        ("/dev/shm/kle-1", "/dev/shm"),
        ("/devices", None),
    ],
)
def test_mount_that_a_path_lies_on(path, mount):
    """Whatever is mounted others may see; the root file system is the container's own."""
    assert shared_by(path, MOUNTS) == mount


class Log:
    """Keep what is warned of."""

    def __init__(self):
        self.lines = []

    def warning(self, text, *args):
        """Take a line."""
        self.lines.append(text % args)


def test_term_file_on_a_volume_proves_no_crash(monkeypatch, tmp_path):
    """Work in another container could go by it, and would not end with this one."""
    file = TerminationFile(path="/dev/termination-log", pod_uid="x", container="c")
    monkeypatch.setattr(termination, "termination_file", lambda: file)
    monkeypatch.setattr(termination, "shared_by", lambda *_: str(tmp_path))
    log = Log()
    assert wiring._is_shared(tmp_path, log)
    (line,) = log.lines
    assert line.startswith("goes on without --crash-takeover")
    assert f"on {tmp_path}, which other containers of the pod may have" in line
    monkeypatch.setattr(termination, "shared_by", lambda *_: None)
    assert not wiring._is_shared(tmp_path, log)
    assert len(log.lines) == 1


def test_outside_a_pod_nothing_is_said(monkeypatch):
    """There is no note, so nothing is promised."""
    monkeypatch.setattr(termination, "termination_file", lambda: NoNote(why="no"))
    monkeypatch.setattr(termination, "shared_by", lambda *_: "/dev/shm")
    log = Log()
    assert not wiring._is_shared(Path("/dev/shm"), log)
    assert not log.lines


@pytest.mark.parametrize("shared", [False, True])
def test_run_starts_where_only_shared_folders_can_be_written(monkeypatch, shared):
    """As with a read-only root file system; it starts, and asks for no proof."""
    asked = {}

    class StoppedError(Exception):
        pass

    def elector(**settings):
        asked.update(settings)
        raise StoppedError

    class Nothing:
        def close(self):
            pass

    monkeypatch.setattr(wiring, "_is_shared", lambda *_: shared)
    monkeypatch.setattr(wiring, "_credentials", lambda *_, **__: None)
    monkeypatch.setattr(wiring, "fork_watchdog", lambda _: Nothing())
    monkeypatch.setattr(wiring, "become_subreaper", lambda: None)
    monkeypatch.setattr(wiring, "SignalQueue", lambda _: Nothing())
    monkeypatch.setattr(polled_elector, "PolledElector", elector)
    with pytest.raises(StoppedError):
        wiring.run(
            ["true"],
            lease_name="billing",
            health=None,
            connection=None,
            timing={},
            namespace="shop",
            identity="a",
            crash_takeover=True,
            crash_challenge_sec=2.0,
            leader_endpoints=None,
            kubernetes_events=False,
            require_cluster=False,
            quiet=True,
        )
    assert asked["crash_takeover"] is not shared
    assert asked["crash_challenge_sec"] == (None if shared else 2.0)


def test_messages_name_the_options_of_the_command_line():
    """Whoever typed --crash-challenge-sec is not told of keywords."""
    said = "crash_challenge_sec does nothing without crash_takeover=True."
    assert as_options(said) == (
        "--crash-challenge-sec does nothing without --crash-takeover."
    )
