"""Electors in pods: a leader that leaves a note, and candidates that may prove its end."""

from __future__ import annotations

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.states import State
from tests.core.harness import Hand

UID = "0f0e0d0c-0b0a-4908-8706-050403020100"
DRAWS = 0.9999999
"""A draw that is nearly 1: whoever asks does so after 0.3 s."""


def note(nonce=1, pod="billing-7d9f", **changes):
    """Give the note of a process; ``nonce`` tells processes apart."""
    return m.PodNote(
        **{
            "namespace": "default",
            "pod": pod,
            "uid": UID,
            "container": "app",
            "nonce": f"{nonce:032x}",
            **changes,
        }
    )


class InPod(Hand):
    """One elector in a pod, with crash take-over."""

    def __init__(self, store=None, clock=None, own=None, **changes):
        super().__init__(store, clock, **{"crash_takeover": True, **changes})
        if own is not None:
            self.say(m.OwnNote(note=own))

    def lead_with_note(self):
        """Come to lead, hear the acquire in time, and renew with the note."""
        self.start()
        self.seen = len(self.store.history)
        if self.state is not State.ACQUIRING:
            self.wait((self.core.expires_in or 0.0) + 1.0)
        self.written()
        self.bring_all()
        self.written()
        self.bring_all()
        return self

    def renew(self, *, after=None):
        """Wait for the next renewal, let it be applied and heard."""
        self.wait(self.settings.renew_interval if after is None else after)
        self.written()
        self.bring_all()
        return self

    @property
    def sought(self):
        """The open order for a proof, or None."""
        found = self.all_open(m.SeekProof)
        return found[0] if found else None

    def proves(self, why="the container was killed"):
        """Say that the process has ended whose proof is sought."""
        return self.say(m.ProofSeen(request_id=self.sought.request_id, why=why))


def leader_and_candidate(**changes):
    """Give a leader in a pod that renewed under the watch of a candidate."""
    leader = InPod(own=note(), **changes).lead_with_note()
    candidate = InPod(
        leader.store, leader.clock, own=note(2, pod="other"), identity="b", **changes
    )
    candidate.start()
    candidate.seen = len(leader.store.history)
    renewed(leader, candidate)
    return leader, candidate


def renewed(leader, *candidates):
    """Let the leader renew, and the candidates hear of it."""
    leader.renew()
    for candidate in candidates:
        candidate.bring_all()


def challenged(**changes):
    """Give the same after the leader has died, was proved dead, and was challenged."""
    leader, candidate = leader_and_candidate(**changes)
    candidate.draws = [DRAWS]
    candidate.proves()
    candidate.wait(0.3)
    candidate.written()
    candidate.bring_all()
    return leader, candidate
