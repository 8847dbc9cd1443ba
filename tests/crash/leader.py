"""
A program in a pod that is played: it leaves its note where a kubelet that runs nothing looks.

``python leader.py URL IDENTITY POD UID CONTAINER FILE``: prints ``leads TOKEN`` when it
does, ``lost REASON`` when it does no more, and ``note`` with how the note of each renewal
came out.
"""

from __future__ import annotations

import logging
import os
import sys

from kubernetes_leader_election.lifecycle import crash_note
from kubernetes_leader_election.pods import note_file
from kubernetes_leader_election.pods.termination import TerminationFile
from kubernetes_leader_election.sync import Elector


def in_a_pod(pod: str, uid: str, container: str, path: str) -> None:
    """Let this process find itself in that container of that pod."""
    os.environ["POD_NAME"] = pod
    file = TerminationFile(path=path, pod_uid=uid, container=container)
    # What a container would read of its mounts and its service account.
    note_file.termination_file = lambda: file
    crash_note.pod_namespace = lambda: "default"


def main(url: str, identity: str, *place: str) -> None:
    """Lead, and say so, until killed."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    in_a_pod(*place)
    elector = Elector(
        lease_name="billing",
        identity=identity,
        server=url,
        renew_interval_ms=500,
        lease_duration_sec=60,
        crash_takeover=True,
        # A note is left where the watch brings a write back in a third of this.
        crash_challenge_sec=3.0,
    )

    @elector.on("leadership_acquired")
    def lead(event) -> None:
        print("leads", event.token, flush=True)

    @elector.on("leadership_lost")
    def lose(event) -> None:
        print("lost", event.reason, flush=True)

    with elector:
        elector_ends = sys.stdin.read()
        print("ends", elector_ends, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
