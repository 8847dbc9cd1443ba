"""What the application wants: told once, in an order that can be told, and never lost."""

from __future__ import annotations

import random

import pytest

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.engine.desired import Desired


class Core:
    """What the driver sees of a core: a state, and words that it refuses."""

    def __init__(self):
        self.stopped, self.stopping, self.heard = True, False, []
        self.told = Desired()

    def hear(self, word):
        """Take a word; what a core refuses is a defect of the test's subject."""
        if isinstance(word, m.StartAsked):
            assert self.stopped, "started twice"
            self.stopped = self.stopping = False
        elif isinstance(word, m.StopAsked):
            self.stopping = not self.stopped
        elif isinstance(word, m.StepDownAsked):
            assert not self.stopped, "stepped down while stopped"
        self.heard.append(word)

    def end_stop(self):
        """Come to the end of a stop, if there is one."""
        self.stopped, self.stopping = self.stopped or self.stopping, False

    def look(self, desired, *, fails=lambda: False):
        """Be told all that can be told; give what was said. A word may fail on its way."""
        before = len(self.heard)
        while True:
            difference = desired.first_difference(self.told, stopped=self.stopped)
            if difference is None:
                return self.heard[before:]
            word, told = difference
            if fails():
                return self.heard[before:]
            if word is not None:
                self.hear(word)
            self.told = told


def after(*words, desired=None):
    """Give what is wanted after some words."""
    desired = desired or Desired()
    for word in words:
        desired = desired.after(word)
    return desired


def started():
    """Give a core that was started, and what was wanted."""
    core, desired = Core(), after(m.StartAsked())
    assert core.look(desired) == [m.StartAsked()]
    return core, desired


START, STOP = m.StartAsked(), m.StopAsked()


def test_nothing_is_told_twice():
    """What was told is no difference any more."""
    core, desired = started()
    assert core.look(desired) == []
    desired = after(
        m.EndAsked(term=1), m.LivenessReported(alive=False), desired=desired
    )
    assert len(core.look(desired)) == 2
    assert core.look(desired) == []


def test_work_that_failed_is_told_so_whatever_is_said_of_its_term_later():
    """The scope that it ran in says, after it, that the term ends."""
    core, desired = started()
    failed = m.EndAsked(term=1, failure=m.WorkFailure(stay_out=4.0, detail="planted"))
    for more in ((), (m.EndAsked(term=1),)):
        assert Core().look(after(START, failed, *more)) == [failed, START]
    assert core.look(after(failed, desired=desired)) == [failed]
    assert core.look(after(failed, m.EndAsked(term=1), desired=desired)) == []
    ended = m.EndAsked(term=2, detail="the command exited with 0")
    assert core.look(after(failed, ended, desired=desired)) == [ended]


def test_stop_and_start_between_two_looks_are_both_told():
    """G8: one who runs is stopped, and started when that is over."""
    core, desired = started()
    desired = after(STOP, START, desired=desired)
    assert core.look(desired) == [STOP]
    assert core.look(desired) == []
    core.end_stop()
    assert core.look(desired) == [START]


def test_life_that_is_over_before_it_began_is_none():
    """G8: nobody would end what a start began that is heard after its stop."""
    core = Core()
    assert core.look(after(START, STOP)) == []
    assert core.look(after(START, STOP, START)) == [START]


def test_step_down_is_of_the_life_in_which_it_was_asked_for():
    """Fault 07: who was started anew need not stay out; one of this life is told."""
    core, desired = started()
    desired = after(m.StepDownAsked(stay_out=9.0), STOP, START, desired=desired)
    assert core.look(desired) == [STOP]
    core.end_stop()
    assert core.look(desired) == [START]
    down = m.StepDownAsked(stay_out=1.0)
    for _ in range(2):
        desired = after(down, desired=desired)
        assert core.look(desired) == [down]


def test_step_down_that_comes_after_the_stop_is_not_told():
    """G8: a stop was faster, and there is nothing left to step down from."""
    core, desired = started()
    desired = after(STOP, desired=desired)
    core.look(desired)
    core.end_stop()
    desired = after(m.StepDownAsked(stay_out=9.0), desired=desired)
    assert core.look(desired) == []
    assert core.look(after(START, desired=desired)) == [START]


def test_end_of_work_is_told_once_and_after_what_ended_the_term():
    """G4: however often and however late it is said, also of a former term."""
    core, desired = started()
    ended, lost = m.WorkEnded(term=2), m.LossSeen(term=2)
    desired = after(ended, lost, ended, m.WorkEnded(term=1), desired=desired)
    assert core.look(desired) == [lost, ended]
    assert core.look(after(ended, desired=desired)) == []


def test_word_that_was_refused_may_be_said_again():
    """It counts as not said; what else was said stays."""
    core, desired = started()
    desired = after(m.WorkEnded(term=7), m.StepDownAsked(), desired=desired)
    core.look(desired, fails=lambda: bool(core.heard[1:]))
    _, refused = desired.first_difference(core.told, stopped=False)
    desired = desired.without(core.told, refused)
    assert core.look(desired) == []
    right = m.WorkEnded(term=1)
    assert core.look(after(right, desired=desired)) == [right]


def test_new_core_is_told_how_things_are_and_not_what_happened():
    """Fault 07: whether it is to run, and to live; nothing of former terms."""
    words = [START, m.LivenessReported(alive=False), m.StepDownAsked()]
    words += [m.EndAsked(term=1), m.LossSeen(term=1), m.WorkEnded(term=1)]
    for more, said in (([], [m.LivenessReported(alive=False), START]), ([STOP], None)):
        desired, core = after(*words, *more), Core()
        core.told = desired.told_to_new_core()
        assert core.look(desired) == (said or [m.LivenessReported(alive=False)])


@pytest.mark.parametrize("seed", range(300))
def test_whatever_fails_on_its_way_the_end_is_the_same(seed):
    """Fault 07, G8: all is told in the end, and no core is told what it would refuse."""
    dice = random.Random(seed)  # noqa: S311 - a seed repeats a failure
    core, desired, steps_down = Core(), Desired(), 0
    for _ in range(40):
        word = dice.choice(
            (
                START,
                STOP,
                m.StepDownAsked(),
                m.LivenessReported(alive=dice.random() < 0.5),
            )
        )
        if word == START and desired.running:
            word = STOP
        steps_down += isinstance(word, m.StepDownAsked)
        desired = after(word, desired=desired)
        core.look(desired, fails=lambda: dice.random() < 0.5)
        if dice.random() < 0.5:
            core.end_stop()
    for _ in range(3):
        core.look(desired)
        core.end_stop()
    assert core.stopped is not desired.running
    assert core.told.alive is desired.alive
    assert core.told.step_downs == desired.step_downs == steps_down
    assert core.look(desired) == []
