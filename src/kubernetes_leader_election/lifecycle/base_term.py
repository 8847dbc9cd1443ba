"""
One term, as an application holds it: until when, with which token, why it ended.

Any thread may ask, at any time.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

from kubernetes_leader_election.errors import (
    ConfigurationError,
    LeadershipLostError,
    NoFencingTokenError,
    NotLeaderError,
)
from kubernetes_leader_election.events import REASONS, LossReason
from kubernetes_leader_election.lifecycle.held_work import TermHold, WorkOwner
from kubernetes_leader_election.text import shown_seconds


class TermClock(WorkOwner, Protocol):
    """What a term asks: the election it belongs to."""

    assumed: bool
    """Whether there is no cluster, so that nobody else was asked."""

    @property
    def where(self) -> str:
        """The Lease in words, for messages."""
        ...

    def term_remaining(self, number: int) -> float:
        """Return the seconds provably left of the numbered term; 0.0 when it is over."""
        ...

    def term_reason(self, number: int) -> LossReason | None:
        """Tell why the numbered term ended, if that is known."""
        ...


def is_enough(left: float, seconds: float) -> bool:
    """
    Return whether ``left`` seconds of a Lease are enough for what takes ``seconds``.

    Nothing is enough once none are left: no work is so short that it may run then.

    Raises:
        ConfigurationError: ``seconds`` is not a number.

    """
    asked: Any = seconds
    if (
        isinstance(asked, bool)
        or not isinstance(asked, int | float)
        or (isinstance(asked, float) and math.isnan(asked))
    ):
        raise ConfigurationError(
            f"ensure({asked!r}): that is not a length of time. Pass the seconds that "
            "the work takes, as a number.",
            option="seconds",
        )
    return left > 0.0 and left >= seconds


def token_if_any(term: BaseTerm) -> int | None:
    """Return the fencing token of a term; None where it has none, for whatever reason."""
    return term._token  # noqa: SLF001 - one room


class BaseTerm:
    """
    One uninterrupted leadership of one elector. It never comes back to life (G4).

    .. code-block:: python

        async with elector.leadership() as term:
            term.ensure(2.0)
            await write(row, fencing_token=term.fencing_token)
    """

    __slots__ = ("_clock", "_reason", "_token", "number")

    def __init__(
        self, clock: TermClock, *, number: int, fencing_token: int | None
    ) -> None:
        self._clock = clock
        self._reason: LossReason | None = None
        """Why the engine ended it; None: it has not. Set once, by :meth:`end`."""
        self.number = number
        """Counts the terms of this elector from 1."""
        self._token = fencing_token

    def __repr__(self) -> str:
        end = f", lost: {self.reason}" if self.is_lost else ""
        return f"<Term {self.number} token={self._token}{end}>"

    @property
    def fencing_token(self) -> int | None:
        """
        The token of this term, for the resource that it writes to.

        Greater than that of every earlier term of the Lease (G3): let the resource
        refuse smaller ones. None when leadership is assumed.

        Raises:
            NoFencingTokenError: the resourceVersions of the server are not numbers.

        """
        if self._token is None and not self.assumed:
            raise NoFencingTokenError.of(self._clock.where, self)
        return self._token

    @property
    def assumed(self) -> bool:
        """Whether there is no cluster, so that nobody else was asked."""
        return self._clock.assumed

    @property
    def reason(self) -> LossReason | None:
        """Why the term ended; None while it lasts."""
        if self._reason is None and self.is_lost:
            # Either the engine is about to say it, or it has not seen the deadline yet.
            return self._clock.term_reason(self.number) or "renew_deadline"
        return self._reason

    @property
    def is_lost(self) -> bool:
        """Whether the term has ended, by the clock at this very instant."""
        return self._reason is not None or self.remaining() <= 0.0

    def remaining(self) -> float:
        """
        Return the seconds for which the Lease is provably held (rule 15).

        They grow with each renewal, also while the work drains; 0.0 when the term is
        over, infinite when it is assumed.
        """
        return self._clock.term_remaining(self.number)

    def ensure(self, seconds: float) -> None:
        """
        Go on only if at least ``seconds`` of the term are provably left.

        Before an effect that takes that long. What is sent by then may still arrive
        later: only a resource that checks the fencing token can refuse it.

        Raises:
            NotLeaderError: less time is left, or the term has ended: then for
                ``ensure(0)``, too.
            ConfigurationError: ``seconds`` is not a number.

        """
        left = self.remaining()
        if not is_enough(left, seconds):
            raise NotLeaderError(
                f"{self._clock.where}: {left:.3f} s of term {self.number} are "
                f"left, {shown_seconds(seconds)} are needed.",
                term=self,
                remaining=left,
            )

    def check(self) -> None:
        """
        Go on only if the term has not ended.

        Raises:
            LeadershipLostError: it has; the work must stop now.

        """
        if self.is_lost:
            raise self.loss()

    def hold(self, what: str) -> TermHold:
        """
        Keep the Lease from being released while the body of this ``with`` runs.

        .. code-block:: python

            def job():                        # in a pool, a thread, a callback
                with term.hold("upload"):
                    upload(path)

        For work that no scope waits for. Usable in any thread, with both electors. The
        term ends as it would without; only its release waits, and the Lease is renewed
        meanwhile. Nothing tells the body to end but ``term.lost``.

        Args:
            what: What is held, in a word or two, for messages.

        Raises:
            LeadershipLostError: on entering, if the term is over or about to be: then
                the body does not run.
            ProtocolMisuseError: on entering, in a child process, or entered already.
            ConfigurationError: ``what`` says nothing.

        """
        return TermHold(self._clock, self.number, what)

    def loss(self) -> LeadershipLostError:
        """Return the error that says why the term ended, to be raised."""
        why = None if self.reason is None else REASONS[self.reason]
        return LeadershipLostError(
            f"{self._clock.where}: term {self.number} ended: {why}",
            reason=self.reason,
            term=self,
        )

    def end(self, reason: LossReason) -> None:
        """Latch the loss. The engine's thread only."""
        self._reason = reason
