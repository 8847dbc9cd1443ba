"""``kle dev``: a Lease API as a command, around a program, and its faults."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from kubernetes_leader_election.cli import exit_codes
from kubernetes_leader_election.cli.commands import dev
from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.credentials import kubeconfig as load
from kubernetes_leader_election.kube_api.call import Call, boottime
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.kube_api.results import NotFound, Unknown
from kubernetes_leader_election.testing import faults
from kubernetes_leader_election.testing.lease_server import control
from tests.cli.observe.leases import electors
from tests.programs import let_main_thread_wait

KLE = Path(sys.executable).parent / "kle"
DEV = (KLE, "dev", "--write-kubeconfig")
PROGRAM = """
from kubernetes_leader_election.sync import Elector
with Elector(lease_name="x", auto_close=False) as elector:
    print("token", elector.wait_until_leading(timeout=20).fencing_token)
raise SystemExit(7)
"""


def environment(**more: object) -> dict[str, str]:
    """Give the variables of a shell in which no kubeconfig is chosen."""
    found = {k: v for k, v in os.environ.items() if k != "KUBECONFIG"}
    return {**found, "PYTHONUNBUFFERED": "1", **{k: str(v) for k, v in more.items()}}


@contextlib.contextmanager
def serving(*words: object, **more: object) -> Iterator[subprocess.Popen[str]]:
    """Run `kle dev` as a process of its own, until the block ends."""
    process = subprocess.Popen(
        [KLE, "dev", "--port", "0", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**more),
    )
    first = process.stdout.readline()
    assert first.startswith("Serving Leases on http://127.0.0.1:"), first
    yield process
    let_main_thread_wait(process.pid)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0


def kle(*words: object, **more: object) -> subprocess.CompletedProcess[str]:
    """Call the command line in a shell in which no kubeconfig is chosen."""
    return subprocess.run(
        [KLE, *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment(**more),
    )


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Run `kle dev` as a process of its own; give it and its kubeconfig."""
    path = tmp_path / "config"
    with serving("--write-kubeconfig", path) as process:
        yield process, path


@pytest.mark.slow
def test_dev_serves_leases_and_prints_requests(served):
    """The kubeconfig leads to the server, and each request is a line."""
    process, path = served
    client = LeaseClient(load(path))
    result = client.get("default", "nobody", call=Call(deadline=boottime() + 30))
    client.close()
    assert isinstance(result, NotFound)
    line = process.stderr.readline()
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3}  404 ", line)
    assert (
        "GET    /apis/coordination.k8s.io/v1/namespaces/default/leases/nobody" in line
    )
    assert re.search(r" :\d+$", line.rstrip())


def shown(server, capsys) -> list[str]:
    """Return the lines of the requests of one elector, from its start to its release."""
    server.requests.on_answer = dev._show
    with electors(server, "lines", "ada"):
        pass
    server.requests.on_answer = lambda _: None
    return [click.unstyle(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.slow
def test_dev_says_of_each_write_whom_it_makes_the_holder(server, capsys):
    """Which replica it was is in a write alone; the others of it have the same port."""
    lines = [line for line in shown(server, capsys) if "/leases/lines" in line]
    first, *_, last = [line for line in lines if " PUT " in line]
    assert "  holder 'ada'  kubernetes-leader-election" in first
    assert "  no holder  kubernetes-leader-election" in last
    assert all(re.match(r"\d\d:\d\d:\d\d\.\d{3}  20[01] ", x) for x in (first, last))


@pytest.mark.slow
def test_dev_fault_lists_adds_clears_and_orders(served, call):
    """Faults are added, met, listed and cleared; orders are carried out."""
    _, path = served
    words = ("--kubeconfig", path)
    says = 'message=it\'s short, and "stout"'
    added = call("dev", "fault", "answer", "status=418", "times=every", says, *words)
    assert "Answer status=418 " in added.stdout
    assert "every time, met 0 times" in added.stdout
    client = LeaseClient(load(path))
    met = client.get("default", "x", call=Call(deadline=boottime() + 30))
    client.close()
    assert met.error.status == 418
    assert 'it\'s short, and "stout"' in str(met.error)
    assert "met 1 times" in call("dev", "fault", *words).stdout
    assert call("dev", "fault", "clear", *words).exit_code == 0
    assert "There are no faults." in call("dev", "fault", "list", *words).stdout
    assert (
        call("dev", "fault", "end-watches", *words).stdout == "Ordered: end-watches\n"
    )
    refused = call("dev", "fault", "explode", *words)
    assert refused.exit_code == 2
    assert "unknown fault 'explode'" in refused.stderr
    for words_, why in (
        (("answer", "status=42"), "status=42 is no answer to a request"),
        (("compact", "now"), "compact takes no options, not 'now'"),
        (("restart", "down=nan"), "restart takes down=N with 0 to 86400 seconds"),
    ):
        refused = call("dev", "fault", *words_, *words)
        assert (refused.exit_code, why in refused.stderr) == (2, True)


@pytest.mark.slow
def test_dev_runs_a_program_that_takes_part_as_it_is(tmp_path):
    """A program with no set-up of its own leads with a token; its exit code is dev's."""
    done = subprocess.run(
        [*DEV, tmp_path / "c", "--", sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    assert done.stdout.startswith("token ")
    assert done.stdout.strip() != "token None"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.slow
def test_dev_passes_signals_on_and_gives_the_code_of_a_shell(tmp_path, number):
    """What somebody sends reaches the program; its end is 128 and the number."""
    process = subprocess.Popen(
        [*DEV, tmp_path / "c", "--", "sh", "-c", "echo ready; exec sleep 60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout.readline() == b"ready\n"
    let_main_thread_wait(process.pid)
    process.send_signal(number)
    assert process.wait(timeout=30) == 128 + number
    process.stdout.close()


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["/nowhere/at/all"], 127, "not found"),
        (["/etc/passwd"], 126, "Permission denied"),
        (["/etc"], 126, "Is a directory"),
    ],
    ids=["not found", "not executable", "a folder"],
)
@pytest.mark.slow
def test_dev_says_what_a_shell_says_of_a_bad_command(tmp_path, words, code, why):
    """A command that is not there or cannot be run: one line, as `run` says it."""
    done = subprocess.run(
        [*DEV, tmp_path / "c", "--", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert done.stderr.splitlines()[-1].startswith(f"Error: {words[0]}: {why}")


def test_dev_fault_says_when_no_server_is_there(call, tmp_path):
    """Without a server: one line that says how to start one, exit code 3."""
    result = call("dev", "fault", "--kubeconfig", tmp_path / "none")
    assert result.exit_code == 3
    assert "Start one with `dev`" in result.stderr


@pytest.mark.slow
def test_dev_with_a_command_leaves_the_file_of_another_server_alone(tmp_path):
    """A running `dev` keeps its kubeconfig; that of the command is gone at the end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    show = 'test -s "$KUBECONFIG" && echo "$KUBECONFIG" && kle dev fault throttle'
    where = {"XDG_CACHE_HOME": tmp_path, "TMPDIR": folder}
    path = f"{KLE.parent}:{os.environ['PATH']}"
    shared = tmp_path / "kubernetes-leader-election" / "dev-kubeconfig"
    with serving(**where):
        before = shared.read_text()
        done = kle("dev", "--", "sh", "-c", show, **where, PATH=path)
        assert done.returncode == 0, done.stderr
        assert shared.read_text() == before
        # Ordered inside the command, it is a fault of the command's own server.
        assert "Throttle" in done.stdout
        assert "There are no faults." in kle("dev", "fault", **where).stdout
    used = Path(done.stdout.splitlines()[0])
    assert used.is_relative_to(folder)
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_dev_fault_reaches_the_server_that_the_hint_came_from(tmp_path):
    """With two servers, the printed line leads to its own; so does KUBECONFIG."""
    path = tmp_path / "a file"
    cache = {"XDG_CACHE_HOME": tmp_path}
    with serving(**cache), serving("--write-kubeconfig", path, **cache) as other:
        lines = [other.stdout.readline() for _ in range(4)]
        (hint,) = [line for line in lines if "dev fault" in line]
        named, _, _ = hint.partition(" how to make it misbehave")
        words = shlex.split(named)
        assert words == ["kle", "dev", "fault", "--kubeconfig", str(path)]
        assert "Throttle" in kle(*words[1:], "throttle", **cache).stdout
        assert "Throttle" in kle("dev", "fault", **cache, KUBECONFIG=path).stdout
        assert "no faults" in kle("dev", "fault", **cache).stdout


@pytest.mark.slow
@pytest.mark.parametrize("there", [True, False], ids=["a cluster's", "missing"])
def test_dev_fault_gives_no_orders_to_a_cluster(call, server, tmp_path, there):
    """A KUBECONFIG that is not of `dev` is passed over, for the server of `dev`."""
    cluster, cache = tmp_path / "cluster", tmp_path / "kubernetes-leader-election"
    cache.mkdir()
    server.kubeconfig(path=cache / "dev-kubeconfig")
    if there:
        text = server.kubeconfig().replace("embedded-lease-api", "production")
        # Where nobody listens: to ask there would fail.
        cluster.write_text(text.replace(server.url, "http://127.0.0.1:1"))
    told = call("dev", "fault", KUBECONFIG=str(cluster), XDG_CACHE_HOME=str(tmp_path))
    assert told.stdout == "There are no faults.\n", told.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "wrong", "advice"),
    [
        (
            ["--state", "/nonexist/dir/f"],
            "cannot keep the Leases in /nonexist",
            "--state",
        ),
        (
            ["--write-kubeconfig", "/proc/x/y"],
            "cannot write the kubeconfig /proc/x/y",
            "--write-kubeconfig",
        ),
        (["--host", "203.0.113.1"], "cannot listen on 203.0.113.1:0", "--host"),
    ],
    ids=["state", "kubeconfig", "address"],
)
def test_dev_says_what_is_wrong_and_which_option_mends_it(words, wrong, advice):
    """One line: the file or address, why, and the option to give."""
    done = kle("dev", "--port", "0", *words)
    assert done.returncode == exit_codes.NOT_WRITTEN
    (line,) = done.stderr.splitlines()
    assert wrong in line
    assert "Errno" not in line
    assert advice in line.partition(wrong)[2]


def test_dev_fault_help_names_every_fault_and_order_there_is():
    """The help, which loads nothing, knows what the server knows."""
    assert {x.split()[0] for x in dev.FAULTS} == set(faults._BY_NAME)
    assert {x.split()[0] for x in dev.ORDERS} == set(control.ORDERS)


@pytest.mark.parametrize("fault", dev.FAULTS)
def test_dev_fault_help_names_every_option_of_a_fault(fault):
    """What it takes beside what all take; and what is said of it is true."""
    known = f"{fault} {dev.FAULTS[fault]}"
    _, own = faults._BY_NAME[fault.split()[0]]
    assert {f"{name}=" for name in own} <= set(re.findall(r"\w+=", known))


@pytest.mark.parametrize("fault", ["drop-before", "apply-then-drop", "apply-late"])
def test_dev_fault_help_says_when_a_connection_is_dropped(server, fault):
    """No answer comes, so it cannot be a 504; late is late, not before."""
    (about,) = [text for name, text in dev.FAULTS.items() if name.split()[0] == fault]
    assert "drop the connection" in about
    seconds = " seconds=60" if fault == "apply-late" else ""
    server.faults.add(faults.parse_fault(f"{fault}{seconds} name={fault}"))
    client = LeaseClient(explicit(server=server.url))
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": fault, "namespace": "default"},
        "spec": {"holderIdentity": "ada"},
    }
    found = client.replace("default", fault, lease, call=Call(deadline=boottime() + 30))
    client.close()
    assert isinstance(found, Unknown)
    assert found.error.status is None
    assert (server.lease(fault) is not None) == (fault == "apply-then-drop")


@pytest.mark.parametrize("command", ["dev", "demo"])
@pytest.mark.slow
def test_commands_name_the_extra_they_need(command):
    """Without aiohttp, dev and demo say what to install, with exit code 2."""
    program = (
        "import sys; sys.modules['aiohttp'] = None\n"
        "from kubernetes_leader_election.cli.main import cli\n"
        f"cli([{command!r}], prog_name='kle')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "(aiohttp is missing): pip install" in done.stderr
    assert "'kubernetes-leader-election[testing]'" in done.stderr


def test_user_without_a_home_is_told_what_to_set(call, monkeypatch):
    """A container's uid often has no entry in passwd, and no HOME."""
    for variable in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as with no entry
    result = call("dev", "fault", "clear")
    assert result.exit_code == 2
    assert f"uid {os.getuid()}" in result.output
    assert "XDG_CACHE_HOME" in result.output
