"""Frozen values: what dataclasses promise, without what they cost."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from typing import ClassVar

import pytest

from kubernetes_leader_election.values import Value, hasten, hidden, replace


class Point(Value):
    """A value with a default."""

    kind: ClassVar = "point"
    x: int
    y: int = 0


class Named(Point):
    """A value that adds a field and hides one."""

    name: str
    secret: str = hidden(default="-")


class Pair(Value, kw_only=False):
    """A value made by position."""

    left: int
    right: int


class Nothing(Value):
    """A value without fields."""


def test_value_keeps_what_it_was_given():
    """Fields are given by keyword, or take their default."""
    point = Point(x=1)
    assert (point.x, point.y, point.kind) == (1, 0, "point")
    assert Point(y=2, x=1).y == 2


def test_value_may_take_fields_by_position():
    """Only where its class says so."""
    assert Pair(1, 2) == Pair(left=1, right=2) == Pair(1, right=2)
    with pytest.raises(TypeError, match="takes 0 positional arguments, 1 were given"):
        Point(1)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (Point, "needs x"),
        (lambda: Point(x=1, z=2), "has no field 'z'"),
        (lambda: Pair(1, 2, 3), "takes 2 positional arguments, 3 were given"),
        (lambda: Pair(1, 2, right=3), "got 'right' twice"),
        (lambda: Pair(1), "needs right"),
    ],
    ids=["missing", "unknown", "too many", "given twice", "too few"],
)
def test_value_refuses_what_does_not_fit(make, problem):
    """A wrong field is said by its name."""
    with pytest.raises(TypeError, match=problem):
        make()


def test_value_is_equal_by_its_fields_and_class():
    """Values of one class are equal when their fields are."""
    assert Point(x=1) == Point(x=1, y=0)
    assert Point(x=1) != Point(x=2)
    assert Point(x=1) != Named(x=1, name="")
    assert Nothing() == Nothing()
    assert {Point(x=1), Point(x=1)} == {Point(x=1)}


@pytest.mark.parametrize(
    "change",
    [
        lambda point: setattr(point, "x", 2),
        lambda point: delattr(point, "x"),
        lambda point: setattr(point, "z", 3),
    ],
    ids=["set", "delete", "invent"],
)
def test_value_stays_as_it_is(change):
    """A value cannot be changed, and takes no other attribute."""
    point = Point(x=1)
    with pytest.raises(AttributeError, match="is frozen"):
        change(point)
    assert point == Point(x=1)
    assert not hasattr(point, "__dict__")


def test_value_shows_its_fields_but_the_hidden_ones():
    """A secret is not in the text of a value."""
    assert repr(Named(x=1, name="n", secret="s")) == "Named(x=1, y=0, name='n')"
    assert repr(Nothing()) == "Nothing()"


def test_value_can_be_copied_and_sent():
    """Copies and pickles are equal to it."""
    named = Named(x=1, name="n", secret="s")
    assert copy.copy(named) == copy.deepcopy(named) == named
    assert pickle.loads(pickle.dumps(named)) == named  # noqa: S301 - our own


def test_value_can_be_made_anew_with_changes():
    """Both this module's replace() and that of dataclasses do it."""
    named = Named(x=1, name="n")
    assert replace(named, y=5) == dataclasses.replace(named, y=5)
    assert replace(named, y=5).y == 5
    assert dataclasses.asdict(named) == {"x": 1, "y": 0, "name": "n", "secret": "-"}


def test_value_can_be_matched():
    """``match`` looks at fields by their names."""
    match Point(x=1, y=2):
        case Point(x=1, y=found):
            assert found == 2
        case _:
            pytest.fail("not matched")


def test_elector_is_imported_without_dataclasses():
    """What every program imports defines no dataclass: each costs a millisecond."""
    code = (
        "import dataclasses, sys\n"
        "made = []\n"
        "dataclasses.dataclass = lambda *a, **k: made.append(a) or (lambda c: c)\n"
        "from kubernetes_leader_election import Elector\n"
        "from kubernetes_leader_election.sync import Elector\n"
        "print(made)\n"
    )
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_hastened_class_makes_the_same_values():
    """With a constructor of its own: by keyword, by position where that is allowed."""

    class Quick(Value):
        x: int
        y: int = 0

    class QuickPair(Value, kw_only=False):
        left: int
        right: int

    class QuickNothing(Value):
        pass

    hasten(Quick, QuickPair, QuickNothing)
    assert Quick(x=1) == Quick(y=0, x=1)
    assert Quick(x=1, y=2).y == 2
    assert QuickPair(1, 2) == QuickPair(right=2, left=1)
    assert QuickNothing() == QuickNothing()
    with pytest.raises(TypeError, match="positional"):
        Quick(1)
    with pytest.raises(TypeError, match="'x'"):
        Quick()


@pytest.mark.parametrize("first", [True, False], ids=["made before", "made after"])
def test_class_below_a_hastened_one_has_fields_of_its_own(first):
    """A simulator hastens classes of the core; those below them lost their fields."""

    class Base(Value):
        one: int = 1

    def below():
        class Below(Base):
            two: int

        return Below

    kind = below() if first else None
    hasten(Base)
    kind = kind or below()
    assert (kind(two=2).one, kind(two=2).two) == (1, 2)
    assert Base().one == 1
