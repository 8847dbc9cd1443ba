"""
What ends tests that hang where a time-out cannot end them, and names failures at once.

pytest-timeout raises an exception in the test. A test may catch it, or wait on in what it
does at its end, and then nothing bounds it: the run stands until somebody ends it from
outside, and with it goes the list of what failed. Here a thread in C, which needs neither
the test nor the interpreter, ends the process after twice the time of the test and shows
where each thread stood; pytest-xdist says which test that was, and goes on in a new
process.
"""

from __future__ import annotations

import faulthandler
import os

import pytest

_stderr = pytest.StashKey[int]()


def pytest_configure(config):
    """Keep standard error for later: while a test runs it leads to what it captured."""
    config.stash[_stderr] = os.dup(2)


def pytest_unconfigure(config):
    """Give it back."""
    os.close(config.stash[_stderr])


def _bound(item):
    mark = item.get_closest_marker("timeout")
    seconds = mark.args[0] if mark else float(item.config.getini("timeout"))
    faulthandler.dump_traceback_later(
        2 * seconds, exit=True, file=item.config.stash[_stderr]
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    """Bound all of a test, also what it does at its end."""
    _bound(item)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(node):
    """
    Bound what a test that failed does at its end.

    pytest itself calls the thread in C off where a test fails: somebody may be at a
    debugger.
    """
    if isinstance(node, pytest.Item) and not node.config.getoption("usepdb"):
        _bound(node)


class Failures:
    """Shows each failure as it comes: the list at the end may never be written."""

    def __init__(self, config):
        self._reporter = config.pluginmanager.getplugin("terminalreporter")

    def pytest_runtest_logreport(self, report):
        """Say which test failed, and by what."""
        if report.failed:
            self._reporter.ensure_newline()
            self._reporter.write_line(f"FAILED {report.nodeid} ({report.when})")
            self._reporter.write_line(report.longreprtext)


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session):
    """Show failures where the reports of all processes come together."""
    if session.config.pluginmanager.hasplugin("terminalreporter"):
        session.config.pluginmanager.register(Failures(session.config))
