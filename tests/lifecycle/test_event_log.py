"""What an elector writes to its log: the lines that a program has, as they are made."""

from __future__ import annotations

import logging

import pytest

from kubernetes_leader_election import events
from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.engine.clocks import SystemClock
from kubernetes_leader_election.engine.view import View
from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.lifecycle.event_log import EventLog
from kubernetes_leader_election.process.log_thread import shared_log_thread
from kubernetes_leader_election.sync import Elector
from kubernetes_leader_election.text import LONGEST_LINE, printable
from kubernetes_leader_election.values import replace

ORIGIN = {"lease": "billing", "namespace": "shop", "identity": "a"}
ACQUIRED = m.LeadershipAcquired(**ORIGIN, term=1, token_if_any=41)
HOSTILE = "b\r\nWARNING \x1b[31m Lease shop/billing: a is the leader" + "x" * 1_000_000


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self):
        """Tell the time that was set."""
        return self.now


@pytest.fixture
def clock():
    """Give a clock at zero."""
    return Clock()


@pytest.fixture
def log(clock):
    """Give the log of an elector, which writes to a logger that pytest hears."""
    logger = logging.getLogger("billing")
    return EventLog(logger, where=lambda: "Lease shop/billing", clock=clock)


@pytest.fixture
def lines(caplog):
    """Give a function that returns what was logged, as soon as all of it was."""
    caplog.set_level(logging.DEBUG)

    def written():
        assert shared_log_thread().flush(30.0)
        # Electors of tests before may still have a last word, in the log that is theirs.
        ours = [r for r in caplog.records if r.name == "billing"]
        return [(r.levelname, r.getMessage()) for r in ours]

    return written


def test_beginning_of_a_term_is_a_line(log, lines):
    """Who leads, and with which token."""
    log.acquired(ACQUIRED)
    assert lines() == [
        ("INFO", "Lease shop/billing: a is the leader, fencing token 41")
    ]


@pytest.mark.parametrize(
    ("gap", "why", "said"),
    [
        (0.0314, "release", "; nobody led for 0.031 s since the release"),
        (1.26, "proof", "; nobody led for 1.3 s since the last renewal; took over: x"),
        (14.2, "expiry", "; nobody led for 14.2 s since the last renewal"),
        (0.2, "deletion", "; nobody led for 0.200 s since the Lease was deleted"),
        (
            61.0,
            "outage",
            "; nobody led for 61.0 s since one was last seen to lead: requests failed",
        ),
        (None, "expiry", ""),
        (None, None, ""),
    ],
)
def test_beginning_of_a_term_says_how_long_nobody_led(log, lines, gap, why, said):
    """Whoever reads the log of the new leader need not look for that of the old one."""
    proof = "x" if why == "proof" else ""
    log.acquired(replace(ACQUIRED, gap_sec=gap, why=why, crash_proof=proof))
    ((_, text),) = lines()
    assert text == f"Lease shop/billing: a is the leader, fencing token 41{said}"


def test_beginning_of_a_term_says_why_nothing_was_proved(log, lines):
    """What others may have written is escaped and cut, as everywhere (fault 51)."""
    gone = "the pod is gone\x1b"
    log.acquired(replace(ACQUIRED, gap_sec=14.2, why="expiry", no_proof=gone))
    ((_, text),) = lines()
    assert text.endswith(
        "since the last renewal; the end of who led before was not proven: the pod is "
        "gone\\x1b"
    )


def test_every_reason_of_a_gap_has_words(log, lines):
    """No reason is added without them."""
    for why in events.GapReason.__args__:
        log.acquired(replace(ACQUIRED, gap_sec=1.0, why=why))
    assert len({text for _, text in lines()}) == len(events.GapReason.__args__) - 1


@pytest.mark.parametrize(
    ("reason", "detail", "line"),
    [
        ("stopped", "", "a gave up leadership: it was stopped"),
        ("work_ended", "", "a gave up leadership: its work ended"),
        (
            "work_failed",
            "bill raised ValueError",
            "a gave up leadership: its work failed (bill raised ValueError)",
        ),
        (
            "another_holder",
            "held by b",
            "a lost leadership: another holder has the Lease (held by b)",
        ),
        (
            "renew_deadline",
            "",
            (
                "a lost leadership: the renew deadline passed "
                "(no renewal succeeded for 9.2 s)"
            ),
        ),
    ],
)
def test_loss_is_a_line_with_its_reason_in_words(
    log, lines, clock, reason, detail, line
):
    """A loss that nobody asked for is a warning."""
    log.acquired(ACQUIRED)
    clock.now = 5.0
    log.renewed()
    clock.now = 14.2
    log.lost("a", reason, detail)
    level = "INFO" if reason in events.PLANNED else "WARNING"
    assert lines()[-1] == (level, f"Lease shop/billing: {line}")


ABOUT = {"lease": "billing", "namespace": "shop", "identity": "a"}


def test_record_carries_the_facts_for_logs_that_programs_read(caplog):
    """Lease, namespace and identity always; the token in its term; the reason of a loss."""
    caplog.set_level(logging.INFO)
    logger = logging.getLogger("billing")
    log = EventLog(logger, where=lambda: "here", about=lambda: ABOUT)
    error = ZeroDivisionError("a hundred % of it")
    log.leader_changed("b")
    log.acquired(ACQUIRED)
    log.trouble("a handler raised", error=error)
    log.lost("a", "deleted", "")
    log.say("info", "the last word")
    assert shared_log_thread().flush(30.0)
    records = [record for record in caplog.records if record.name == "billing"]
    for record in records:
        assert {name: getattr(record, name) for name in ABOUT} == ABOUT
    assert [record.token for record in records] == [None, 41, 41, 41, None]
    assert [record.reason for record in records] == [None, None, None, "deleted", None]
    assert [record.exc_info and record.exc_info[1] for record in records] == [
        *(None, None, error, None, None)
    ]


def test_record_of_an_application_that_has_such_names_itself_is_written(caplog):
    """The standard library refuses to overwrite what a record factory has set."""
    factory = logging.getLogRecordFactory()

    def with_namespace(*args, **named):
        record = factory(*args, **named)
        record.namespace = "of the application"
        return record

    logging.setLogRecordFactory(with_namespace)
    try:
        logger = logging.getLogger("billing")
        log = EventLog(logger, where=lambda: "here", about=lambda: ABOUT)
        log.trouble("a handler raised", error=ZeroDivisionError("oh"))
        assert shared_log_thread().flush(30.0)
    finally:
        logging.setLogRecordFactory(factory)
    (record,) = [record for record in caplog.records if record.name == "billing"]
    assert record.namespace == "of the application"
    assert record.exc_info[0] is ZeroDivisionError


class Braces:
    """A logger that fills in {}, as loguru does, and only where there is something."""

    def __init__(self):
        self.lines = []

    def _take(self, text, *args, **named):
        self.lines.append(text.format(*args, **named) if args or named else text)

    debug = info = warning = error = _take


def test_logger_with_a_format_of_its_own_gets_whole_lines():
    """It would have written %s: the whole line is one that nobody fills in any more."""
    logger = Braces()
    log = EventLog(logger, where=lambda: "Lease shop/billing", about=lambda: ABOUT)
    log.acquired(ACQUIRED)
    log.lost("a", "deleted", "by {b}, a 100 % sure")
    log.trouble("the handler raised", error=ZeroDivisionError("of {c}"))
    assert shared_log_thread().flush(30.0)
    acquired, lost, trouble = logger.lines
    assert acquired == "Lease shop/billing: a is the leader, fencing token 41"
    assert lost.endswith("(by {b}, a 100 % sure)")
    first, *_, last = trouble.splitlines()
    assert first == "Lease shop/billing: the handler raised"
    assert last == "ZeroDivisionError: of {c}"


class Bound(Braces):
    """A logger that facts can be bound to, as those of loguru and structlog."""

    def bind(self, **facts):
        """Give a logger that writes them to each line."""
        bound = type(self)()
        bound.lines = self.lines
        bound._take = None
        for level in ("debug", "info", "warning", "error"):
            setattr(bound, level, lambda text: self.lines.append((text, facts)))
        return bound


def test_logger_that_takes_facts_gets_them_by_bind():
    """The packages that are known to; others have a bind() that means something else."""
    logger = type("Logger", (Bound,), {"__module__": "loguru._logger"})()
    for one in (logger, other := Bound()):
        log = EventLog(one, where=lambda: "here", about=lambda: ABOUT)
        log.lost("a", "deleted", "")
    assert shared_log_thread().flush(30.0)
    ((_, facts),) = logger.lines
    assert facts == {**ABOUT, "token": None, "reason": "deleted"}
    assert isinstance(other.lines[0], str)


def test_every_reason_of_a_loss_has_words():
    """No reason is left to be shown as a code word."""
    assert set(events.REASONS) == set(events.LossReason.__args__)
    assert set(events.REASONS) > events.PLANNED
    assert not any("_" in words for words in events.REASONS.values())


def test_time_without_a_renewal_is_that_of_the_term_alone(log, lines, clock):
    """What a term before had is nothing that this one lost."""
    log.acquired(ACQUIRED)
    log.lost("a", "stopped", "")
    clock.now = 100.0
    log.lost("a", "renew_deadline", "")
    assert lines()[-1][1].endswith("lost leadership: the renew deadline passed")


def test_recurring_error_is_logged_once_until_things_go_well_again(log, lines):
    """One line for the error, one for its end; then it is news again."""
    for _ in range(3):
        log.failed(LeaseApiError("100 % refused"))
    log.renewed()
    log.renewed()
    log.failed(LeaseApiError("100 % refused"))
    found = lines()
    assert found[0] == found[2] == ("WARNING", "100 % refused")
    level, line = found[1]
    assert level == "INFO"
    assert line.startswith("Lease shop/billing: recovered after 3 errors in ")
    assert len(found) == 3


def test_text_of_others_is_escaped_and_cut(log, lines):
    """Fault 51: line breaks and escape codes of others cannot forge log lines."""
    log.leader_changed(HOSTILE)
    log.leader_changed(None)
    log.failed(LeaseApiError(HOSTILE))
    log.lost("a", "another_holder", HOSTILE)
    found = [line for _, line in lines()]
    assert len(found) == 4
    assert all(line.isprintable() and len(line) < 2200 for line in found)
    assert found[1] == "Lease shop/billing: held by nobody"
    assert len(printable("y" * 1_000_000, longest=LONGEST_LINE)) == LONGEST_LINE


@pytest.mark.parametrize(
    "event",
    [
        m.LeaderChanged(**ORIGIN, holder_identity=HOSTILE),
        m.ErrorOccurred(**ORIGIN, error=LeaseApiError(HOSTILE)),
        m.LeadershipLost(
            **ORIGIN, term=1, token=41, reason="another_holder", detail=HOSTILE
        ),
    ],
    ids=lambda event: type(event).__name__,
)
def test_log_of_an_elector_escapes_what_others_wrote(event, lines):
    """Fault 51, on the way that a program has: from the engine to its own logger."""
    logger = logging.getLogger("billing")
    elector = Elector(lease_name="billing", identity="a", log=logger, auto_close=False)
    view = View(state=State.WAITING, changed_at=SystemClock().now())
    if isinstance(event, m.LeadershipLost):
        elector._lifecycle.on_event(
            m.LeadershipAcquired(**ORIGIN, term=1, token_if_any=41), view
        )
    elector._lifecycle.on_event(event, view)
    found = lines()
    assert found
    for _, line in found:
        assert line.isprintable()
        assert len(line) < 2200
    assert any("\\r\\n" in line for _, line in found)


@pytest.mark.parametrize("variable", ["/etc/config", ""])
def test_leadership_that_is_assumed_is_a_warning(log, lines, monkeypatch, variable):
    """An election may have been meant: the line names the variable, and what to pass."""
    monkeypatch.setenv("KUBECONFIG", variable)
    log.assumed()
    ((said, text),) = lines()
    assert said == "WARNING"
    assert "leadership is assumed" in text
    assert ("KUBECONFIG" in text and "credentials.kubeconfig()" in text) == bool(
        variable
    )


@pytest.mark.parametrize(
    ("pod", "given", "warned"),
    [("shop", {}, True), ("default", {}, False), ("shop", {"namespace": "n"}, False)],
    ids=["elsewhere", "there", "said"],
)
def test_pod_in_another_namespace_than_its_lease_is_warned_of(
    front, log, lines, monkeypatch, pod, given, warned
):
    """Unless the program said where: its rights are likely where the pod is."""
    monkeypatch.setenv("POD_NAMESPACE", pod)
    elector = front.elector(log=log.logger, **given)
    elector.start()
    elector.stop(timeout=30.0)
    said = [text for level, text in lines() if "POD_NAMESPACE is" in text]
    assert bool(said) == warned
