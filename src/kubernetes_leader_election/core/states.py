"""
The one table of state changes. Nothing else in the package changes a state.

Theory of operation
-------------------
An elector is in one of twelve states. Five of them follow the Lease without holding
it: LOOKING (nothing is known yet), WAITING (a rival holds it, its time runs on our
clock), CHALLENGING (its end is proved by its pod: it is asked once more), CONTENDING
(free, expired or unanswered: a short random delay before writing) and STANDING_BY
(asked not to contend). ACQUIRING has a write under way whose outcome
decides. LEADER believes. DRAINING still holds and renews the Lease while the work
ends, RELEASING gives it back after the work ended. FENCED lost the Lease while work
was still ending: nothing is written. WITHDRAWING was told to stop while its acquire
was under way: it finds out what landed, to release it. STOPPED is first and last.

Facts are what the core concluded from an input. A pair that the table does not name
is refused loudly: it is a defect of the core or of its driver.

``AFTERWARDS`` stands for wherever a term's end leads: STOPPED after a stop,
STANDING_BY while something forbids contending, else LOOKING.
"""

from __future__ import annotations

import enum
from typing import Final

from kubernetes_leader_election.errors import ProtocolMisuseError


class State(enum.Enum):
    """Where one elector is in the life of an election."""

    __hash__ = object.__hash__  # as good for singletons, and not written in Python

    STOPPED = "stopped"
    LOOKING = "looking"
    WAITING = "waiting"
    CHALLENGING = "challenging"
    CONTENDING = "contending"
    ACQUIRING = "acquiring"
    LEADER = "leader"
    DRAINING = "draining"
    RELEASING = "releasing"
    FENCED = "fenced"
    WITHDRAWING = "withdrawing"
    STANDING_BY = "standing by"


class Fact(enum.Enum):
    """What an input means for the state."""

    __hash__ = object.__hash__

    START_ASKED = "start asked"
    STOP_ASKED = "stop asked"
    STEP_DOWN_ASKED = "step down asked"
    END_ASKED = "end asked"
    WORK_ENDED = "work ended"
    ALIVE = "alive"
    NOT_ALIVE = "not alive"
    DRIVER_FAILED = "driver failed"
    HELD = "held by another"
    FREE = "free"
    EXPIRED = "expired"
    END_PROVED = "end proved"
    UNANSWERED = "challenge unanswered"
    MAY_CONTEND = "may contend"
    DELAY_OVER = "delay over"
    ACQUIRE_PROVED = "acquire proved"
    WITHDRAWN = "nothing landed"
    RENEWED = "renewed"
    LOST = "lost"
    DEADLINE_PASSED = "deadline passed"
    RELEASE_OVER = "release over"


# Members by names of their own: to read them from their class takes longer than
# most of what is done with them.
STOPPED: Final = State.STOPPED
LOOKING: Final = State.LOOKING
WAITING: Final = State.WAITING
CHALLENGING: Final = State.CHALLENGING
CONTENDING: Final = State.CONTENDING
ACQUIRING: Final = State.ACQUIRING
LEADER: Final = State.LEADER
DRAINING: Final = State.DRAINING
RELEASING: Final = State.RELEASING
FENCED: Final = State.FENCED
WITHDRAWING: Final = State.WITHDRAWING
STANDING_BY: Final = State.STANDING_BY
HELD: Final = Fact.HELD
FREE: Final = Fact.FREE
EXPIRED: Final = Fact.EXPIRED


class Special(enum.Enum):
    """A next state that depends on why a term ends."""

    AFTERWARDS = "afterwards"


S, F = State, Fact
AFTERWARDS: Final = Special.AFTERWARDS

_CHANGES: Final[dict[tuple[State, Fact], State | Special]] = {
    (S.STOPPED, F.START_ASKED): S.LOOKING,
    (S.LOOKING, F.STOP_ASKED): S.STOPPED,
    (S.LOOKING, F.STEP_DOWN_ASKED): S.STANDING_BY,
    (S.LOOKING, F.NOT_ALIVE): S.STANDING_BY,
    (S.LOOKING, F.HELD): S.WAITING,
    (S.LOOKING, F.FREE): S.CONTENDING,
    (S.LOOKING, F.EXPIRED): S.CONTENDING,
    (S.WAITING, F.STOP_ASKED): S.STOPPED,
    (S.WAITING, F.STEP_DOWN_ASKED): S.STANDING_BY,
    (S.WAITING, F.NOT_ALIVE): S.STANDING_BY,
    (S.WAITING, F.DRIVER_FAILED): S.LOOKING,
    (S.WAITING, F.FREE): S.CONTENDING,
    # G1: only after the record stood still for its own duration on our clock.
    (S.WAITING, F.EXPIRED): S.CONTENDING,
    (S.WAITING, F.END_PROVED): S.CHALLENGING,
    (S.CHALLENGING, F.STOP_ASKED): S.STOPPED,
    (S.CHALLENGING, F.STEP_DOWN_ASKED): S.STANDING_BY,
    (S.CHALLENGING, F.NOT_ALIVE): S.STANDING_BY,
    (S.CHALLENGING, F.DRIVER_FAILED): S.LOOKING,
    # G1: whatever becomes of the record voids the proof; a holder that lives renews.
    (S.CHALLENGING, F.HELD): S.WAITING,
    (S.CHALLENGING, F.FREE): S.CONTENDING,
    (S.CHALLENGING, F.EXPIRED): S.CONTENDING,
    (S.CHALLENGING, F.UNANSWERED): S.CONTENDING,
    (S.CONTENDING, F.STOP_ASKED): S.STOPPED,
    (S.CONTENDING, F.STEP_DOWN_ASKED): S.STANDING_BY,
    (S.CONTENDING, F.NOT_ALIVE): S.STANDING_BY,
    (S.CONTENDING, F.DRIVER_FAILED): S.LOOKING,
    (S.CONTENDING, F.HELD): S.WAITING,
    (S.CONTENDING, F.DELAY_OVER): S.ACQUIRING,
    # G5: a write under way is not forgotten; what landed is led or released.
    (S.ACQUIRING, F.STOP_ASKED): S.WITHDRAWING,
    (S.ACQUIRING, F.STEP_DOWN_ASKED): S.WITHDRAWING,
    (S.ACQUIRING, F.NOT_ALIVE): S.WITHDRAWING,
    (S.ACQUIRING, F.DRIVER_FAILED): S.LOOKING,
    (S.ACQUIRING, F.HELD): S.WAITING,
    (S.ACQUIRING, F.FREE): S.CONTENDING,
    (S.ACQUIRING, F.EXPIRED): S.CONTENDING,
    # G1: leadership comes from a write of this elector in this term, and only so.
    (S.ACQUIRING, F.ACQUIRE_PROVED): S.LEADER,
    (S.LEADER, F.STOP_ASKED): S.DRAINING,
    (S.LEADER, F.STEP_DOWN_ASKED): S.DRAINING,
    (S.LEADER, F.END_ASKED): S.DRAINING,
    (S.LEADER, F.DRIVER_FAILED): S.FENCED,
    # G1: the first proof of loss ends belief; there is no way back but a new term.
    (S.LEADER, F.LOST): S.FENCED,
    # G2: stop before others start.
    (S.LEADER, F.DEADLINE_PASSED): S.FENCED,
    # G5: release only follows the end of the work.
    (S.DRAINING, F.WORK_ENDED): S.RELEASING,
    (S.DRAINING, F.DRIVER_FAILED): S.FENCED,
    (S.DRAINING, F.LOST): S.FENCED,
    (S.DRAINING, F.DEADLINE_PASSED): S.FENCED,
    (S.RELEASING, F.DRIVER_FAILED): AFTERWARDS,
    (S.RELEASING, F.LOST): AFTERWARDS,
    (S.RELEASING, F.RELEASE_OVER): AFTERWARDS,
    # G4: a new term is sought only when nothing of the old one runs.
    (S.FENCED, F.WORK_ENDED): AFTERWARDS,
    (S.WITHDRAWING, F.DRIVER_FAILED): AFTERWARDS,
    (S.WITHDRAWING, F.ACQUIRE_PROVED): S.RELEASING,
    (S.WITHDRAWING, F.WITHDRAWN): AFTERWARDS,
    (S.STANDING_BY, F.STOP_ASKED): S.STOPPED,
    (S.STANDING_BY, F.MAY_CONTEND): S.LOOKING,
}

_STOPS: Final = frozenset({F.STOP_ASKED, F.STEP_DOWN_ASKED})
_LIFE: Final = frozenset({F.ALIVE, F.NOT_ALIVE})

_STAYS: Final[dict[State, frozenset[Fact]]] = {
    S.STOPPED: _LIFE | {F.STOP_ASKED, F.DRIVER_FAILED},
    S.LOOKING: frozenset({F.ALIVE, F.DRIVER_FAILED}),
    S.WAITING: frozenset({F.ALIVE}),
    S.CHALLENGING: frozenset({F.ALIVE}),
    S.CONTENDING: frozenset({F.ALIVE}),
    S.ACQUIRING: frozenset({F.ALIVE}),
    # A stuck application stops renewing; its term runs to the deadline.
    S.LEADER: _LIFE | {F.RENEWED},
    S.DRAINING: _LIFE | _STOPS | {F.END_ASKED, F.RENEWED},
    # The work may be said to have returned after it was said to be over.
    S.RELEASING: _LIFE | _STOPS | {F.END_ASKED},
    S.FENCED: _LIFE | _STOPS | {F.END_ASKED, F.DRIVER_FAILED},
    S.WITHDRAWING: _LIFE | _STOPS,
    S.STANDING_BY: _LIFE | {F.STEP_DOWN_ASKED, F.DRIVER_FAILED},
}
"""Facts that may be met in a state and leave it as it is."""

TABLE: Final[dict[tuple[State, Fact], State | Special]] = {
    **_CHANGES,
    **{(s, fact): s for s, facts in _STAYS.items() for fact in facts},
}

HOLDING: Final = frozenset({S.LEADER, S.DRAINING})
"""States in which the Lease is renewed."""

IN_TERM: Final = frozenset({S.LEADER, S.DRAINING, S.FENCED})
"""States in which work of a term may run."""


def next_state(state: State, fact: Fact, *, stopping: bool, may_contend: bool) -> State:
    """
    Look up the state that follows; refuse a pair the table does not name.

    Raises:
        ProtocolMisuseError: ``fact`` cannot be met in ``state``.

    """
    target = TABLE.get((state, fact))
    if target is None:
        raise ProtocolMisuseError(
            f"{fact.value!r} cannot be met in state {state.name}: the core was driven "
            "wrongly, or has a defect. Please report this."
        )
    if target is not AFTERWARDS:
        assert isinstance(target, State)
        return target
    if stopping:
        return S.STOPPED
    return S.LOOKING if may_contend else S.STANDING_BY
