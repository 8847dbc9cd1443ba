"""What all tests share: signals that work, how the scenario files are written anew."""

from __future__ import annotations

import os
import signal

import hypothesis
import pytest

from tests import hanging

# How long an example takes, or the drawing of it, is a matter of who else wants this
# machine; by itself Hypothesis fails a test for one that took a fifth of a second.
hypothesis.settings.register_profile(
    "unhurried",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("unhurried")


def _of_signals():
    """Return what programs inherit: signals that are blocked, and those ignored."""
    ignored = {
        number
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGURG)
        if signal.getsignal(number) is signal.SIG_IGN
    }
    return signal.pthread_sigmask(signal.SIG_BLOCK, ()), ignored


@pytest.fixture(autouse=True)
def signals_are_left_alone():
    """Name the test that leaves signals blocked: all programs of later ones inherit it."""
    before = _of_signals()
    yield
    after = _of_signals()
    if after != before:
        signal.pthread_sigmask(signal.SIG_SETMASK, before[0])
    assert after == before, "signals that are blocked or ignored were left behind"


def pytest_configure(config):
    """
    Bound tests that hang. Let no signal be ignored, whoever started the tests.

    A shell starts what runs in the background with SIGINT ignored, nohup with SIGHUP:
    programs inherit that, and electors rightly leave it so. Tests send both.

    Programs of the tests write lines, and others write to the same pipe: unbuffered, the
    parts of one ``print`` are writes of their own, and others come between them.
    """
    config.pluginmanager.register(hanging)
    os.environ.pop("PYTHONUNBUFFERED", None)
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is signal.SIG_IGN:
            default = signal.SIG_DFL
            if number == signal.SIGINT:
                default = signal.default_int_handler
            signal.signal(number, default)


def pytest_addoption(parser):
    """Add the flag that writes the scenario files anew."""
    parser.addoption(
        "--rewrite-traces",
        action="store_true",
        help="write what happens now into tests/traces; read the difference",
    )
