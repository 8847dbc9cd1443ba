"""
The way of one signal, as a table: what may happen in which state, and what is done.

The states are those of the theory of operation in :mod:`.signals`, which begins and ends
the way of a signal by this table; :mod:`.signal_thread` moves it on. The documentation
draws it.
"""

from __future__ import annotations

import enum
from typing import Final


class State(enum.Enum):
    """How far a signal is on its way; one at a time in a process."""

    AT_REST = "at rest"
    CAUGHT = "caught"
    STOPPING = "stopping"
    OVERDUE = "overdue"
    SENT = "sent once more"
    EXITING = "exiting"


class Fact(enum.Enum):
    """What has happened."""

    SIGNAL = "signal"
    SIGNAL_FOR_NOBODY = "signal while no elector runs"
    SIGNAL_WITH_EARLIER_HANDLER = "signal with a Python handler from before"
    ASKED = "electors were asked"
    STOPPED = "electors have stopped"
    MAIN_THREAD_ALONE = "only the main thread may work"
    MAIN_THREAD_LATE = "grace over, or Lease lost, in the main thread"
    OTHERS_LATE = "grace over, or Lease lost, elsewhere"
    EXIT = "the interpreter exits"


class Action(enum.Enum):
    """What is done about it."""

    NONE = ""
    ASK = "ask the electors to stop"
    HAND_ON = "ask the electors to stop and call that handler"
    END_MAIN_THREAD = "end the main thread"
    SEND = "send it once more"
    END_PROCESS = "end the process"


S, F, A = State, Fact, Action

CHANGES: Final[dict[tuple[State, Fact], tuple[State, Action]]] = {
    (S.AT_REST, F.SIGNAL): (S.CAUGHT, A.ASK),
    (S.AT_REST, F.SIGNAL_FOR_NOBODY): (S.AT_REST, A.END_MAIN_THREAD),
    # Before this, the end of one elector could be taken for the end of all.
    (S.CAUGHT, F.ASKED): (S.STOPPING, A.NONE),
    (S.STOPPING, F.STOPPED): (S.SENT, A.SEND),
    (S.STOPPING, F.MAIN_THREAD_ALONE): (S.SENT, A.SEND),
    # Work there that does not look at `term.lost` is ended by the exception alone.
    (S.STOPPING, F.MAIN_THREAD_LATE): (S.SENT, A.SEND),
    (S.STOPPING, F.OTHERS_LATE): (S.OVERDUE, A.NONE),
    (S.OVERDUE, F.ASKED): (S.STOPPING, A.NONE),
    (S.OVERDUE, F.STOPPED): (S.SENT, A.SEND),
    (S.EXITING, F.SIGNAL): (S.EXITING, A.END_PROCESS),
    (S.EXITING, F.SIGNAL_FOR_NOBODY): (S.EXITING, A.END_PROCESS),
    # The one that was sent once more, or another: neither waits.
    **{
        (state, fact): (S.AT_REST, A.END_MAIN_THREAD)
        for state in (S.CAUGHT, S.STOPPING, S.OVERDUE, S.SENT)
        for fact in (F.SIGNAL, F.SIGNAL_FOR_NOBODY)
    },
}

_STAYS: Final[dict[tuple[State, Fact], tuple[State, Action]]] = {
    # By a signal with a handler from before, which comes beside this one.
    (S.STOPPING, F.ASKED): (S.STOPPING, A.NONE),
    # Not once more again: that would come to what was there before our handler.
    (S.SENT, F.ASKED): (S.SENT, A.NONE),
}

TABLE: Final[dict[tuple[State, Fact], tuple[State, Action]]] = {
    **CHANGES,
    **_STAYS,
    # What the program installed itself is never kept from it.
    **{(state, F.SIGNAL_WITH_EARLIER_HANDLER): (state, A.HAND_ON) for state in S},
    **{(state, F.EXIT): (S.EXITING, A.NONE) for state in S},
}
"""What follows, and what is done; a pair that is not here cannot be met."""
