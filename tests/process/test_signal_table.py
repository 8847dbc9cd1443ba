"""The table of a signal's way: what the rest of the file relies on."""

from __future__ import annotations

from kubernetes_leader_election.process.signal_table import TABLE, Action, Fact, State

IN_THE_MAIN_THREAD = {
    Fact.SIGNAL,
    Fact.SIGNAL_FOR_NOBODY,
    Fact.SIGNAL_WITH_EARLIER_HANDLER,
    Fact.EXIT,
}
ON_ITS_WAY = {State.CAUGHT, State.STOPPING, State.OVERDUE, State.SENT}
"""The states that the thread of the signals writes."""


def test_main_thread_knows_in_each_state_what_to_do():
    """Fault 13: a signal may come at any time; a pair that is missing would be lost."""
    met = {(state, fact) for state, fact in TABLE if fact in IN_THE_MAIN_THREAD}
    assert met == {(state, fact) for state in State for fact in IN_THE_MAIN_THREAD}


def test_thread_of_the_signals_knows_in_each_state_what_to_do():
    """Asked are electors by any signal; what they do about it is looked at when asked."""
    met = {(state, fact) for state, fact in TABLE if fact not in IN_THE_MAIN_THREAD}
    late = {
        Fact.STOPPED,
        Fact.MAIN_THREAD_ALONE,
        Fact.MAIN_THREAD_LATE,
        Fact.OTHERS_LATE,
    }
    assert met == {
        *((state, Fact.ASKED) for state in ON_ITS_WAY),
        *((State.STOPPING, fact) for fact in late),
        (State.OVERDUE, Fact.STOPPED),
    }


def test_each_state_has_one_writer():
    """Only the main thread begins and ends a signal's way; the thread never does."""
    for (state, fact), (target, _) in TABLE.items():
        if fact not in IN_THE_MAIN_THREAD:
            assert {state, target} <= ON_ITS_WAY
        elif target is not state:
            assert target in {State.AT_REST, State.CAUGHT, State.EXITING}


def test_signal_is_sent_once_more_at_most_once_and_an_exit_is_final():
    """Fault 13: a second one would come to what was there before our handler."""
    for (state, fact), (target, action) in TABLE.items():
        assert (action is Action.SEND) == (target is State.SENT is not state)
        if state is State.EXITING:
            assert target is state, fact
