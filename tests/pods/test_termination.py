"""Where the termination file is: what kernels say of mounts, in pods and elsewhere."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pods.conftest import UID

from kubernetes_leader_election.pods.names import NoNote, pod_name
from kubernetes_leader_election.pods.termination import (
    TerminationFile,
    parse_mountinfo,
    termination_file,
)

ROOT = f"/var/lib/kubelet/pods/{UID}"
COMMON = f"""\
820 741 0:91 / / rw,relatime master:271 - overlay overlay rw,lowerdir=/var/lib/x
821 820 0:94 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
822 820 0:95 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755
827 820 254:1 {ROOT}/etc-hosts /etc/hosts rw,relatime - ext4 /dev/vda1 rw
829 820 254:1 /var/lib/containerd/s/hostname /etc/hostname rw - ext4 /dev/vda1 rw
831 820 0:88 / /run/secrets/kubernetes.io/serviceaccount ro,relatime - tmpfs tmpfs rw
"""
LOG = f"828 822 254:1 {ROOT}/containers/billing/5a6b7c8d /dev/termination-log rw,relatime - ext4 /dev/vda1 rw\n"
DOCKER = """\
612 480 0:71 / / rw,relatime master:201 - overlay overlay rw,lowerdir=/var/lib/docker
613 612 0:74 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
614 612 0:75 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755
622 612 254:1 /var/lib/docker/containers/4f0a/resolv.conf /etc/resolv.conf rw - ext4 /dev/vda1 rw
624 612 254:1 /var/lib/docker/containers/4f0a/hosts /etc/hosts rw - ext4 /dev/vda1 rw
"""
PODMAN = """\
934 871 0:57 / / rw,relatime - overlay overlay rw,lowerdir=/home/u/.local/share
940 934 0:46 /containers/overlay-containers/9c1d/userdata/hosts /etc/hosts rw - tmpfs tmpfs rw
941 934 0:46 /containers/overlay-containers/9c1d/userdata/.containerenv /run/.containerenv rw - tmpfs tmpfs rw
"""


def test_file_is_found_in_a_pod():
    """File is found in a pod."""
    assert parse_mountinfo(COMMON + LOG) == TerminationFile(
        path="/dev/termination-log", pod_uid=UID, container="billing"
    )


def test_path_is_the_one_that_the_pod_names():
    """Path is the one that the pod names."""
    line = LOG.replace("/dev/termination-log", r"/tmp/my\040log")
    assert parse_mountinfo(COMMON + line).path == "/tmp/my log"


def test_kubelet_that_runs_in_a_container_itself_is_found():
    """Kubelet that runs in a container itself is found."""
    line = LOG.replace("/var/lib/kubelet", "/docker/volumes/9f/_data/lib/kubelet")
    assert parse_mountinfo(COMMON + line).container == "billing"


@pytest.mark.parametrize("text", [DOCKER, PODMAN, COMMON, "", "\n\n", "x y z"])
def test_other_containers_and_machines_have_none(text):
    """Other containers and machines have none."""
    found = parse_mountinfo(text)
    assert isinstance(found, NoNote)
    assert "no container that a kubelet started" in found.why


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("5a6b7c8d", "5a6b7c8d9"),
        ("5a6b7c8d", "5A6B7C8D"),
        ("5a6b7c8d", "5a6b7c8d/x"),
        ("5a6b7c8d", "5a6b7c8d//deleted"),
        ("billing/", "Billing/"),
        ("billing/", "../"),
        (UID, UID.replace("-", "")),
        (UID, "static"),
        (f"/pods/{UID}", f"/pods/{UID}/volumes/k~empty-dir/v/pods/{UID}"),
        ("/containers/", "/volumes/"),
        (" - ext4", " ext4"),
    ],
)
def test_mount_of_another_form_is_none(old, new):
    """Mount of another form is none."""
    assert old in LOG
    assert isinstance(parse_mountinfo(COMMON + LOG.replace(old, new)), NoNote)


def test_two_such_mounts_are_none():
    """Two such mounts are none."""
    other = LOG.replace("/dev/termination-log", "/tmp/log")
    assert "more than one" in parse_mountinfo(COMMON + LOG + other).why


def test_what_is_mounted_over_it_makes_it_none():
    """What is mounted over it makes it none."""
    over = "840 828 0:99 / /dev/termination-log rw - tmpfs tmpfs rw\n"
    assert "mounted over" in parse_mountinfo(COMMON + LOG + over).why


@given(st.text() | st.text(alphabet="/ -\\0123pods\n"))
def test_any_text_is_read(text):
    """Any text is read."""
    assert isinstance(parse_mountinfo(text), NoNote)


@pytest.fixture
def proc(tmp_path):
    """Make a procfs of links and one file, as a process in a pod sees it."""
    own = str(os.getpid())
    for number in (own, "1"):
        (tmp_path / number / "ns").mkdir(parents=True)
        (tmp_path / number / "ns/mnt").symlink_to("mnt:[4026532200]")
    (tmp_path / "self").symlink_to(own)
    (tmp_path / own / "mountinfo").write_text(COMMON + LOG)
    return tmp_path


def test_container_of_its_own_processes_may_leave_a_note(proc):
    """Container of its own processes may leave a note."""
    assert termination_file(str(proc)).container == "billing"


def test_host_pid_and_shared_processes_leave_no_note(proc):
    """Host pid and shared processes leave no note."""
    (proc / "1/ns/mnt").unlink()
    (proc / "1/ns/mnt").symlink_to("mnt:[4026531841]")
    assert "hostPID or shareProcessNamespace" in termination_file(str(proc)).why


def test_process_1_that_cannot_be_looked_at_leaves_no_note(proc):
    """Process 1 that cannot be looked at leaves no note."""
    (proc / "1/ns/mnt").unlink()
    assert "cannot be shown" in termination_file(str(proc)).why


def test_proc_of_another_namespace_leaves_no_note(proc):
    """Proc of another namespace leaves no note."""
    own = (proc / "self").readlink()
    (proc / "self").unlink()
    (proc / own).rename(proc / "999999999")
    (proc / "self").symlink_to("999999999")
    assert "another PID namespace" in termination_file(str(proc)).why


def test_no_proc_leaves_no_note(tmp_path):
    """No proc leaves no note."""
    assert "cannot be read" in termination_file(str(tmp_path)).why


def test_other_platforms_leave_no_note(proc):
    """Other platforms leave no note."""
    assert "darwin" in termination_file(str(proc), platform="darwin").why


def test_this_machine_leaves_no_note_or_is_a_pod():
    """The real procfs is read without a hitch, in a pod or not."""
    assert isinstance(termination_file(), NoNote | TerminationFile)


def test_name_of_the_pod():
    """Name of the pod."""
    assert pod_name({"POD_NAME": "billing-7d9f"}, "other") == "billing-7d9f"
    assert pod_name({}, "billing-7d9f") == "billing-7d9f"
    assert pod_name({"POD_NAME": ""}, "web.v1-0") == "web.v1-0"
    assert "POD_NAME is 'A/b'" in pod_name({"POD_NAME": "A/b"}, "x").why
    assert "the name of the host is 'My Mac'" in pod_name({}, "My Mac").why
