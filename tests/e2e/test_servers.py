"""
Servers and libraries that fork, patch or replace what an election stands on.

Real programs, in an environment of their own: requirements/servers.txt.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from controlplane.processes import free_port, wait_until
from server_programs import PATIENCE, Running, environment, run, server
from tests.programs import holder

from kubernetes_leader_election.testing import LeaseServer
from kubernetes_leader_election.testing.faults import Fault, Hang

__all__ = ["environment", "run", "server"]

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

MOMENTS = ("first", "imported", "started")
"""When gevent patches: before the import of this package, after it, after start()."""


# gevent ---------------------------------------------------------------------------


@pytest.mark.parametrize("moment", MOMENTS)
def test_gevent_leaves_an_election_its_threads(
    run: Callable[..., Running], server: LeaseServer, moment: str
) -> None:
    """It leads over TLS, renews beside a busy loop, and waits without stopping it."""
    program = run("python", "patched.py", moment, "works")
    assert program.finish() == 0, program.errors
    first, *others = program.lines
    assert int(first.removeprefix("token ")) > 0
    assert others == [
        "busy True False True",
        "lost False True",
        "thread 42",
        "greenlet 43",
        "stopped work_ended",
    ]
    assert holder(server, "patched") == ""
    assert "KeyError" not in program.errors, (
        "threads from before a patch end without a word"
    )


@pytest.mark.parametrize("moment", MOMENTS)
def test_gevent_does_not_make_a_failure_of_a_server_that_hangs(
    run: Callable[..., Running], server: LeaseServer, moment: str
) -> None:
    """Requests that nobody answers are given up, and the term ends by its deadline."""
    program = run("python", "patched.py", moment, "loses")
    program.wait_for("leads 1")
    server.faults.add(Fault(Hang(), times=None))
    program.wait_for("lost renew_deadline")
    server.faults.clear()
    program.wait_for("leads 2")
    assert not [line for line in program.lines if "failed" in line]


@pytest.mark.parametrize("moment", MOMENTS)
def test_gevent_lets_a_signal_end_the_program_and_release(
    run: Callable[..., Running], server: LeaseServer, moment: str
) -> None:
    """SIGTERM reaches the main greenlet, by the number that the system knows it by."""
    program = run("python", "patched.py", moment, "ends")
    program.wait_for("leads")
    program.process.send_signal(signal.SIGTERM)
    assert program.finish() == 128 + signal.SIGTERM, program.errors
    assert holder(server, "patched") == ""
    assert "KeyError" not in program.errors, (
        "no thread complained, the last ones included"
    )


def test_gevent_lets_an_exec_plugin_be_asked(
    run: Callable[..., Running], server: LeaseServer, tmp_path: Path
) -> None:
    """A subprocess of gevent would belong to the loop of the main thread."""
    server.add_user("ada", token="token-of-ada", groups=("system:masters",))
    config = yaml.safe_load(server.kubeconfig("ada"))
    answer = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "token-of-ada"},
    }
    plugin = tmp_path / "plugin"
    plugin.write_text(
        f"#!{sys.executable}\nimport os, time\nprint({json.dumps(answer)!r}, flush=True)\n"
        "os.close(1), os.close(2)\ntime.sleep(0.5)  # it goes on: that has to be waited for\n"
    )
    plugin.chmod(0o755)
    for user in config["users"]:
        user["user"] = {
            "exec": {
                "apiVersion": answer["apiVersion"],
                "command": str(plugin),
                "interactiveMode": "Never",
            }
        }
    file = tmp_path / "with-a-plugin"
    file.write_text(yaml.safe_dump(config))
    program = run("python", "patched.py", "first", "works", config=file)
    assert program.finish() == 0, program.errors
    assert program.lines[-1] == "stopped work_ended"


# Servers that fork ------------------------------------------------------------------


def two_workers(program: Running, port: int) -> list[dict[str, Any]]:
    """Ask until two workers have answered, of which one leads; return their answers."""
    answers: dict[int, dict[str, Any]] = {}

    def ask() -> bool:
        assert program.process.poll() is None, program.errors
        try:
            url = f"http://127.0.0.1:{port}/"
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                found = json.load(answer)
        except OSError:
            return False  # it does not listen yet
        answers[found["pid"]] = found
        known = all(one["leader"] for one in answers.values())
        return len(answers) == 2 and known

    # Each look is a request, which is answered by either.
    wait_until(ask, within=PATIENCE, what="two workers know who leads", every=0.05)
    return list(answers.values())


def check_workers(program: Running, server: LeaseServer, port: int) -> None:
    """See that each has its own identity, one leads, and a stop releases the Lease."""
    workers = two_workers(program, port)
    for worker in workers:
        assert worker["identity"].endswith(f"-{worker['pid']}")
    (leader,) = [worker for worker in workers if worker["leads"]]
    assert {worker["leader"] for worker in workers} == {leader["identity"]}
    assert holder(server, "wsgi") == leader["identity"]
    os.kill(leader["pid"], signal.SIGKILL)
    wait_until(
        lambda: holder(server, "wsgi") not in {"", leader["identity"]},
        within=PATIENCE,
        what="another worker takes over",
    )
    program.process.send_signal(signal.SIGTERM)
    program.finish()
    assert holder(server, "wsgi") == "", program.errors


@pytest.mark.parametrize(
    ("kind", "when"),
    [("sync", "post_fork"), ("gevent", "post_worker_init"), ("gevent", "post_fork")],
)
def test_gunicorn_with_one_elector_for_all_workers_elects_one_of_them(
    run: Callable[..., Running], server: LeaseServer, kind: str, when: str
) -> None:
    """The master makes the elector (--preload), each worker starts it."""
    port = free_port()
    options = ["--preload", "-w", "2", "-k", kind, "-b", f"127.0.0.1:{port}"]
    program = run("gunicorn", *options, "-c", f"{when}.py", "wsgi:application")
    check_workers(program, server, port)


@pytest.mark.parametrize(
    "options",
    [[], ["--gevent", "10", "--gevent-monkey-patch"]],
    ids=["threads", "gevent"],
)
def test_uwsgi_elects_one_of_its_workers(
    run: Callable[..., Running], server: LeaseServer, options: list[str]
) -> None:
    """It forks in C, after it has loaded the application, and Python hears nothing."""
    port = free_port()
    own = ["--http-socket", f"127.0.0.1:{port}", "--master", "--processes", "2"]
    own += ["--enable-threads", "--die-on-term", "--wsgi-file", "wsgi.py"]
    check_workers(run("uwsgi", *own, *options), server, port)


# Libraries --------------------------------------------------------------------------


def test_eventlet_is_refused_in_a_sentence(run: Callable[..., Running]) -> None:
    """It keeps no threads that an election could have."""
    program = run("python", "-W", "ignore", "under_eventlet.py")
    assert program.finish() == 0, program.errors
    (line,) = program.lines
    assert line.startswith("eventlet has patched this process")


def test_trio_is_told_of_the_elector_for_threads(run: Callable[..., Running]) -> None:
    """Which works there."""
    program = run("python", "under_trio.py")
    assert program.finish() == 0, program.errors
    refused, number = program.lines
    assert "sync.Elector in threads" in refused
    assert number == "1"


def test_loguru_writes_whole_lines_with_their_facts(
    run: Callable[..., Running],
) -> None:
    """It fills in {}, and no %s; facts are bound."""
    program = run("python", "logs.py", "loguru")
    assert program.finish() == 0, program.errors
    assert (
        "Lease default/logs: {me} 100 % is the leader, fencing token none (assumed) "
        "logs None"
    ) in program.lines
    assert program.lines[-1].endswith("it was stopped logs stopped")


def test_structlog_writes_whole_lines_with_their_facts(
    run: Callable[..., Running],
) -> None:
    """Facts are bound, and so parts of the line of their own."""
    program = run("python", "logs.py", "structlog")
    assert program.finish() == 0, program.errors
    leads = [line for line in program.lines if "is the leader" in line]
    assert "{me} 100 % is the leader, fencing token none (assumed)" in leads[0]
    assert "lease" in leads[0]
    assert "%s" not in "".join(program.lines)
