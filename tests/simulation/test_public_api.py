"""What users test their own worlds with."""

from __future__ import annotations

import textwrap

from kubernetes_leader_election.testing import simulation


def test_example_of_the_simulator_runs(capsys):
    """The example in the package's docstring is a program that works."""
    text = simulation.__doc__
    begin = text.index("    from kubernetes_leader_election")
    end = text.index("Kinds of faults are")
    exec(compile(textwrap.dedent(text[begin:end]), "example", "exec"), {})  # noqa: S102 - our own docstring
    shown = capsys.readouterr().out
    assert "changes of the leader" in shown
    assert len(shown.splitlines()) == 21


def test_every_public_name_of_the_simulator_exists_and_is_documented():
    """Names in ``__all__`` resolve, and each says what it is."""
    for name in simulation.__all__:
        assert getattr(simulation, name).__doc__, name
