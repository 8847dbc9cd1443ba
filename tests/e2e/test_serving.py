"""Health endpoints and a leader's route in real servers: FastAPI, Starlette, gevent."""

from __future__ import annotations

import json
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest
from controlplane.processes import free_port, wait_until
from server_programs import PATIENCE, Running, environment, run, server
from tests.programs import holder

from kubernetes_leader_election.testing import LeaseServer

__all__ = ["environment", "run", "server"]

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]


def ask(port: int, path: str, *, method: str = "GET") -> tuple[int, str]:
    """Ask a server on this machine; 0 where there is none yet."""
    url = f"http://127.0.0.1:{port}{path}"
    request = urllib.request.Request(url, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def start_fastapi(run: Callable[..., Running]) -> tuple[Running, int]:
    """Start the application; return once it is in the race."""
    port = free_port()
    program = run(
        "uvicorn", "served_fastapi:app", "--port", str(port), "--log-level", "warning"
    )
    wait_until(
        lambda: ask(port, "/election/readyz")[0] == 200,
        within=PATIENCE,
        what="it is in the race",
    )
    return program, port


def test_fastapi_lets_requests_in_where_this_replica_leads(
    run: Callable[..., Running], server: LeaseServer
) -> None:
    """Elsewhere 503 says who does; at SIGTERM all is released, an open stream or not."""
    first, here = start_fastapi(run)
    wait_until(
        lambda: ask(here, "/mail", method="POST")[0] == 200,
        within=PATIENCE,
        what="it leads both",
    )
    status, body = ask(here, "/bill", method="POST")
    assert status == 200
    assert json.loads(body)["pid"] == first.process.pid
    status, token = ask(here, "/charge", method="POST")
    assert (status, int(token)) == (200, json.loads(body)["token"])

    second, there = start_fastapi(run)
    leader = json.loads(ask(there, "/election/")[1])["name"]
    assert leader == holder(server, "served")
    refusal = (503, json.dumps({"detail": f"the leader is {leader}"}))
    for path in ("/bill", "/charge"):
        status, body = ask(there, path, method="POST")
        assert status == 503
        assert f"the leader is {leader}" in body
    assert (status, ask(there, "/election/leaderz")[0]) == (503, 503)
    assert json.loads(ask(there, "/bill", method="POST")[1]) == json.loads(refusal[1])

    with socket.create_connection(("127.0.0.1", there), timeout=PATIENCE) as stream:
        stream.sendall(b"GET /election/sse HTTP/1.1\r\nHost: x\r\n\r\n")
        read = stream.makefile("rb")
        events = (line for line in read if b"data: " in line)
        assert leader in next(events).decode()
        first.process.send_signal(signal.SIGTERM)
        first.finish()
        assert leader not in next(events).decode(), "told of the change, in the stream"
        began = time.monotonic()
        second.process.send_signal(signal.SIGTERM)
        second.finish()
        assert time.monotonic() - began < 20
    assert holder(server, "served") == holder(server, "served-too") == ""
    assert "Traceback" not in first.errors + second.errors


@pytest.mark.parametrize("moment", ["first", "imported", "started"])
def test_gevent_leaves_the_endpoints_their_thread(
    run: Callable[..., Running], server: LeaseServer, moment: str
) -> None:
    """Probes are answered while greenlets keep the loop busy; the address is given back."""
    program = run("python", "served_gevent.py", moment)
    program.wait_for("busy")
    port = int(program.lines[0].rpartition(":")[2])
    for path in ("/livez", "/readyz", "/leaderz", "/metrics", "/"):
        assert ask(port, path)[0] == 200
    assert "done" not in program.lines, "it was busy all the time"
    program.wait_for("closed")
    assert program.finish() == 0, program.errors
    ended = int(program.lines[-1].removesuffix(" ended"))
    assert (ended > 0) is (moment == "started"), (
        "it has seen those from before a patch end"
    )
    assert "KeyError" not in program.errors, "they end without a word"
    assert ask(port, "/livez")[0] == 0
