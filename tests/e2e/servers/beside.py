"""
The leader's work beside a server, started by a hook of each of them.

The work notes what it does in a file, where the test reads it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from stamp import VERSION

from kubernetes_leader_election import sync
from kubernetes_leader_election.credentials import kubeconfig


def note(*words: object) -> None:
    """Add a line: one write to a file that is appended to, so that each stays whole."""
    line = " ".join(map(str, words)) + "\n"
    with Path(os.environ["NOTES"]).open("ab", buffering=0) as notes:
        notes.write(line.encode())


def tidy_up(term: sync.Term) -> None:
    """Do what only one replica does, and clean up, which takes its time."""
    note("begins", os.getpid(), VERSION)
    term.lost.wait()
    time.sleep(0.3)  # clean-up: an exit that does not wait for it leaves no "ends"
    note("ends", os.getpid())


elector = sync.Elector(lease_name="beside", credentials=kubeconfig())
leading = elector.background(tidy_up)


def take_part() -> None:
    """Start, and say so."""
    leading.start()
    note("starts", os.getpid())
