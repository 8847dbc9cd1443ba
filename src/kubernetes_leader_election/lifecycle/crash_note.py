"""The note that an elector leaves for the case that its container crashes, and its words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.credentials.service_account import pod_namespace
from kubernetes_leader_election.pods.names import NoNote
from kubernetes_leader_election.pods.note_file import NoteLook, look_of_process
from kubernetes_leader_election.pods.own_note import OwnNote, leave_own_note
from kubernetes_leader_election.process import native
from kubernetes_leader_election.text import printable

Take: TypeAlias = Callable[[m.PodNote | None], None]
"""Told, on a thread of its own, where the note was left; None: nowhere."""


class Says(Protocol):
    """The part of a log that is used here."""

    def say(self, level: str, text: str, *args: object) -> None:
        """Write a line for people."""
        ...


class CrashNote:
    """
    Leave the note, and look after it. Any thread but for what says otherwise.

    Args:
        log: hears why there is no note, and why nothing proves the end of a leader.

    """

    def __init__(self, log: Says) -> None:
        self._log = log
        self._lock = native.Lock()
        self._take: Take | None = None
        """Who is told once the note is left, if it is being left. Under the lock."""
        self._own: OwnNote | None = None
        """The note of this process; None: it has none, or none any more."""
        self._look: NoteLook | None = None
        """Looks after it, for all electors of the process; None: there is none."""
        self._said: set[str] = set()
        """What was said already."""

    def leave(self, where: str, take: Take) -> None:
        """
        Leave the note of this process, if it has not, and give it to ``take``.

        Never blocks: a short thread writes, since the disk may hang that the file is on.
        Until then renewals carry no note, and the election goes on. While such a thread
        is under way no other is started, and the newest ``take`` is the one that is told.
        """
        with self._lock:
            leaving, self._take = self._take is not None, take
        if leaving:
            return
        try:
            native.start_thread(self._leave, where, name="leader-election-note")
        except (RuntimeError, MemoryError) as error:
            with self._lock:
                self._take = None
            self._say_none(where, f"no thread can be started ({error})")

    def _leave(self, where: str) -> None:
        note = self._left(where)
        with self._lock:
            take, self._take = self._take, None
        if take is not None:
            take(note)

    def _left(self, where: str) -> m.PodNote | None:
        """Return the note of this process, which the first call leaves; None: none."""
        found = leave_own_note(pod_namespace())
        if isinstance(found, NoNote):
            self._own = None
            self._say_none(where, found.why)
            return None
        self._look = look_of_process()
        self._own, note = found, found.note
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

    def on_no_proof(
        self, where: str, answer: m.ProofRefuted | m.ProofUnreadable
    ) -> None:
        """
        Say that the holder's pod proves nothing: once for each holder, as it is found out.

        And once that pods must not be read, with the rule to add; whatever else fails is
        tried again without a word.
        """
        if isinstance(answer, m.ProofRefuted):
            self._log.say(
                "info",
                "%s: nothing proves the end of the leader (crash_takeover): %s; where it "
                "crashes its lease duration is waited for",
                where,
                printable(answer.why, longest=400),
            )
            return
        error = answer.error
        if error is not None and error.status == 403:
            self._say(
                "no rights",
                "%s: the end of a leader that crashed cannot be proved (crash_takeover), "
                "so its lease duration is waited for: %s",
                where,
                error,
            )

    def _say_none(self, where: str, why: str) -> None:
        self._say(
            "no note",
            "%s: after a crash of this process others wait for the whole lease "
            "duration: no note can be left for them (crash_takeover): %s",
            where,
            why,
        )

    def _say(self, what: str, text: str, *args: object) -> None:
        if what not in self._said:
            self._said.add(what)
            self._log.say("info", text, *args)
