"""Electors in processes that are not what most programs are: forked, embedded, patched."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow

PRELOADED = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
elector = sync.Elector(**options() | {"identity": None})
before = elector.identity
pid = os.fork()
if pid == 0:
    with elector:
        elector.wait_until_leading(30)
        say("worker", elector.identity, elector.state.holder, os.getpid())
    os._exit(0)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
say("master", before == elector.identity, elector.identity, os.getpid(), code)
"""


def test_elector_that_a_master_built_has_the_process_id_of_the_worker(program):
    """With gunicorn --preload all workers would have had one identity: the master's."""
    running = program(PRELOADED)
    _, identity, holder, pid = running.wait_for("worker").split()
    assert identity == holder
    assert identity.endswith(f"-{pid}")
    _, same, identity, pid, code = running.wait_for("master").split()
    assert (same, code) == ("True", "0")
    assert identity.endswith(f"-{pid}")
    assert running.finish() == 0
