"""What holds on macOS, where no test runs: its platform is faked in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.node_page import PATIENCE

pytestmark = pytest.mark.slow

FAKED = """
import builtins, io, os, select, signal, socket, sys, time

for module, names in {
    time: ["CLOCK_BOOTTIME"],
    os: [
        "eventfd", "memfd_create", "pidfd_open", "pipe2", "posix_fadvise",
        "sched_getaffinity", "sched_setaffinity", "timerfd_create", "unshare",
    ],
    select: ["epoll"],
    signal: [
        "SIGCLD", "SIGPOLL", "SIGPWR", "SIGRTMAX", "SIGRTMIN", "SIGSTKFLT",
        "pidfd_send_signal", "sigtimedwait", "sigwaitinfo",
    ],
    socket: ["SOCK_CLOEXEC", "SOCK_NONBLOCK", "TCP_KEEPIDLE", "TCP_USER_TIMEOUT"],
}.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
sys.platform = "darwin"

def without_proc(call):
    def guarded(path, *args, **more):
        if isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith(
            ("/proc", "/dev/shm")
        ):
            raise FileNotFoundError(2, "No such file or directory", path)
        return call(path, *args, **more)
    return guarded

io.open = builtins.open = without_proc(builtins.open)
for name in ("access", "listdir", "lstat", "open", "readlink", "scandir", "stat"):
    setattr(os, name, without_proc(getattr(os, name)))
SERVER = sys.argv[1]
"""
"""What macOS lacks, taken away before anything of ours is imported."""

ELECTION = """
import asyncio, logging
import kubernetes_leader_election
from kubernetes_leader_election import sync

logging.basicConfig(level=logging.INFO, format="%(message)s")
options = {"lease_name": "billing", "server": SERVER, "preset": "fast"}
first = sync.Elector(identity="a", crash_takeover=True, **options)
second = sync.Elector(identity="b", **options)
with first:
    term = first.wait_until_leading(30)
    with second:
        second.wait_for_leader(30)
        first.stop()
        later = second.wait_until_leading(30)
        assert later.fencing_token > term.fencing_token
        later.ensure(1.0)

async def work(term):
    print("asyncio works with token", term.fencing_token)

asyncio.run(kubernetes_leader_election.Elector(identity="c", **options).run(work))
"""

REFUSALS = """
from click.testing import CliRunner
from kubernetes_leader_election import ConfigurationError, sync
from kubernetes_leader_election.cli import main

try:
    sync.Elector(lease_name="billing", server=SERVER, hard_fence=True).start()
except ConfigurationError as error:
    print(error)
for words in (["run", "billing", "--server", SERVER, "--", "true"], ["timings"],
              ["manifests", "billing"], ["doctor", "billing", "--server", SERVER]):
    done = CliRunner().invoke(main.cli, words)
    print(words[0], "exits with", done.exit_code, done.output.partition("\\n")[0])
"""


def faked(program, server):
    """Run a program on what looks like macOS, and return what it printed and logged."""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", FAKED + program, server.url],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_library_elects_without_what_only_linux_has(lease_server):
    """Without CLOCK_BOOTTIME, /proc, timerfd and pidfd: both fronts, and a hand-over."""
    told = faked(ELECTION, lease_server)
    assert "b is the leader, fencing token " in told
    assert "no note can be left for them (crash_takeover)" in told
    assert "asyncio works with token " in told


def test_what_needs_linux_is_refused_in_words(lease_server):
    """`run` and the hard fence say why; the other commands work."""
    told = faked(REFUSALS, lease_server)
    assert "only Linux has such timers" in told
    assert "run exits with 2 Error: `run` needs Linux" in told
    for command in ("timings", "manifests", "doctor"):
        assert f"{command} exits with 0" in told
