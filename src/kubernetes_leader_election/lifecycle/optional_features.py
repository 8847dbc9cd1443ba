"""
What an elector has only where the program asks for it.

The hard fence, the note for the case of a crash, and what others are told through the
API: most programs have none of them, and do not pay for their import.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.credentials.base import Credentials
from kubernetes_leader_election.lifecycle.event_log import EventLog
from kubernetes_leader_election.lifecycle.status import Status

if TYPE_CHECKING:
    from kubernetes_leader_election.engine.driver import Driver
    from kubernetes_leader_election.lifecycle.announcer import Announcer
    from kubernetes_leader_election.lifecycle.crash_note import CrashNote
    from kubernetes_leader_election.lifecycle.hard_fence import HardFence


class OptionalFeatures:
    """
    Have what was asked for, and nothing else.

    Args:
        elector: whose.
        event_log: hears how it goes.

    """

    def __init__(self, elector: Status[Any], event_log: EventLog) -> None:
        self._elector = elector
        self._event_log = event_log
        self.fence: HardFence | None = None
        """Ends the process where work does not end; None: nothing does. By a start."""
        self._crash_note: CrashNote | None = None
        """Leaves the note for the case of a crash; None: none is left. By a start."""
        self._announcer: Announcer | None = None
        """Tells others of the terms; None: nobody is told. By a start."""

    # The hard fence -----------------------------------------------------------

    def begin_fence(self) -> None:
        """Refuse to begin where the hard fence is asked for and cannot be had."""
        if not self._elector.settings.hard_fence:
            return
        from kubernetes_leader_election.lifecycle.hard_fence import (  # noqa: PLC0415 - most programs have none
            HardFence,
        )

        self.fence = HardFence(self._elector, self._event_log)
        self.fence.begin()

    def end_fence(self) -> None:
        """Note that no work goes on."""
        if self.fence is not None:
            self.fence.end()

    # The note for the case of a crash -----------------------------------------

    def leave_note(self, driver: Driver) -> None:
        """Leave the note for the case of a crash; the first renewals may be without it."""
        elector, settings = self._elector, self._elector.settings
        if not settings.crash_takeover or settings.observe or elector.assumed:
            return
        from kubernetes_leader_election.lifecycle.crash_note import (  # noqa: PLC0415 - most programs leave none
            CrashNote,
        )

        self._crash_note = self._crash_note or CrashNote(self._event_log)
        self._crash_note.leave(
            elector.where, lambda note: driver.post(m.OwnNote(note=note))
        )

    def note_is_good(self) -> bool:
        """Return whether the own note is still where it was left."""
        note = self._crash_note
        return note is not None and note.is_good(self._elector.where)

    def on_no_proof(self, answer: m.ProofRefuted | m.ProofUnreadable) -> None:
        """Take it that the holder's pod proves nothing, or cannot be read."""
        if self._crash_note is not None:
            self._crash_note.on_no_proof(self._elector.where, answer)

    # What others are told -----------------------------------------------------

    def begin_to_announce(self, credentials: Credentials | None) -> None:
        """Have others told of the terms of this life, if that was asked for."""
        settings = self._elector.settings
        asked = settings.leader_endpoints is not None or settings.kubernetes_events
        if not asked or settings.observe or credentials is None:
            return
        from kubernetes_leader_election.lifecycle.announcer import (  # noqa: PLC0415 - most programs have none
            Announcer,
        )

        self._announcer = self._announcer or Announcer(self._elector, self._event_log)
        self._announcer.begin(credentials)

    def announce_overdue(self, text: str) -> None:
        """Tell others that work goes on though its term is over."""
        self.announce(lambda announcer: announcer.overdue(text))

    def announce(self, tell: Callable[[Announcer], None]) -> None:
        """Tell others, if that was asked for; whatever comes of it, the election goes on."""
        announcer = self._announcer
        if announcer is None or self._elector.forked:
            return
        try:
            tell(announcer)
        except Exception as error:  # noqa: BLE001 - fault 07: logged, and nothing depends on it
            self._event_log.trouble("others could not be told", error=error)

    def end_announcing(self) -> None:
        """Tell others nothing more."""
        if self._announcer is not None and not self._elector.forked:
            self._announcer.end()

    def finish_announcing(self, timeout: float) -> None:
        """Wait, ``timeout`` seconds at most, until others are told of the end."""
        if self._announcer is not None and not self._elector.forked:
            self._announcer.wait(timeout)
