"""Each example is run, as a pod on an embedded Lease API."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import urllib.request

import pytest

from tests.node_page import PATIENCE, eventually
from tests.programs import ROOT, end, holder, program, wait_until_held

EXAMPLES = ROOT / "examples"
TESTED = {
    "asgi_app",
    "asyncio_worker",
    "bot",
    "events",
    "fencing_with_sqlite",
    "liveness_loop",
    "pool_worker",
    "test_my_program",
    "test_with_faults",
    "test_with_lies",
    "threaded_worker",
}


@pytest.fixture
def run(lease_server, tmp_path):
    """Give a function that runs a program as a pod of the server."""

    def run(*arguments):
        return program(lease_server, tmp_path / "kubeconfig", *arguments)

    return run


def test_every_example_is_run():
    """A new example needs a test, or this one fails."""
    assert {path.stem for path in EXAMPLES.glob("*.py")} == TESTED


@pytest.mark.slow
def test_pool_worker_releases_after_its_last_job(run, lease_server):
    """G5: the job that runs at SIGTERM is done before the next leader has one."""
    script = EXAMPLES / "pool_worker.py"
    with run(script) as first:
        leader = wait_until_held(lease_server, "pool-worker", first)
        assert first.stdout.readline().startswith("job 1 done, token ")
        with run(script) as second:
            output, errors, code = end(first, signal.SIGTERM)
            assert (code, errors) == (128 + signal.SIGTERM, "")
            told = output.index(f"{leader} hands out no more: stopped\n")
            assert "done, token " in output[told:]
            assert second.stdout.readline().startswith("job 1 done, token ")
            end(second, signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["asyncio", "threaded"])
def test_worker_hands_over_after_its_work(run, lease_server, kind):
    """G5, G7: SIGTERM ends the work, then the Lease is released; the other one works."""
    script = EXAMPLES / f"{kind}_worker.py"
    with run(script) as first:
        lease = f"{kind}-worker"
        leader = wait_until_held(lease_server, lease, first)
        assert f"{leader} works, token " in first.stdout.readline()
        with run(script) as second:
            output, errors, code = end(first, signal.SIGTERM)
            assert (code, errors) == (128 + signal.SIGTERM, "")
            assert output == f"{leader} has stopped: stopped\n"
            assert " works, token " in second.stdout.readline()
            assert holder(lease_server, lease) != leader
            end(second, signal.SIGTERM)
    assert holder(lease_server, lease) == ""


@pytest.mark.slow
def test_events_are_handled_as_on_the_page(run, lease_server):
    """The handler works when leading, and has nothing to do after the loss."""
    with run(EXAMPLES / "events.py") as process:
        wait_until_held(lease_server, "my-application-lease", process)
        first = process.stdout.readline()
        assert first == "leadership_acquired: important work has been done\n"
        output, errors, code = end(process, signal.SIGINT)
    assert (code, errors) == (0, "")
    assert output == "leadership_lost: I'm not the leader. Nothing to do\n"
    assert holder(lease_server, "my-application-lease") == ""


@pytest.mark.slow
def test_asgi_app_answers_and_releases_when_its_server_ends(run, lease_server):
    """Uvicorn owns the signals; the end of the lifespan releases the Lease."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ("--port", port, "--log-level", "warning")
    with run("-m", "uvicorn", "examples.asgi_app:app", *options) as process:
        leader = wait_until_held(lease_server, "asgi-app", process)

        def answer():
            url = f"http://127.0.0.1:{port}/"
            try:
                with urllib.request.urlopen(url, timeout=PATIENCE) as got:
                    body = json.load(got)
            except OSError:
                return None
            return body if body["here"] else None

        assert eventually(answer) == {"leader": leader, "here": True}
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/election/", timeout=PATIENCE
        ) as got:
            assert json.load(got)["name"] == leader
        _, errors, _ = end(process, signal.SIGTERM)
    assert "Traceback" not in errors
    assert holder(lease_server, "asgi-app") == ""


@pytest.mark.slow
def test_database_refuses_an_older_token(run, lease_server, tmp_path):
    """G3: what an earlier leader writes late is refused by the resource itself."""
    file = tmp_path / "ledger.sqlite"
    with run(EXAMPLES / "fencing_with_sqlite.py", file) as process:
        output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, "")
    assert output.startswith("refused: token ")
    database = sqlite3.connect(file)
    try:
        rows = database.execute("SELECT token, text FROM entries").fetchall()
    finally:
        database.close()
    assert [text for _, text in rows] == ["by the leader"]
    assert rows[0][0] <= lease_server.revision


@pytest.mark.slow
def test_bot_answers_only_while_it_leads(run, lease_server):
    """Two are logged in and hear the same; one answers, then the other."""
    script = EXAMPLES / "bot.py"
    with run(script) as first:
        wait_until_held(lease_server, "bot", first)
        assert {first.stdout.readline().split()[-1] for _ in range(2)} >= {"answers"}
        with run(script) as second:
            assert second.stdout.readline().startswith("answered by ")
            for bot in (first, second):
                bot.stdin.write("hello\n")
                bot.stdin.flush()
            assert first.stdout.readline() == "you said 'hello'\n"
            _, errors, _ = end(first, signal.SIGTERM)
            assert errors == ""
            while not second.stdout.readline().endswith(" answers\n"):
                pass
            second.stdin.write("still there?\n")
            second.stdin.flush()
            assert second.stdout.readline() == "you said 'still there?'\n"
            end(second, signal.SIGTERM)


@pytest.mark.slow
def test_program_with_a_liveness_probe_leads(run, lease_server):
    """While its event loop turns, the program leads, and stops as any other."""
    with run(EXAMPLES / "liveness_loop.py") as process:
        wait_until_held(lease_server, "liveness-loop", process)
        output, errors, code = end(process, signal.SIGTERM)
    assert (code, output, errors) == (128 + signal.SIGTERM, "", "")
    assert holder(lease_server, "liveness-loop") == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count"),
    [("test_my_program", 1), ("test_with_faults", 8), ("test_with_lies", 2)],
)
def test_test_of_a_program_passes(run, name, count):
    """G2: the examples of a user's own tests, run by pytest as a user runs them."""
    options = ("-q", "-p", "no:cacheprovider", "-W", "error")
    with run("-m", "pytest", *options, EXAMPLES / f"{name}.py") as process:
        output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, ""), output
    assert f"{count} passed" in output
