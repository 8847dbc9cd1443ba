"""Forks that Python is not told of, and children with the number of their parent."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's"),
]

IN_CHILD = """
import warnings
from tests.forks import c_fork, in_child
warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads

def refuses(call):
    try:
        call()
    except Exception as error:
        return "fork" in str(error)
    return False

def leads_nothing(elector, term):
    assert not elector.current_leader
    assert elector.remaining() == term.remaining() == 0.0
    assert term.is_lost
    for call in (elector.start, elector.stop, elector.step_down):
        assert refuses(call), call
"""

LEADING = """
elector = sync.Elector(**options(**CALM))
renewals = []
elector.on(EVENTS.LEASE_RENEWED, renewals.append)
elector.start()
term = elector.wait_until_leading()
"""

IN_C = """
def check():
    leads_nothing(elector, term)
    own = sync.Elector(**{**options(), "lease_name": "of-the-child"})
    with own:
        assert own.wait_until_leading(30)
    assert not own.current_leader

def is_ended_by_sigterm():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)

say("code", in_child(c_fork, check), in_child(c_fork, is_ended_by_sigterm))
seen = len(renewals)
while len(renewals) < seen + 2:
    time.sleep(0.01)
say("parent", elector.current_leader, term.is_lost)
elector.stop()
"""


@pytest.mark.row(
    "Signals, exit, fork",
    "a fork that Python is not told of (made in C, as uWSGI does), or a child with the parent's process id in a PID namespace of its own",
)
def test_child_of_a_fork_in_c_leads_nothing_and_elects_anew(program):
    """Fault 15: as any child, with electors and signals of its own; the parent goes on."""
    running = program(IN_CHILD + LEADING + IN_C)
    assert running.wait_for("code") == "code 0 -15", running.errors
    assert running.wait_for("parent") == "parent True False"
    assert running.finish() == 0
    assert running.holder == ""
    assert running.errors == ""


NEW_PID = """
import ctypes
assert os.getpid() == 1
CLONE_NEWPID = 0x20000000
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(CLONE_NEWPID) == 0, os.strerror(ctypes.get_errno())

def check():
    assert os.getpid() == 1
    leads_nothing(elector, term)

say("code", in_child(FORK, check))
say("parent", elector.current_leader)
"""


@pytest.mark.skipif(
    shutil.which("unshare") is None or os.geteuid() != 0,
    reason="a process namespace needs root and `unshare`",
)
@pytest.mark.parametrize("fork", ["os.fork", "c_fork"])
def test_child_with_the_process_id_of_the_leader_leads_nothing(program, fork):
    """Fault 15: process 1 forks into another namespace, where the child is 1, too."""
    unshare = ("unshare", "--pid", "--fork", "--kill-child")
    source = textwrap.dedent(IN_CHILD + LEADING + NEW_PID.replace("FORK", fork))
    running = program(source, command=[*unshare, sys.executable, "-W", "error", "-c"])
    assert running.wait_for("code") == "code 0", running.errors
    assert running.wait_for("parent") == "parent True"
    assert running.finish() == 0
