"""Telling a process from its copies, however they were made."""

from __future__ import annotations

import os
import sys
import threading
import warnings

import pytest

from kubernetes_leader_election.process import fork
from kubernetes_leader_election.process.fork import PerProcess, on_child, this_process
from tests.forks import c_fork, in_child

PATIENCE = 30.0


def python_fork():
    """Fork as Python does."""
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside threads: that is what is tested here.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def check_in_child(make_child, check):
    """Fork and see that a check holds in the child."""

    def holds():
        assert check()

    assert in_child(make_child, holds) == 0


@pytest.fixture(params=[python_fork, c_fork], ids=["Python", "C"])
def make_child(request):
    """Give both ways to fork."""
    if request.param is c_fork and sys.platform != "linux":
        pytest.skip("a page that is wiped in children is Linux's")
    return request.param


@pytest.fixture
def same_pid(monkeypatch):
    """Let every process have one number, as in nested PID namespaces."""
    monkeypatch.setattr(fork.os, "getpid", lambda: 1)
    monkeypatch.setattr(fork, "_newest", fork.Process())


def test_process_is_itself_and_no_copy():
    """Asked again, also on another thread, it is the same object."""
    process, found = this_process(), []
    thread = threading.Thread(target=lambda: found.append(this_process()))
    thread.start()
    thread.join(PATIENCE)
    assert not process.is_copy
    assert found == [process]


def test_child_with_the_number_of_its_parent_is_told_apart(same_pid, make_child):
    """Fault 15: neither the number of a process nor a hook decides."""
    process = this_process()

    def check():
        fresh = this_process()
        return process.is_copy and fresh is not process and not fresh.is_copy

    check_in_child(make_child, check)
    assert not process.is_copy


def test_grandchild_is_told_apart_though_the_child_never_asked(same_pid, make_child):
    """Fault 15: what a child did not look at is right in its own children, too."""
    process = this_process()

    def ask_in_grandchild():
        check_in_child(make_child, lambda: process.is_copy and grandchild())
        return this_process() is not process

    def grandchild():
        return not this_process().is_copy

    check_in_child(make_child, ask_in_grandchild)


def test_child_is_told_apart_where_the_kernel_wipes_no_page(monkeypatch):
    """Fault 15: an older kernel refuses the page; then Python's hook tells."""
    monkeypatch.setattr(fork, "_WIPE_ON_FORK", 12345)
    monkeypatch.setattr(fork.os, "getpid", lambda: 1)
    monkeypatch.setattr(fork, "_newest", fork.Process())
    process = this_process()
    assert process._page is None
    check_in_child(python_fork, lambda: process.is_copy)
    assert not process.is_copy


def test_child_is_told_apart_by_its_number_alone(monkeypatch):
    """Fault 15: a fork in C on an older kernel still has another number."""
    if sys.platform != "linux":
        pytest.skip("the fork in C is for Linux")
    monkeypatch.setattr(fork, "_WIPE_ON_FORK", 12345)
    monkeypatch.setattr(fork, "_newest", fork.Process())
    process = this_process()
    check_in_child(c_fork, lambda: process.is_copy)


def test_child_makes_its_own_of_what_there_is_one_of(same_pid, make_child):
    """Fault 15: nothing of the parent is taken for the child's; hooks run once."""
    numbers = iter(range(10))
    shared = PerProcess(lambda: next(numbers))
    assert [shared(), shared()] == [0, 0]
    parent, told = this_process(), []
    on_child(told.append)

    def check():
        found = [shared(), shared()]
        return found == [1, 1] and told == [parent] and shared.of(parent) == 0

    try:
        check_in_child(make_child, check)
    finally:
        fork._hooks.pop()
    assert shared() == 0
    assert told == []
