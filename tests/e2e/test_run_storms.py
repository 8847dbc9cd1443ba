"""`run` in storms: signals at random instants, kills, freezes, outages, process 1."""

from __future__ import annotations

import os
import random
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cli.run_replica import PATIENCE, Replica, eventually

from conftest import RunPlace
from kubernetes_leader_election.testing import TcpProxy
from kubernetes_leader_election.testing.belief_log import count_overlaps, read_log

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]

ROUNDS = 200
NAMES = ("a", "b", "c")
Start = Callable[..., Replica]


@pytest.fixture
def start(tmp_path: Path, run_place: RunPlace) -> Iterator[Start]:
    """Start replicas; end all after the test."""
    started: list[Replica] = []
    logs = tmp_path / "logs"
    logs.mkdir()
    config = run_place.kubeconfig()

    def begin(name: str, *options: str, **more: object) -> Replica:
        more.setdefault("kubeconfig", config)
        replica = Replica(logs, name, *options, **more)
        started.append(replica)
        return replica

    yield begin
    for replica in started:
        replica.close()


@pytest.fixture
def chance() -> random.Random:
    """Give randomness whose seed the failure shows; RUN_SEED repeats it."""
    seed = int(os.environ.get("RUN_SEED", "0")) or secrets.randbits(32)
    print(f"RUN_SEED={seed}")
    return random.Random(seed)  # noqa: S311 - a storm, not a secret


def _overlaps(folder: Path) -> tuple[int, int]:
    logs = {path.stem: read_log(path) for path in folder.glob("*.log")}
    return count_overlaps(logs, "work")


def _gone(replica: Replica) -> None:
    eventually(lambda: replica.living() == [], f"no orphan of {replica.name}")


def test_run_survives_a_storm_of_signals(
    start: Start, tmp_path: Path, chance: random.Random, tell: Callable[[str], None]
) -> None:
    """
    G1, G2, G5 for commands, fault 13: 200 signals at random instants.

    TERM, INT, either twice, signals that pass through, kill -9, a freeze: whatever
    comes whenever, nothing is left over and no two commands ever work at once.
    """
    child = ("--grandchild",)
    options = ("--grace=5", "--restart=always", "--restart-max-delay-sec=1")
    replicas = {name: start(name, *options, child=child) for name in NAMES}
    sent: dict[str, int] = {}
    for _ in range(ROUNDS):
        time.sleep(chance.random() * 0.4)  # the storm's own rhythm: any instant at all
        name = chance.choice(NAMES)
        replica = replicas[name]
        kind = chance.choices(
            ["TERM", "INT", "twice", "pass", "KILL", "freeze"], [35, 15, 15, 15, 12, 8]
        )[0]
        sent[kind] = sent.get(kind, 0) + 1
        if kind == "pass":
            if replica.noted("began"):  # before its handlers, HUP ends any program
                replica.signal(chance.choice([signal.SIGUSR2, signal.SIGWINCH]))
            continue
        if kind == "freeze":
            replica.signal(signal.SIGSTOP)
            time.sleep(chance.random() * 4)
            replica.signal(signal.SIGCONT)
            continue
        number = {"INT": signal.SIGINT, "KILL": signal.SIGKILL}.get(kind)
        replica.signal(number or signal.SIGTERM)
        if kind == "twice":
            time.sleep(chance.random() * 0.02)
            replica.signal(signal.SIGTERM)
        replica.wait()
        if kind == "KILL":
            _gone(replica)
        assert replica.living() == []
        replicas[name] = start(name, *options, child=child)
    for replica in replicas.values():
        replica.signal(signal.SIGTERM)
    for replica in replicas.values():
        replica.wait()
        assert replica.living() == []
    overlaps, total = _overlaps(tmp_path / "logs")
    assert total > ROUNDS
    assert overlaps == 0
    tell(f"{ROUNDS} signals {sent}, 0 of {total} instants overlap")


def test_run_kills_deaf_commands_in_time_after_kill_9(
    start: Start, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    """G2, fault 01: ten wrappers killed, whose commands ignore TERM and fork away."""
    child = ("--ignore-term", "--grandchild")
    leader = start("a", child=child)
    leader.wait_for_work()
    rival = start("b", child=child)
    for _ in range(10):
        leader.signal(signal.SIGKILL)
        rival.wait_for_work()
        assert leader.living() == []
        leader, rival = rival, start(leader.name, child=child)
    overlaps, total = _overlaps(tmp_path / "logs")
    assert (overlaps, total > 0) == (0, True)
    tell(f"10 x kill -9, 0 of {total} instants overlap")


def test_run_is_thawed_while_its_command_works(
    start: Start, tmp_path: Path, chance: random.Random, tell: Callable[[str], None]
) -> None:
    """
    G2, fault 02: 20 freezes of the wrapper alone, some shorter than the term.

    A short one is not noticed; in a long one the keeper ends the command in time.
    """
    replicas = [start(name) for name in NAMES[:2]]
    longs = 0
    for _ in range(20):
        eventually(lambda: any(r.works() for r in replicas), "somebody works")
        leader = next(r for r in replicas if r.works())
        frozen = leader.signal(signal.SIGSTOP)
        time.sleep(chance.random() * 4.0)
        longs += time.monotonic() - frozen > 2.0
        leader.signal(signal.SIGCONT)
    overlaps, total = _overlaps(tmp_path / "logs")
    assert (overlaps, total > 0) == (0, True)
    tell(f"20 freezes, {longs} long ones, 0 of {total} instants overlap")


def test_run_stops_its_command_in_a_black_hole(
    start: Start, run_place: RunPlace, tmp_path: Path
) -> None:
    """G2, fault 22: cut off from the API, the leader's command ends by itself."""
    with TcpProxy(run_place.url) as proxy:
        cut_off = run_place.kubeconfig(server=proxy.url)
        leader = start("a", kubeconfig=cut_off, child=("--ignore-term",))
        leader.wait_for_work()
        rival = start("b")
        proxy.black_hole()
        rival.wait_for_work()
        assert leader.process.poll() is None  # it contends on
        proxy.heal()
        rival.signal(signal.SIGTERM)
        assert rival.wait() == 0
        eventually(lambda: len(leader.noted("began")) == 2, "the first leads again")
    overlaps, total = _overlaps(tmp_path / "logs")
    assert (overlaps, total > 0) == (0, True)


UNSHARE = ("unshare", "--pid", "--fork")


@pytest.mark.parametrize(
    "prefix", [UNSHARE, (*UNSHARE, "--mount-proc")], ids=["alone", "with /proc"]
)
def test_run_works_as_process_1(
    start: Start, tmp_path: Path, prefix: tuple[str, ...]
) -> None:
    """Fault 14: two replicas, each process 1 of its namespace, hand over on TERM."""
    if os.geteuid() != 0:
        pytest.skip("only root makes a process namespace")
    first, second = (
        start(name, prefix=prefix, child=("--grandchild",)) for name in NAMES[:2]
    )
    eventually(lambda: first.works() or second.works(), "somebody works")
    if second.works():
        first, second = second, first
    for leader in (first, second):
        leader.wait_for_work()
        (init,) = [p for p in leader.living() if _is_init(p)]
        os.kill(init, signal.SIGTERM)
        eventually(lambda r=leader: r.process.poll() is not None, f"{leader.name} ends")
        assert leader.wait() == 0, leader.stderr
        assert leader.living() == []
    overlaps, total = _overlaps(tmp_path / "logs")
    assert (overlaps, total > 0) == (0, True)


def _is_init(pid: int) -> bool:
    """Tell whether a process is number 1 of a namespace of its own."""
    text = Path(f"/proc/{pid}/status").read_text()
    (line,) = [x for x in text.splitlines() if x.startswith("NSpid:")]
    return line.split()[-1] == "1" and len(line.split()) > 2


def test_run_reaps_orphans_as_process_1(start: Start) -> None:
    """No zombie: process 1 reaps what others left behind in its namespace."""
    if os.geteuid() != 0:
        pytest.skip("only root makes a process namespace")
    replica = start("a", prefix=UNSHARE)
    replica.wait_for_work()
    (init,) = [p for p in replica.living() if _is_init(p)]
    # As `kubectl exec` does: a process from outside whose child is orphaned.
    subprocess.run(
        ["nsenter", f"--target={init}", "--pid", "sh", "-c", "(sleep 0.3 &) &"],
        check=True,
    )
    children = f"--ppid={init}"
    listed = ["ps", "-o", "stat=,comm=", children]

    def adopted() -> list[str]:
        out = subprocess.run(listed, capture_output=True, text=True, check=False).stdout
        return [line for line in out.splitlines() if "sleep" in line or "sh" in line]

    time.sleep(0.5)  # the orphan's own life
    eventually(lambda: adopted() == [], "the orphan is reaped")


def test_run_obeys_ctrl_z_under_a_shell(tmp_path: Path) -> None:
    """On a terminal Ctrl-Z stops wrapper and command, fg goes on with both."""
    import pty

    log = tmp_path / "a.log"
    child = Path(__file__).parents[1] / "cli" / "run_child.py"
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.pop("KUBERNETES_SERVICE_HOST", None)
        os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])  # noqa: S606 - a shell
    try:
        run = f"{sys.executable} -m kubernetes_leader_election run x"
        _type(terminal, f"{run} -- {sys.executable} -S {child} {log}\n")
        eventually(lambda: read_log(log).instants("work"), "the command works")
        _type(terminal, "\x1a")
        _read(terminal, "Stopped")
        _type(terminal, "echo a$((6*7))b\n")
        _read(terminal, "a42b")  # the shell has its prompt
        before = time.monotonic()
        _type(terminal, "fg\n")
        eventually(
            lambda: read_log(log).instants("work")[-1] > before, "the command goes on"
        )
        _type(terminal, "\x03")
        _type(terminal, "echo code=$?\n")
        _read(terminal, "code=0")
    finally:
        os.close(terminal)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _type(terminal: int, text: str) -> None:
    os.write(terminal, text.encode())


def _read(terminal: int, words: str) -> None:
    text, until = "", time.monotonic() + PATIENCE
    while words not in text:
        assert time.monotonic() < until, f"{words!r} did not come:\n{text}"
        if select.select([terminal], [], [], 0.1)[0]:
            text += os.read(terminal, 4096).decode(errors="replace")


CELERY_APP = """
import os, time
from celery import Celery
from celery.signals import before_task_publish

app = Celery("shop", broker="memory://")
app.conf.beat_schedule = {"tick": {"task": "shop.tick", "schedule": 0.1}}
app.conf.beat_max_loop_interval = 0.1

@before_task_publish.connect
def note(**_):
    line = f"{time.monotonic():.6f} work yes\\n"
    with open(os.environ["SHOP_LOG"], "a") as log:
        log.write(line)

@app.task(name="shop.tick")
def tick(): ...
"""


def test_run_lets_one_celery_beat_work(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example of the documentation: a real Celery beat, two replicas, no overlap."""
    (tmp_path / "shop.py").write_text(CELERY_APP)
    logs = tmp_path / "logs"
    celery = str(Path(sys.executable).with_name("celery"))
    beat = ["celery", "-A", "shop", "--workdir", str(tmp_path), "beat"]

    def replica(name: str) -> Replica:
        monkeypatch.setenv("SHOP_LOG", str(logs / f"{name}.log"))
        schedule = f"--schedule={tmp_path / name}.schedule"
        return start(name, command=[celery, *beat[1:], schedule], stdout=-3)

    first = replica("a")
    first.wait_for_work()
    second = replica("b")
    first.signal(signal.SIGTERM)
    assert first.wait() == 0, first.stderr
    assert first.living() == []
    second.wait_for_work()
    second.signal(signal.SIGKILL)  # and after a crash of the wrapper
    third = replica("c")
    third.wait_for_work()
    assert second.living() == []
    overlaps, total = _overlaps(logs)
    assert (overlaps, total > 0) == (0, True)
    third.signal(signal.SIGTERM)
    assert third.wait() == 0
