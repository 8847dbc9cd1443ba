"""
What the application wants of one election, as one value that only grows.

The driver compares it with what the core has been told, at each step, and tells the
difference. So nothing has to be remembered word by word, a word that failed on its way
is told at the next step, and a core that takes the place of another is told how things
are, not what happened.

A plain level forgets what begins and ends between two looks; so lives, step-downs and
terms are counted, as ``observedGeneration`` counts changes of an object.
"""

from __future__ import annotations

from typing import assert_never

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.values import Value, replace


class Start(m.StartAsked):
    """A call for a start, with the number of the life that it is to begin."""

    life: int


class Desired(Value):
    """What is wanted; also, as far as it went, what a core has been told of it."""

    life: int = 0
    """The newest life that a start was called for; each has a greater number."""
    running: bool = False
    """Whether the newest life is to go on: no stop was called for since its start."""
    step_downs: int = 0
    """How often a step-down was called for, in all lives."""
    former_step_downs: int = 0
    """How many of these belong to lives before the newest one, and mean nothing to it."""
    stay_out: float | None = None
    """Seconds to stay out after the newest step-down; None for one lease duration."""
    given_up: int = 0
    """The newest term whose work ended or failed, so that it is to end."""
    failure: m.WorkFailure | None = None
    """How the work of that term failed; None: it did not."""
    end_detail: str = ""
    """How it ended otherwise, for people; empty: nothing was said of it."""
    ended: int = 0
    """The newest term of whose work nothing runs any more."""
    seen_lost: int = 0
    """The newest term that a question saw to be over, by a clock (rule 14)."""
    alive: bool = True
    """Whether the application shows signs of life."""
    own_note: m.PodNote | None = None
    """Where the proof of this process's end would be found; None: nowhere."""

    def after(self, word: m.Command) -> Desired:
        """Return what is wanted after one more word; nothing in here can fail."""
        match word:
            case m.StartAsked():
                return replace(
                    self,
                    life=word.life if isinstance(word, Start) else self.life + 1,
                    running=True,
                    former_step_downs=self.step_downs,
                )
            case m.StopAsked():
                return replace(self, running=False)
            case m.StepDownAsked(stay_out=stay_out):
                return replace(self, step_downs=self.step_downs + 1, stay_out=stay_out)
            case m.EndAsked(term=term) if term > self.given_up:
                return replace(
                    self, given_up=term, failure=word.failure, end_detail=word.detail
                )
            case m.EndAsked():
                return self  # said already, perhaps with how it failed
            case m.WorkEnded(term=term):
                return replace(self, ended=max(self.ended, term))
            case m.LossSeen(term=term):
                return replace(self, seen_lost=max(self.seen_lost, term))
            case m.LivenessReported(alive=alive):
                return replace(self, alive=alive)
            case m.OwnNote(note=note):
                return replace(self, own_note=note)
            case m.DriverFailed():
                return self  # nothing that the application wants
            case _:  # pragma: no cover
                assert_never(word)

    def first_difference(
        self, told: Desired, *, stopped: bool
    ) -> tuple[m.Command | None, Desired] | None:
        """
        Return the next word for a core, and what it has been told with that.

        The word is None where there is nothing to say any more; the whole is None when
        nothing is different, or nothing can be said yet.

        Args:
            told: what the core has been told.
            stopped: whether it is in STOPPED.

        """
        if told.seen_lost < self.seen_lost:
            word: m.Command = m.LossSeen(term=self.seen_lost)
            return word, replace(told, seen_lost=self.seen_lost)
        if told.given_up < self.given_up:
            word = m.EndAsked(
                term=self.given_up, failure=self.failure, detail=self.end_detail
            )
            return word, told.after(word)
        if told.alive is not self.alive:
            word = m.LivenessReported(alive=self.alive)
            return word, replace(told, alive=self.alive)
        if told.own_note != self.own_note:
            word = m.OwnNote(note=self.own_note)
            return word, replace(told, own_note=self.own_note)
        if told.running and (told.life < self.life or not self.running):
            return m.StopAsked(), replace(told, running=False)
        if told.life < self.life and (stopped or not self.running):
            began = replace(
                told,
                life=self.life,
                running=self.running,
                step_downs=max(told.step_downs, self.former_step_downs),
            )
            # A life that was over before it could begin is none.
            return m.StartAsked() if self.running else None, began
        if told.life == self.life and told.step_downs < self.step_downs:
            stepped_down = replace(told, step_downs=self.step_downs)
            # A stop was faster: there is nothing left to step down from.
            word_down = None if stopped else m.StepDownAsked(stay_out=self.stay_out)
            return word_down, stepped_down
        if told.ended < self.ended:
            return m.WorkEnded(term=self.ended), replace(told, ended=self.ended)
        return None

    def without(self, told: Desired, refused: Desired) -> Desired:
        """Return this without what makes ``refused`` differ from ``told``."""
        return replace(
            self,
            **{
                name: getattr(told, name)
                for name in self._fields
                if getattr(told, name) != getattr(refused, name)
            },
        )

    def told_to_new_core(self) -> Desired:
        """
        Return what a core knows that has just been made.

        Whatever is about the terms and step-downs of the one before concerns it no more.
        """
        before = self.life - 1 if self.running else self.life
        return replace(self, life=before, running=False, alive=True, own_note=None)
