"""Run programs that know nothing of a test, as a pod of an embedded Lease API."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.node_page import PATIENCE, eventually

ROOT = Path(__file__).parent.parent


def pod_environment(server, kubeconfig):
    """Give the variables that make a program find the server as a pod finds its own."""
    server.kubeconfig(path=kubeconfig)
    return {
        **os.environ,
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(server.port),
        "KUBECONFIG": str(kubeconfig),
    }


@contextlib.contextmanager
def program(server, kubeconfig, *arguments, **options):
    """Run Python with these arguments as a pod; it is killed at the end if need be."""
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=options.get("cwd", ROOT),
        env=pod_environment(server, kubeconfig),
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def holder(server, lease):
    """Give who holds a Lease; empty when nobody does."""
    found = server.lease(lease)
    return "" if found is None else found["spec"].get("holderIdentity") or ""


def wait_until_held(server, lease, process):
    """Wait until somebody holds the Lease; fail with what the program said if not."""

    def held():
        assert process.poll() is None or holder(server, lease), process.communicate()
        return holder(server, lease)

    return eventually(held)


def end(process, number):
    """Send a signal, and give output, errors and exit code."""
    let_main_thread_wait(process.pid)
    process.send_signal(number)
    output, errors = process.communicate(timeout=PATIENCE)
    return output, errors, process.returncode


def let_main_thread_wait(pid):
    """
    Return when the main thread of a program has slept for a moment, or is busy for long.

    What comes between the last look of Python for signals and a wait without an end, as
    in `Event().wait()`, is met late, when an elector has interrupted the wait, and never
    where the program has no elector, or keeps from it what it needs for that.
    """
    status = Path(f"/proc/{pid}/task/{pid}/status")
    for _ in range(20):
        before = _sleep_of(status)
        time.sleep(0.05)  # who waits for the GIL is woken each 5 ms
        if before is not None and _sleep_of(status) == before:
            return


def _sleep_of(status):
    """Return which of its sleeps a thread is in; None: it does not sleep."""
    fields = dict(
        line.split(":\t") for line in status.read_text(encoding="ascii").splitlines()
    )
    sleeps = fields["State"].startswith("S")
    return fields["voluntary_ctxt_switches"] if sleeps else None
