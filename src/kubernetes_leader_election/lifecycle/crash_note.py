"""The note that an elector leaves for the case that its container crashes, and its words."""

from __future__ import annotations

from typing import Protocol

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.credentials.service_account import pod_namespace
from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.pods.names import NoNote
from kubernetes_leader_election.pods.note_file import NoteLook, look_of_process
from kubernetes_leader_election.pods.own_note import OwnNote, leave_own_note


class Says(Protocol):
    """The part of a log that is used here."""

    def say(self, level: str, text: str, *args: object) -> None:
        """Write a line for people."""
        ...


class CrashNote:
    """
    Leave the note, and look after it. Any thread but for what says otherwise.

    Args:
        log: hears, once each, why there is no note, and why no proof can be read.

    """

    def __init__(self, log: Says) -> None:
        self._log = log
        self._own: OwnNote | None = None
        """The note of this process; None: it has none, or none any more."""
        self._look: NoteLook | None = None
        """Looks after it, for all electors of the process; None: there is none."""
        self._said: set[str] = set()
        """What was said already."""

    def leave(self, where: str) -> m.PodNote | None:
        """Return the note of this process, which the first call leaves; None: none."""
        found = leave_own_note(pod_namespace())
        if isinstance(found, NoNote):
            self._own = None
            self._say(
                "no note",
                "%s: after a crash of this process others wait for the whole lease "
                "duration: no note can be left for them (crash_takeover): %s",
                where,
                found.why,
            )
            return None
        self._own, note = found, found.note
        self._look = look_of_process()
        return m.PodNote(
            namespace=note.namespace,
            pod=note.pod,
            uid=note.uid,
            container=note.container,
            nonce=note.nonce,
        )

    def is_good(self, where: str) -> bool:
        """
        Return whether a kubelet would still find the note, as far as is known.

        The engine's thread; never blocks, though the disk may hang that the note is on.
        """
        own = self._own
        if own is not None and self._look is not None and self._look.is_good():
            return True
        if own is not None:
            self._own = None
            self._say(
                "gone",
                "%s: %s no longer has the note of this process (crash_takeover): "
                "something else has written to it. Renewals go on; after a crash others "
                "wait for the whole lease duration",
                where,
                own.file.file.path,
            )
        return False

    def on_no_proof(self, where: str, error: LeaseApiError) -> None:
        """Say once that pods must not be read, with the rule to add."""
        if error.status == 403:
            self._say(
                "no rights",
                "%s: the end of a leader that crashed cannot be proved (crash_takeover), "
                "so its lease duration is waited for: %s",
                where,
                error,
            )

    def _say(self, what: str, text: str, *args: object) -> None:
        if what not in self._said:
            self._said.add(what)
            self._log.say("info", text, *args)
