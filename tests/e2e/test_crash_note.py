"""The note as the kernel sees it: mounts and PID namespaces like those of a pod. Needs root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from controlplane.processes import wait_until

from kubernetes_leader_election.sync import Elector
from kubernetes_leader_election.testing import Kubelet, LeaseServer

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("unshare") is None,
        reason="needs root, for namespaces of its own",
    ),
]

LOOK = """
import json, os
from kubernetes_leader_election.pods.note_file import note_of_process
found = note_of_process()
print(json.dumps({"pid": os.getpid(), "kind": type(found).__name__,
    "why": getattr(found, "why", ""), "nonce": getattr(found, "nonce", ""),
    "place": [found.file.pod_uid, found.file.container, found.file.path]
    if hasattr(found, "file") else []}))
"""
LEAD = """
import sys, time
from kubernetes_leader_election.sync import Elector
elector = Elector(lease_name="billing", identity="a", server=sys.argv[1],
    renew_interval_ms=500, lease_duration_sec=12, crash_takeover=True)
elector.on("leadership_acquired", lambda event: print("leads", flush=True))
elector.start()
time.sleep(600)  # leads on until it is killed
"""


ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
IN_DEFAULT = (
    f" && mount -t tmpfs tmpfs /var/run && mkdir -p {ACCOUNT}"
    f" && printf default > {ACCOUNT}/namespace"
)
"""What a service account says of the pod's namespace."""


def in_container(file, *command, own_pids=True, more=""):
    """Return a command in mounts of its own, with that termination file."""
    where = file.parents[4] / "log"
    where.touch()
    script = f'mount --bind {file} {where}{more} && exec "$@"'
    pids = ["--pid", "--fork", "--kill-child", "--mount-proc"] if own_pids else []
    return ["unshare", "--mount", *pids, "sh", "-ec", script, "sh", *command]


def look(file, **options):
    """Leave a note in such a container; return what came of it."""
    command = in_container(file, sys.executable, "-c", LOOK, **options)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def file(tmp_path):
    """Make a termination file below a folder like the kubelet's."""
    uid = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
    folder = tmp_path / f"pods/{uid}/containers/billing"
    folder.mkdir(parents=True)
    made = folder / "5a6b7c8d"
    made.touch()
    return made


def test_container_with_pids_of_its_own_leaves_a_note(file):
    """Its mount is found by what the kernel says of it, and the nonce is in the file."""
    found = look(file)
    assert found["kind"] == "NoteFile", found
    assert found["pid"] == 1
    assert found["place"][:2] == ["0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9", "billing"]
    assert file.read_text() == f"{found['nonce']}\n"


def test_process_with_the_pids_of_its_node_leaves_none(file):
    """As with hostPID: process 1 lives in other mounts."""
    found = look(file, own_pids=False)
    assert found["kind"] == "NoNote"
    assert "hostPID or shareProcessNamespace" in found["why"]
    assert file.read_text() == ""


def test_what_is_mounted_over_the_file_leaves_none(file):
    """The kubelet reads the file below."""
    over = f" && mount -t tmpfs tmpfs {file.parents[4]}"
    found = look(file, more=over)
    assert found["kind"] == "NoNote", found
    assert file.read_text() == ""


def run_times():
    """Return the times of the leaders here, as `kle run` takes them."""
    return ["--renew-interval-ms=500", "--lease-duration-sec=12"]


@pytest.mark.parametrize("program", ["library", "run"])
def test_leader_that_is_process_1_is_followed_within_seconds(program):
    """The whole way: its own note, SIGKILL, the kubelet's word, the next leader."""
    with LeaseServer() as server, Kubelet(server) as kubelet:
        pod = kubelet.start("billing-0", container="billing")
        command = [sys.executable, "-c", LEAD, server.url]
        if program == "run":
            kle = [sys.executable, "-m", "kubernetes_leader_election", "run", "billing"]
            named = [f"--server={server.url}", "--namespace=default", "--identity=a"]
            command = [*kle, *named, *run_times(), "--crash-takeover", "--"]
            command += ["sh", "-c", "echo leads; exec sleep 600"]
        leader = subprocess.Popen(
            in_container(pod.termination_file, *command, more=IN_DEFAULT),
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "POD_NAME": "billing-0"},
        )
        try:
            assert leader.stdout.readline() == "leads\n"
            assert follows(server, pod, leader)
        finally:
            leader.kill()
            leader.wait()
            leader.stdout.close()


def follows(server, pod, leader):
    """Kill the leader's container; return whether another one leads within seconds."""
    candidate = Elector(
        lease_name="billing",
        identity="b",
        server=server.url,
        renew_interval_ms=500,
        lease_duration_sec=12,
        crash_takeover=True,
    )
    with candidate:
        wait_until(
            lambda: [
                one
                for one in server.requests.matching(verb="watch")
                if one.path.endswith("/pods")
            ],
            within=15,
            what="the pod is watched",
        )
        leader.kill()  # and with it process 1 of its namespace
        leader.wait()
        assert pod.termination_file.read_text()
        pod.kill()
        return candidate.wait_until_leading(7)


def test_run_leaves_no_note_where_other_containers_see_its_term_file(file):
    """It says so, and runs its command all the same."""
    more = " && mount -t tmpfs tmpfs /mnt && export TMPDIR=/mnt"
    kle = [sys.executable, "-m", "kubernetes_leader_election", "run", "billing"]
    with LeaseServer() as server:
        options = [f"--server={server.url}", "--namespace=default", "--crash-takeover"]
        done = subprocess.run(
            in_container(file, *kle, *options, "--", "true", more=more),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert server.requests.matching(verb="update", name="billing")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stderr.split())
    assert "goes on without --crash-takeover" in said
    assert "The term file is on /mnt" in said
    assert file.read_text() == ""
