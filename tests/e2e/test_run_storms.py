"""`run` in storms: signals at random instants, kills, freezes, outages, process 1."""

from __future__ import annotations

import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cli.supervise.run_replica import Replica, eventually

from conftest import RunPlace
from kubernetes_leader_election.testing import TcpProxy
from kubernetes_leader_election.testing.belief_log import count_overlaps, read_log

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]

ROUNDS = 200
NAMES = ("a", "b", "c")
ENDS = {0, 128 + signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGKILL}
"""How a wrapper ends at TERM or INT: as its command did, which a second one kills."""
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


def _assert_no_defect(folder: Path) -> None:
    for path in sorted(folder.glob("*.stderr")):
        said = path.read_text()
        for word in ("Traceback", "defect", "Fatal Python error"):
            assert word not in said, f"{path.stem} said:\n{said}"


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
    codes: dict[int, int] = {}
    for _ in range(ROUNDS):
        time.sleep(chance.random() * 0.4)  # the storm's own rhythm: any instant at all
        name = chance.choice(NAMES)
        replica = replicas[name]
        kind = chance.choices(
            ["TERM", "INT", "twice", "pass", "KILL", "freeze"], [35, 15, 15, 15, 12, 8]
        )[0]
        if kind == "INT" and not replica.catches(signal.SIGTERM):
            kind = "TERM"  # Python, as it starts, has a traceback of its own for INT
        sent[kind] = sent.get(kind, 0) + 1
        assert replica.process.poll() is None, f"{name} ended by itself"
        if kind == "pass":
            number = chance.choice([signal.SIGUSR2, signal.SIGWINCH])
            if replica.catches(number):  # before that, USR2 ends any program
                replica.signal(number)
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
        code = replica.wait()
        codes[code] = codes.get(code, 0) + 1
        if kind == "KILL":
            assert code == -signal.SIGKILL
            _gone(replica)
        else:
            # TERM is not caught in the first moment: then the kernel ends it.
            assert code in {*ENDS, -signal.SIGTERM}, (kind, replica.stderr)
        assert replica.living() == []
        replicas[name] = start(name, *options, child=child)
    for replica in replicas.values():
        assert replica.process.poll() is None, f"{replica.name} ended by itself"
        replica.signal(signal.SIGTERM)
    for replica in replicas.values():
        assert replica.wait() in {*ENDS, -signal.SIGTERM}, replica.stderr
        assert replica.living() == []
    _assert_no_defect(tmp_path / "logs")
    overlaps, total = _overlaps(tmp_path / "logs")
    assert total > ROUNDS
    assert overlaps == 0
    tell(f"{ROUNDS} signals {sent}, ends {codes}, 0 of {total} instants overlap")


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

    A short one is not noticed; in a long one the watchdog ends the command in time.
    """
    replicas = [start(name) for name in NAMES[:2]]
    longs = 0
    # One that is surely longer than the term (1.9 s), and 19 by chance.
    for pause in (3.0, *(chance.random() * 4.0 for _ in range(19))):
        leader = eventually(
            lambda: next(filter(Replica.works, replicas), None), "somebody works"
        )
        frozen = leader.signal(signal.SIGSTOP)
        time.sleep(pause)  # how long the freeze is: the input, not a wait for anything
        longs += time.monotonic() - frozen > 2.0
        leader.signal(signal.SIGCONT)
    assert longs > 0
    assert "SIGTERM" in {name for r in replicas for name in r.noted("signal")}
    _assert_no_defect(tmp_path / "logs")
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


def test_run_hands_over_within_seconds_of_a_crash(start: Start, tmp_path: Path) -> None:
    """G7: a Lease of 300 s is released after a SIGSEGV; the second one starts at once."""
    long = "--lease-duration-sec=300"  # nobody here waits until it runs out
    first = start("a", long, child=("--crash", "--last=1"))
    first.wait_for_work()
    second = start("b", long)
    assert first.wait() == 128 + signal.SIGSEGV
    second.wait_for_work()  # PATIENCE is a fifth of the Lease
    assert first.living() == []
    tokens = [int(x) for x in (*first.noted("token"), *second.noted("token"))]
    assert tokens[0] < tokens[1]
    second.signal(signal.SIGTERM)
    assert second.wait() == 0
    overlaps, total = _overlaps(tmp_path / "logs")
    assert (overlaps, total > 0) == (0, True)


def test_run_ends_at_a_sigterm_right_after_its_start(
    start: Start, tmp_path: Path, chance: random.Random
) -> None:
    """G2, fault 14: ten TERMs at instants in the first 0.3 s, each beside a rival."""
    for number in range(10):
        names = chance.sample(NAMES, 2)
        short, rival = (start(name, child=("--grandchild",)) for name in names)
        time.sleep(chance.random() * 0.3)  # the instant is the input, drawn by lot
        short.signal(signal.SIGTERM)
        assert short.wait() in {*ENDS, -signal.SIGTERM}, short.stderr
        assert short.living() == [], f"round {number}"
        rival.wait_for_work()
        rival.signal(signal.SIGTERM)
        assert rival.wait() in ENDS, rival.stderr
        assert rival.living() == [], f"round {number}"
    _assert_no_defect(tmp_path / "logs")
    overlaps, total = _overlaps(tmp_path / "logs")
    assert (overlaps, total > 0) == (0, True)


def _check(environ: dict[str, str], seconds: float) -> tuple[float, int]:
    """Call `kle check`; give the instant before it and its exit code."""
    began = time.monotonic()
    kle = Path(sys.executable).with_name("kle")
    words = [str(kle), "check", "--quiet", f"--seconds={seconds}"]
    return began, subprocess.run(words, env=environ, check=False).returncode


def test_check_says_no_in_time_while_the_wrapper_is_frozen(
    start: Start, tmp_path: Path
) -> None:
    """G1, fault 02: the real `kle check` with the command's variables, beside a rival."""
    first = start("a")
    first.wait_for_work()
    raw = Path(f"/proc/{first.noted('began')[0]}/environ").read_text()
    environ = dict(x.split("=", 1) for x in raw.split("\0") if x)
    eventually(lambda: _check(environ, 0.01)[1] == 0, "check says yes while it leads")
    assert _check(environ, 60.0)[1] == 1  # longer than any term here
    second = start("b")
    first.signal(signal.SIGSTOP)
    answers: list[tuple[float, int]] = []
    while not second.works():
        answers.append(_check(environ, 0.01))
        assert len(answers) < 1000
    answers.append(_check(environ, 0.01))
    (rival,) = [x.instant for x in second.log.lines if x.what == "began"]
    assert {code for _, code in answers} <= {0, 1}
    assert [began for began, code in answers if code == 0 and began > rival] == []
    assert answers[-1][1] == 1
    first.signal(signal.SIGCONT)
    overlaps, total = _overlaps(tmp_path / "logs")
    assert (overlaps, total > 0) == (0, True)


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
