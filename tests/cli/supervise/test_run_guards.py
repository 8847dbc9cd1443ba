"""The guards of ``run``: orders that come late, and any two of three that are gone."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kubernetes_leader_election.cli.supervise import (
    linux,
    polled_elector,
    running_command,
    supervisor,
    watchdog,
)
from kubernetes_leader_election.cli.supervise.term_deadline import Deadline
from kubernetes_leader_election.cli.supervise.term_file import TermFacts
from kubernetes_leader_election.cli.supervise.watchdog_link import Limits
from kubernetes_leader_election.cli.supervise.wiring import problem_of
from kubernetes_leader_election.core.timing import Now, believe, cut_short
from kubernetes_leader_election.process import kernel_timers
from kubernetes_leader_election.settings import resolve_settings
from kubernetes_leader_election.testing import LeaseServer
from kubernetes_leader_election.testing.belief_log import count_overlaps
from kubernetes_leader_election.testing.faults import Answer, Fault
from tests.cli.supervise.run_replica import PATIENCE, STEADY, Replica, eventually

ORDERS = Path(__file__).with_name("watchdog_orders.py")
UNSHARE = shutil.which("unshare")

Start = Callable[..., Replica]

only_root = pytest.mark.skipif(
    UNSHARE is None or os.geteuid() != 0,
    reason="a time namespace needs root and `unshare`",
)


@pytest.fixture
def start(
    tmp_path: Path, kubeconfig: Path, request: pytest.FixtureRequest
) -> Iterator[Start]:
    """Start replicas on a Lease of the test's own; end all after it."""
    started: list[Replica] = []
    lease = "".join(x if x.isalnum() else "-" for x in request.node.name)[-60:]

    def begin(name: str, *options: str, **more: object) -> Replica:
        replica = Replica(
            tmp_path,
            name,
            *options,
            kubeconfig=kubeconfig,
            lease=lease.strip("-"),
            **more,
        )
        started.append(replica)
        return replica

    yield begin
    for replica in started:
        replica.close()


def _assert_apart(*replicas: Replica) -> None:
    logs = {replica.name: replica.log for replica in replicas}
    overlaps, total = count_overlaps(logs, "work")
    assert total > 0
    assert overlaps == 0


# Orders that come late --------------------------------------------------------


def _order(scenario: str, marks: Path, *more: str) -> list[dict[str, Any]]:
    command = more or ("sh", "-c", f"echo >> {marks}")
    done = subprocess.run(
        [sys.executable, str(ORDERS), scenario, *command],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize(
    "scenario", ["in time", "no limit", "extended while it was frozen"]
)
def test_watchdog_starts_a_command_in_its_term(tmp_path: Path, scenario: str) -> None:
    """What is refused below is carried out here: the tests can tell."""
    first, second, third = _order(scenario, tmp_path / "marks")
    assert "started" in first
    assert second == {"exited": 0}
    assert third == {"empty": True}
    assert (tmp_path / "marks").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "why"),
    [
        ("between L and the hard limit", "over"),
        ("after the hard limit", "over"),
        ("after a pause of the guest", "over"),
        ("frozen between fork and exec", "over"),
        ("by other clocks", "clocks"),
        ("called off while it was frozen", "called off"),
    ],
)
def test_watchdog_starts_nothing_after_the_term(
    tmp_path: Path, scenario: str, why: str
) -> None:
    """G2, fault 02: the clock comes before an order that waited, and before exec."""
    first, last = _order(scenario, tmp_path / "marks")
    assert why in first["unstarted"]
    assert last == {"empty": True}
    assert not (tmp_path / "marks").exists()


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["extended too late", "an end of long ago"])
def test_watchdog_kills_by_an_order_that_is_old(tmp_path: Path, scenario: str) -> None:
    """G2: a limit that has passed when it is read has passed."""
    said = _order(scenario, tmp_path / "marks", "sleep", "1000")
    assert said[-2:] == [{"exited": signal.SIGKILL}, {"empty": True}]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "number"),
    [
        ("jump of the wall clock", signal.SIGTERM),
        ("jump of the wall clock behind the limit", signal.SIGKILL),
    ],
)
def test_watchdog_ends_a_command_after_a_pause_of_the_guest(
    tmp_path: Path, scenario: str, number: int
) -> None:
    """Rule 14, fault 04: the wall clock alone can show that a term is over."""
    said = _order(scenario, tmp_path / "marks", "sleep", "1000")
    assert said[-2:] == [{"exited": number}, {"empty": True}]


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone may set the wall clock")
def test_watchdog_wakes_when_the_wall_clock_is_set() -> None:
    """Rule 14, fault 04: it looks at the clocks at once, and not at its next timer."""
    alarm, poll = kernel_timers.WallClockAlarm(), select.poll()
    poll.register(alarm.fd, select.POLLIN)

    def is_quiet() -> bool:
        alarm.clear()  # somebody else may set the clock meanwhile, as another test does
        return poll.poll(0) == []

    for microseconds in (1, -1):
        eventually(is_quiet, "nobody sets the clock")
        if not _step_wall_clock(microseconds):
            pytest.skip("this root may not set the wall clock")
        assert poll.poll(PATIENCE * 1000) != []
    os.close(alarm.fd)


def test_watchdog_works_where_nobody_tells_of_the_wall_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A sandbox that knows no such timer costs the alarm, and not the watchdog."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, "timerfd_settime")

    monkeypatch.setattr(kernel_timers, "_set_timer", refuse)
    alarm, poll = kernel_timers.WallClockAlarm(), select.poll()
    poll.register(alarm.fd, select.POLLIN)
    assert poll.poll(0) == []
    os.close(alarm.fd)


def _step_wall_clock(microseconds: int) -> bool:
    """Step it by so little that nobody else can notice; False if that is forbidden."""
    seconds, rest = divmod(microseconds, 1_000_000)
    fields = struct.pack("@I68xqq120x", 0x100, seconds, rest)  # timex, ADJ_SETOFFSET
    order = ctypes.create_string_buffer(fields, len(fields))
    return ctypes.CDLL(None, use_errno=True).adjtimex(order) >= 0


@pytest.mark.slow
def test_run_starts_nothing_that_waited_for_a_frozen_watchdog(
    start: Start, server: LeaseServer, tmp_path: Path
) -> None:
    """G2, fault 02: thawed after L, the watchdog does not begin what is over."""
    marks = tmp_path / "marks"
    note = ["sh", "-c", f'echo $LEADER_ELECTION_TOKEN >> {marks}; test -e "$0"', "/"]
    first = start("a", *STEADY)
    first.wait_for_work()
    # A hard limit that is far behind L, so that the thaw comes between the two.
    late = ("--lease-duration-sec=6", "--renew-deadline-sec=2", "--restart=always")
    late = (*late, "--renew-interval-ms=1000")  # the outage is to come before that
    # And TERM, which the command is sent right after it is started, ends nothing.
    deaf = ("sh", "-c", "trap '' TERM; exec \"$@\"", "sh")
    second = start("b", *late, command=note, prefix=deaf)
    eventually(lambda: second.catches(signal.SIGINT), "the second is there")
    watchdog = eventually(second.find_watchdog, "and its watchdog")
    os.kill(watchdog, signal.SIGSTOP)
    first.signal(signal.SIGTERM)
    eventually(lambda: "fencing token" in second.stderr, "the second leads")
    outage = server.faults.add(Fault(Answer(503), name=second.lease, times=None))
    token = second.stderr.split("fencing token ")[1].split()[0]
    over = ("leadership is over", "giving up leadership")  # as of its first write
    eventually(lambda: any(x in second.stderr for x in over), "and no longer")
    os.kill(watchdog, signal.SIGCONT)
    eventually(lambda: "was not started" in second.stderr, "nothing was started")
    server.faults.remove(outage)
    tokens = eventually(lambda: marks.exists() and marks.read_text().split(), "a start")
    assert token not in tokens


@pytest.mark.slow
def test_run_hands_over_where_its_watchdog_starts_nothing(start: Start) -> None:
    """Fault 08: no command within the term, so another one leads; the exit code tells."""
    first = start("a", *STEADY)
    first.wait_for_work()
    second = start("b")
    eventually(lambda: second.catches(signal.SIGTERM), "the second is there")
    os.kill(eventually(second.find_watchdog, "and its watchdog"), signal.SIGSTOP)
    first.signal(signal.SIGTERM)
    assert first.wait() == 0
    eventually(lambda: "fencing token" in second.stderr, "the second leads")
    third = start("c")
    third.wait_for_work()
    assert second.wait() == 137
    assert second.noted("began") == []
    _assert_apart(first, third)


class _Lifecycle:
    """As much of an elector's life as the limits need."""

    def __init__(self, **settings: Any) -> None:
        self.settings = resolve_settings(lease_name="x", **settings)
        self.belief: Any = None
        self.is_over = False
        self.ended: str | None = None

    def end_term(self, number: int, detail: str = "") -> None:
        """Keep what was said of the end of the work."""
        self.ended = detail

    def term_deadline(self, number: int) -> Any:
        """Give the belief that was set, until it is over."""
        return None if self.is_over else self.belief

    def last_deadline(self, number: int) -> Any:
        """Give it in any case."""
        return self.belief


class _Term:
    number = 1


def _work(lifecycle: _Lifecycle) -> polled_elector.Work:
    return polled_elector.Work(lifecycle, _Term(), None)


@pytest.mark.parametrize("rho", [0.0005, 0.1, 0.3])
def test_limits_leave_room_for_clocks_that_go_wrong(rho: float) -> None:
    """G2: KILL is due at D (1 - rho) / (1 + rho) after the write, and not at D."""
    lifecycle = _Lifecycle(
        lease_duration_sec=20, renew_interval_ms=2000, clock_rate_error=rho
    )
    settings, sent = lifecycle.settings, Now(5000.0, 4000.0, 10**15)
    lifecycle.belief = believe(
        term=1, token=7, sent=sent, settings=settings.election(namespace="default")
    )
    limits = _work(lifecycle).limits()
    assert limits is not None
    hard = 20 * (1 - rho) / (1 + rho)
    for number, clock in enumerate((5000.0, 4000.0, 10**9)):
        begin, term, kill = (limit[number] - clock for limit in limits[:3])
        assert begin == pytest.approx(settings.renew_deadline_sec)
        assert begin < term < kill < hard
        assert kill > hard - 0.26  # as late as it may be
    assert limits.kill_at == limits.kill.boottime
    assert limits.kill_at < limits.backstop_at < 5000.0 + hard


def test_limits_do_not_move_while_a_process_is_frozen() -> None:
    """G2, fault 02: they count from the write; there are none once the term is over."""
    lifecycle = _Lifecycle(lease_duration_sec=20, renew_interval_ms=2000)
    long_ago = Now(1.0, 1.0, 1)
    settings = lifecycle.settings.election(namespace="default")
    lifecycle.belief = believe(term=1, token=7, sent=long_ago, settings=settings)
    limits = _work(lifecycle).limits()
    assert limits is not None
    assert limits.kill_at < 21.0
    lifecycle.belief = None
    assert _work(lifecycle).limits() is None


def _cut(lifecycle: _Lifecycle, lasts: int, since: Now) -> None:
    """Let somebody cut the record short, as far as the belief shows it."""
    settings = lifecycle.settings.election(namespace="default")
    lifecycle.belief = cut_short(
        lifecycle.belief, since=since, lasts=lasts, settings=settings
    )


@pytest.mark.parametrize("lasts", [1, 2, 7, 19])
@pytest.mark.parametrize("ahead", [0.0, 1.0], ids=["even", "a fast monotonic clock"])
def test_limits_follow_a_record_that_is_cut_short(lasts: int, ahead: float) -> None:
    """G2, rule 14, fault 56: rivals go by the record, so KILL does; L is a small one."""
    times = {"renew_deadline_sec": 4, "renew_interval_ms": 1000, "stop_budget_sec": 1.5}
    lifecycle, sent = (
        _Lifecycle(lease_duration_sec=20, **times),
        Now(50.0, 40.0, 10**15),
    )
    settings = lifecycle.settings.election(namespace="default")
    lifecycle.belief = believe(term=1, token=7, sent=sent, settings=settings)
    whole = _work(lifecycle).limits()
    assert whole is not None
    assert whole.kill is not None
    assert whole.kill.boottime > 50.0 + 15.0
    seen = Now(53.0, 43.0 + ahead, 10**15 + 3_000_000)
    _cut(lifecycle, lasts, seen)
    lifecycle.is_over = lasts < 3
    work = _work(lifecycle)
    assert (work.limits() is None) is lifecycle.is_over
    cut = work.last_limits()
    assert cut is not None
    rivals = lasts * 0.9 / 1.1
    for number, clock in enumerate((53.0, 43.0 + ahead, 10**9 + 3.0)):
        term, kill = (limit[number] - clock for limit in cut[1:3])
        assert term < kill < rivals
        assert kill + cut.patience <= rivals + 1e-6
    assert cut.kill_at < cut.backstop_at < 53.0 + rivals


class _Stand:
    """Stand in for what the loop needs; note what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def note(*_: Any, **__: Any) -> Any:
            self.calls.append(name)
            return None

        return note


def _loop(elector: _Stand, link: _Stand) -> supervisor.Supervisor:
    plan = supervisor.Plan(
        command=["true"],
        grace=1.0,
        on_loss="recontend",
        restart="never",
        restart_max_delay=1.0,
    )
    return supervisor.Supervisor(
        plan,
        elector=elector,
        link=link,
        signals=_Stand(),
        terminal=_Stand(),
        term_file=None,
        say=lambda _: None,
    )


def _begin(loop: supervisor.Supervisor, work: polled_elector.Work) -> Any:
    """Let a loop have a command under a term, without a limit so far."""
    facts = TermFacts(
        lease="x",
        namespace="default",
        identity="me",
        token=7,
        deadline=None,
        renew_deadline=15.0,
        origin=("", ""),
    )
    loop._command = running_command.RunningCommand(
        work=work,
        limits=Limits(None, None, None),
        facts=facts,
        started_at=0.0,
        start_by=None,
    )
    return loop._command


def test_run_sets_a_time_for_the_kill_when_the_watchdog_ends_the_term() -> None:
    """G2: while it drains the Lease is renewed, so the limit alone would never come."""
    elector, link = _Stand(), _Stand()
    loop, work = _loop(elector, link), _work(_Lifecycle())
    work.term = SimpleNamespace(remaining=lambda: 10.0)
    command = _begin(loop, work)
    loop._on_said({"overdue": True}, command)
    assert elector.calls == ["step_down"]
    assert link.calls == ["end"]
    assert command.kill_at is not None


@pytest.mark.parametrize(
    "number", [signal.SIGUSR1, signal.SIGHUP, signal.SIGCONT, signal.SIGTSTP]
)
def test_run_keeps_a_signal_until_its_command_is_started(number: int) -> None:
    """The command may run before the watchdog's word of it is read: nothing is lost."""
    elector, link = _Stand(), _Stand()
    loop = _loop(elector, link)
    command = _begin(loop, _work(_Lifecycle()))
    loop._on_signal(number)
    assert link.calls == []
    loop._on_said({"started": 4711}, command)
    assert link.calls == ["signal"]
    loop._on_said({"started": 4711}, command)
    assert link.calls == ["signal"], "it is passed on once"


@pytest.mark.parametrize("word", [{"failed": errno.ENOENT}, {"unstarted": "late"}])
def test_run_takes_a_signal_itself_where_its_command_did_not_start(
    word: dict[str, Any],
) -> None:
    """A hang-up of the terminal is not lost with a command that never was."""
    elector, link = _Stand(), _Stand()
    loop = _loop(elector, link)
    loop._terminal.exists = True
    lifecycle = _Lifecycle()
    command = _begin(loop, _work(lifecycle))
    loop._on_signal(signal.SIGHUP)
    assert loop._signalled is None
    loop._on_said(word, command)
    assert loop._signalled == signal.SIGHUP
    # What never began because it was late has not ended: that term is lost.
    why = "the command could not be started" if "failed" in word else None
    assert lifecycle.ended == why
    assert "signal" not in link.calls


def _leaving(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, SimpleNamespace]:
    """Give a loop whose elector does not come to its end, and its clock."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(
        supervisor, "time", SimpleNamespace(monotonic=lambda: clock.now)
    )
    elector = _Stand()
    elector.running, elector.release_time = True, 4.0
    return _loop(elector, _Stand()), clock


def test_run_leaves_where_its_lease_cannot_be_released(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rule 12: a release takes a bounded time, and so does the end of `run`."""
    loop, clock = _leaving(monkeypatch)
    loop._leave(7)
    assert loop._elector.calls == ["stop"]
    assert loop._patience() == 4.0
    clock.now = 103.9
    loop._leave(7)
    assert not loop._is_over(), "there is time for a release"
    clock.now = 104.0
    assert loop._is_over(), "nothing moves that time"
    assert loop._patience() <= 0.0


def test_run_counts_the_time_to_leave_from_the_end_of_its_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """G5: a command that takes its grace period leaves as much for the release."""
    loop, clock = _leaving(monkeypatch)
    work = _work(_Lifecycle())
    work.end = lambda: None
    command = _begin(loop, work)
    loop._leave(7)
    clock.now = 125.0
    assert not loop._is_over(), "the command has not ended"
    loop._on_empty(command)
    assert not loop._is_over(), "nor was the Lease released"
    clock.now = 129.0
    assert loop._is_over()


def test_livez_gives_the_loop_three_of_its_longest_turns() -> None:
    """A busy machine is no dead loop: the kubelet would end a leader for it."""
    longest = supervisor.LONGEST_TURN
    assert problem_of(2.9 * longest) == ""
    assert problem_of(3.1 * longest) == "the loop has not turned for 16 s"


@pytest.mark.parametrize("lasts", [1, 7], ids=["and the term is over", "and goes on"])
def test_run_tells_its_guards_that_the_record_was_cut_short(lasts: int) -> None:
    """G2, rule 14, fault 56: the limit of the watchdog, and that of the backstop."""
    lifecycle, link = (
        _Lifecycle(lease_duration_sec=20, renew_interval_ms=2000),
        _Stand(),
    )
    loop, work = _loop(_Stand(), link), _work(lifecycle)
    sent = linux.read_clocks()
    settings = lifecycle.settings.election(namespace="default")
    lifecycle.belief = believe(term=1, token=7, sent=sent, settings=settings)
    told: list[Limits] = []
    link.extend = told.append
    command = _begin(loop, work)
    loop._renewed(command)
    _cut(lifecycle, lasts, sent)
    lifecycle.is_over = lasts == 1
    for _ in range(2):
        loop._renewed(command)
    whole, cut = told
    assert cut.kill_at < sent.boottime + lasts * 0.9 / 1.1 < whole.kill_at
    assert command.last_instant() == cut.kill_at


def test_watchdog_goes_on_killing_when_a_clock_steps_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rule 14: a limit that has passed once is not undone by a later one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    errand = watchdog.Errand(
        command=["true"], ignored=frozenset(), grace=1.0, scratch=None
    )
    guard, kills = watchdog.Watchdog(theirs, errand, mask=()), []
    monkeypatch.setattr(guard, "_kill", kills.append)
    guard._command = command = watchdog.Command()
    for at in (1.0, 1e12):
        limit = Deadline(at, at, at, 1e12)
        command.take_limits({"limits": [limit, limit, limit]})
        guard._enforce()
    assert len(kills) == 2
    ours.close()
    theirs.close()
    os.close(guard._timer.fd)
    os.close(guard._wall.fd)


def test_run_orders_nothing_when_it_was_frozen_since_it_acquired() -> None:
    """G2, fault 02: a term that is over when its limits are asked for starts nothing."""
    elector, link, lifecycle = _Stand(), _Stand(), _Lifecycle()
    work = _work(lifecycle)
    work.end = lambda: elector.calls.append("end")
    elector.join = lambda _: work
    elector.assumed = False
    loop = _loop(elector, link)
    loop._begin_work()
    assert elector.calls == ["end"]
    assert link.calls == []


@pytest.mark.slow
def test_watchdog_that_is_killed_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    """G2, fault 01: a child that lost its parent before it could follow it ends."""
    said = _order("orphaned at once", tmp_path / "marks")
    assert said[-2:] == [{"exited": 127 << 8}, {"empty": True}]
    assert not (tmp_path / "marks").exists()


@pytest.mark.slow
def test_watchdog_says_that_no_process_is_left(tmp_path: Path) -> None:
    """A limit of the system is an error of the command's start, not of the watchdog."""
    said = _order("no process is left", tmp_path / "marks")
    assert said == [{"failed": errno.EAGAIN}, {"empty": True}]


# Two of three -----------------------------------------------------------------


def test_guards_are_not_called_as_run_is(start: Start) -> None:
    """`pkill -f` with a word of the command line of `run` reaches neither guard."""
    replica = start("a", "--quiet")
    replica.wait_for_work()
    lines = {}
    for pid in (replica.watchdog(), replica.backstop()):
        line = Path(f"/proc/{pid}/cmdline").read_bytes().strip(b"\0")
        lines[pid] = line
    assert list(lines.values()) == [b"leader-watchdog", b"leader-backstop"]
    for pid, line in lines.items():
        assert Path(f"/proc/{pid}/comm").read_bytes().strip() == line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("killed", "frozen"),
    [
        (("run", "watchdog"), ()),
        (("watchdog", "run"), ()),
        (("run", "backstop"), ()),
        (("watchdog", "backstop"), ()),
        ((), ("run", "watchdog")),
        ((), ("run", "backstop")),
        (("run",), ("watchdog",)),
        (("watchdog",), ("run",)),
    ],
    ids=lambda who: " and ".join(who) or "nobody",
)
def test_run_ends_its_command_when_two_of_three_are_gone(
    start: Start, tmp_path: Path, killed: tuple[str, ...], frozen: tuple[str, ...]
) -> None:
    """G2, faults 01 and 02: whoever is left ends all, before another may start."""
    first = start("a", child=("--ignore-term", "--grandchild"))
    eventually(lambda: first.noted("grandchild"), "there is a grandchild")
    second = start("b")
    eventually(lambda: second.catches(signal.SIGTERM), "the second is there")
    pids = {
        "run": first.process.pid,
        "watchdog": first.watchdog(),
        "backstop": first.backstop(),
    }
    for names, number in ((frozen, signal.SIGSTOP), (killed, signal.SIGKILL)):
        for name in names:
            os.kill(pids[name], number)
    second.wait_for_work()
    left = set(first.living()) - set(pids.values())
    assert left == set()
    _assert_apart(first, second)
    if {"run", "watchdog"} <= set(killed):
        # The backstop ends after the command: its folder goes then, the second's stays.
        eventually(lambda: len(_folders(tmp_path)) == 1, "the first's folder is gone")
        assert str(second.process.pid) in _folders(tmp_path)[0].name


@pytest.mark.slow
def test_run_ends_the_command_without_its_watchdog_and_spares_the_backstop(
    start: Start, tmp_path: Path
) -> None:
    """Fault 01: it is who sees to what is left, and the folder, if `run` is killed next."""
    replica = start("a", child=("--ignore-term", "--grandchild"))
    eventually(lambda: replica.noted("grandchild"), "there is a grandchild")
    run, backstop = replica.process.pid, replica.backstop()
    watchdog = replica.watchdog()
    os.kill(backstop, signal.SIGSTOP)  # so that it cannot act, nor end, itself
    os.kill(watchdog, signal.SIGKILL)
    eventually(lambda: set(replica.living()) <= {run, backstop}, "the command is gone")
    assert backstop in replica.living()
    os.kill(run, signal.SIGKILL)
    os.kill(backstop, signal.SIGCONT)
    eventually(lambda: replica.living() == [], "the backstop has ended")
    assert _folders(tmp_path) == []


def _folders(parent: Path) -> list[Path]:
    return list(parent.glob("leader-election-*"))


@pytest.mark.slow
def test_run_kills_all_three_and_the_kernel_kills_the_command(start: Start) -> None:
    """What is promised where nobody is left: the kernel ends the command itself."""
    replica = start("a", child=("--ignore-term",))
    replica.wait_for_work()
    for pid in (replica.backstop(), replica.watchdog(), replica.process.pid):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: replica.living() == [], "nothing is left")


# Clocks -----------------------------------------------------------------------


@only_root
@pytest.mark.slow
@pytest.mark.parametrize("offset", ["--boottime=1000", "--monotonic=1000"])
def test_run_keeps_its_limits_in_a_time_namespace(start: Start, offset: str) -> None:
    """Rule 14: the timer is of the clock that the limits are of, whatever it shows."""
    prefix = (str(UNSHARE), "--time", offset, "--fork", "--kill-child")
    first = start("a", child=("--ignore-term",), prefix=prefix)
    eventually(lambda: first.noted("began"), "the first works")
    second = start("b")
    watchdog = first.watchdog()
    run = next(p for p in first.living() if _is_run(p))
    os.kill(run, signal.SIGSTOP)
    os.kill(first.backstop(), signal.SIGSTOP)
    second.wait_for_work()
    assert set(first.living()) <= {first.process.pid, run, watchdog, first.backstop()}
    assert second.log.instants("work")[0] > 0


def _is_run(pid: int) -> bool:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return b"unshare" not in words[0] and b"run" in words


@only_root
@pytest.mark.slow
def test_run_refuses_clocks_that_its_guards_would_not_have(tmp_path: Path) -> None:
    """After `unshare --time` without --fork, children read other clocks: exit code 2."""
    program = (
        "import ctypes, runpy, sys\n"
        "assert ctypes.CDLL(None, use_errno=True).unshare(0x80) == 0\n"
        f"sys.argv[1:] = ['run', 'x', '--', 'touch', '{tmp_path}/marks']\n"
        "runpy.run_module('kubernetes_leader_election', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 2, done
    assert "time namespace" in done.stderr
    assert list(tmp_path.iterdir()) == []
