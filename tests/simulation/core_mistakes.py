"""
One-line mistakes of the core, as replacements of its text.

Written by going through the core line by line: each condition dropped or turned round,
each clock, uid and version taken for another, each thing that protects something left
out. A mistake is found when a world breaks a guarantee with it; which worlds are tried
says :func:`worlds`. A text that is not found exactly once fails loudly, so that the list
is kept when the core changes.

Not here is what changes nothing that anybody could see from outside:

- the request ids of answers are not compared: a driver passes no answer on that was
  abandoned, and there is one request of a kind at a time;
- a refused try is not forgotten: it cannot land any more;
- CLOCK_MONOTONIC is left out of a belief: it never shows more than CLOCK_BOOTTIME;
- a belief without the limit of how far the wall clock may be ahead, or without its
  deadline by the wall clock: whichever is left ends a term that a pause outlasted;
- later tries of a term are forgotten when one is confirmed: each is on a version that
  the confirmed one replaced, so none can land;
- doubt is not ended by a proof, or by the end of a release: the read that is due ends it
  a moment later, or the state that follows does;
- a wish to step down is heard while draining: it is for this very term;
- a release goes on after the driver failed: the same write is made, or given up;
- a write under way is not forgotten with its term: its answer finds no term;
- older stamps are kept as formers of a new term, or older tries as its open ones: the
  newer write cannot be undone but by a restore, which ends the term anyway.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

from kubernetes_leader_election.core import messages
from kubernetes_leader_election.core.election import Election
from kubernetes_leader_election.testing.simulation.checkers import Violation
from kubernetes_leader_election.testing.simulation.generate import make_plan
from kubernetes_leader_election.testing.simulation.plan import Profile
from kubernetes_leader_election.testing.simulation.world import run_plan
from kubernetes_leader_election.values import hasten

CORE: Final = Path(messages.__file__).parent
COPIED: Final = (
    "timing",
    "record",
    "wishes",
    "notes",
    "states",
    "observation",
    "orders",
    "term",
    "life",
    "sightings",
    "answers",
    "election",
)
"""Modules of a mistaken core, lower ones first; messages are shared with the worlds."""

ORDER: Final[tuple[Profile, ...]] = (
    "hands",
    "default",
    "quiet",
    "words",
    "hands",
    "default",
    "default",
    "slow sends",
    "hands",
    "crowd",
    *("default", "hands", "default", "rivals", "default", "storm") * 2,
    *("default", "default", "words", "hands"),
)
"""Profiles in the order in which their worlds are tried, again and again."""

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Mistake:
    """One line of the core, and what is written there instead."""

    name: str
    module: str
    right: str
    wrong: str


def mistaken(mistake: Mistake) -> type[Election]:
    """
    Return a core with one mistake: a copy of the real one under another name.

    Raises:
        ValueError: the core does not have the text, or has it more than once.

    """
    package = f"mistaken_core_{next(_numbers)}"
    parent = ModuleType(package)
    parent.__path__ = []
    sys.modules[package] = parent
    sys.modules[f"{package}.messages"] = messages
    parent.messages = messages  # type: ignore[attr-defined]
    for name in COPIED:
        text = (CORE / f"{name}.py").read_text(encoding="utf-8")
        if name == mistake.module:
            found = text.count(mistake.right)
            if found != 1:
                msg = f"{mistake.name!r}: its text is {found} times in core/{name}.py"
                raise ValueError(msg)
            text = text.replace(mistake.right, mistake.wrong)
        if name == "states":
            # The worlds compare states with those of the real core.
            text, cuts = re.subn(
                r"(?s)class State\(enum.Enum\):.*?(?=# Members by names)",
                "from kubernetes_leader_election.core_.states import Fact, State\n",
                text,
            )
            assert cuts == 1
        text = text.replace("kubernetes_leader_election.core.", f"{package}.")
        text = text.replace(
            "kubernetes_leader_election.core import", f"{package} import"
        )
        text = text.replace(
            "kubernetes_leader_election.core_.", "kubernetes_leader_election.core."
        )
        module = ModuleType(f"{package}.{name}")
        sys.modules[module.__name__] = module
        setattr(parent, name, module)
        exec(compile(text, f"{package}/{name}.py", "exec"), module.__dict__)
    hasten(
        parent.orders.PendingRead,  # type: ignore[attr-defined]
        parent.orders.PendingWrite,  # type: ignore[attr-defined]
        parent.term.Try,  # type: ignore[attr-defined]
    )
    return parent.election.Election  # type: ignore[attr-defined, no-any-return]


def _mistakes() -> Iterator[Mistake]:
    def on(module: str, name: str, right: str, wrong: str) -> Mistake:
        return Mistake(name, module, right, wrong)

    # timing.py ----------------------------------------------------------------
    yield on(
        "timing",
        "belief ignores CLOCK_BOOTTIME",
        "left = by_boottime - boottime",
        "left = by_monotonic - monotonic",
    )
    yield on(
        "timing",
        "belief lasts for D",
        "good_for = wall / MICROSECONDS - boottime, settings.renew_deadline",
        "good_for = wall / MICROSECONDS - boottime, settings.lease_duration",
    )
    yield on(
        "timing",
        "belief ignores the wall clock",
        "if by_wall < left:",
        "if False:",
    )
    # observation.py -----------------------------------------------------------
    yield on(
        "observation",
        "candidate takes the larger clock",
        "by_monotonic if by_monotonic < by_boottime else by_boottime",
        "by_monotonic if by_monotonic > by_boottime else by_boottime",
    )
    yield on(
        "observation",
        "change judged without the uid",
        "before.record != record or before.uid != uid",
        "before.record != record",
    )
    yield on(
        "observation",
        "change judged by the version",
        "before.record != record or before.uid != uid",
        "before.version != version",
    )
    yield on(
        "observation",
        "change judged by the holder alone",
        "before.record != record or before.uid != uid",
        "before.record.holder_identity != record.holder_identity",
    )
    yield on(
        "observation",
        "own duration instead of the record's",
        "self.wait = float(record.duration(self._own_duration))",
        "self.wait = float(self._own_duration)",
    )
    yield on(
        "observation",
        "missing Lease waited for by own duration alone",
        "self.wait = max(float(self._own_duration), self._held_for)",
        "self.wait = float(self._own_duration)",
    )
    yield on(
        "observation",
        "missing Lease waited for by the record's duration alone",
        "self.wait = max(float(self._own_duration), self._held_for)",
        "self.wait = self._held_for",
    )
    yield on(
        "observation",
        "missing Lease is free",
        "if self.snapshot is not None or not self.seen_before:",
        "if True:",
    )
    yield on(
        "observation",
        "never seen is not free when missing",
        "if self.snapshot is not None or not self.seen_before:",
        "if self.snapshot is not None:",
    )
    yield on(
        "observation",
        "all is forgotten at a stop",
        "self.snapshot, self.since, self.missing = None, None, False\n",
        "self.snapshot, self.since, self.missing = None, None, False\n"
        "        self.seen_before = False\n",
    )
    yield on(
        "observation",
        "nothing is forgotten at a stop",
        "self.snapshot, self.since, self.missing = None, None, False\n",
        "return\n",
    )
    yield on(
        "observation",
        "expired a tenth too early",
        "return EXPIRED if self.left(now) <= 0.0 else HELD",
        "return EXPIRED if self.left(now) <= 0.1 * self.wait else HELD",
    )
    yield on(
        "observation",
        "older news are news",
        "return snapshot.version > self.version",
        "return snapshot.version != self.version",
    )
    yield on(
        "observation",
        "bookmark taken as news of the Lease",
        "            self.watch_from = resource_version\n\n    def see",
        "            self.hear(resource_version, version)\n\n    def see",
    )
    yield on(
        "observation",
        "repeated 404 restarts the wait",
        "        if self.missing:\n            return False\n",
        "",
    )
    # record.py ----------------------------------------------------------------
    yield on(
        "record",
        "absent duration is our own",
        "return max(own, ASSUMED_DURATION)",
        "return own",
    )
    yield on(
        "record",
        "holder is not compared in a stamp",
        "            and record.holder_identity == holder_identity\n",
        "",
    )
    yield on(
        "record",
        "acquire time is not compared in a stamp",
        "and record.acquire_time == acquire_time",
        "and True",
    )
    yield on(
        "record",
        "renew time is not compared in a stamp",
        "record.renew_time == renew_time\n",
        "True\n",
    )
    yield on(
        "record",
        "transitions are not raised",
        "(snapshot.record.lease_transitions or 0) + 1, MAX_INT32",
        "(snapshot.record.lease_transitions or 1), MAX_INT32",
    )
    yield on(
        "record",
        "what others wrote in the spec and metadata is dropped",
        "        **snapshot.lease,\n",
        '        **{**snapshot.lease, "metadata": {k: v for k, v in'
        ' snapshot.lease["metadata"].items() if k != "labels"}},\n',
    )
    yield on(
        "record",
        "release keeps the holder",
        'free = stamp._replace(holder_identity="")',
        "free = stamp._replace(holder_identity=snapshot.record.holder_identity)",
    )
    yield on(
        "record",
        "release with our duration",
        "return _with_spec(snapshot, _held(free, 1))",
        "return _with_spec(snapshot, _held(free, snapshot.record.lease_duration or 1))",
    )
    # term.py ------------------------------------------------------------------
    yield on(
        "term",
        "stamps creep after a step back",
        "least = self._last + (elapsed if elapsed > 1 else 1)",
        "least = self._last + 1",
    )
    yield on(
        "term",
        "stamps follow the wall clock back",
        "            if renew_time < least:\n",
        "            if False:\n",
    )
    yield on(
        "term",
        "token moves with each renewal's number",
        "term=self.number, token=self.token, sent=proved.sent, settings=settings\n        )\n\n    def stamps",
        "term=self.number + 1, token=self.token, sent=proved.sent, settings=settings\n        )\n\n    def stamps",
    )
    # wishes.py, notes.py ------------------------------------------------------
    yield on(
        "wishes",
        "wish of an older term is honoured",
        "return asked is not None and asked == format_time(acquire_time)",
        "return asked is not None",
    )
    yield on(
        "wishes",
        "wish to step down is not heard",
        "return asked is not None and asked == format_time(acquire_time)",
        "return False",
    )
    yield on(
        "wishes",
        "successor is not let go first",
        "return min(YIELD_AT_MOST, duration / 2)",
        "return 0.0",
    )
    yield on(
        "wishes",
        "successor waits, too",
        'or successor in ("", identity):',
        'or successor == "":',
    )
    yield on(
        "notes",
        "note of an older term is kept",
        "or annotations.get(TOKEN) == note:",
        "or TOKEN in annotations:",
    )
    # orders.py ----------------------------------------------------------------
    yield on(
        "orders",
        "abandoned write is sent all the same",
        "self.out.append(AbandonRequest(request_id=self.write.request_id))",
        "pass",
    )
    yield on(
        "orders",
        "abandoned watch is not closed",
        "self.out.append(AbandonRequest(request_id=self.watch_id))",
        "pass",
    )
    yield on(
        "orders",
        "a driver's failure abandons no write",
        "        self.abandon_read()\n        self.abandon_write()\n",
        "        self.abandon_read()\n        self.write = None\n",
    )
    # states.py ----------------------------------------------------------------
    yield on(
        "states",
        "lost while draining: released",
        "(S.DRAINING, F.LOST): S.FENCED",
        "(S.DRAINING, F.LOST): S.RELEASING",
    )
    yield on(
        "states",
        "ran out while draining: goes on",
        "(S.DRAINING, F.DEADLINE_PASSED): S.FENCED",
        "(S.DRAINING, F.DEADLINE_PASSED): S.DRAINING",
    )
    yield on(
        "states",
        "failed leader does not wait for its work",
        "(S.LEADER, F.DRIVER_FAILED): S.FENCED",
        "(S.LEADER, F.DRIVER_FAILED): S.LOOKING",
    )
    yield on(
        "states",
        "a stop is forgotten while draining",
        "    if stopping:\n        return S.STOPPED\n",
        "",
    )
    yield on(
        "states",
        "draining does not renew",
        "HOLDING: Final = frozenset({S.LEADER, S.DRAINING})",
        "HOLDING: Final = frozenset({S.LEADER})",
    )
    yield on(
        "states",
        "a stop releases before the work ended",
        "(S.LEADER, F.STOP_ASKED): S.DRAINING",
        "(S.LEADER, F.STOP_ASKED): S.RELEASING",
    )
    yield on(
        "states",
        "a stop forgets the acquire under way",
        "(S.ACQUIRING, F.STOP_ASKED): S.WITHDRAWING",
        "(S.ACQUIRING, F.STOP_ASKED): S.STOPPED",
    )
    # life.py ------------------------------------------------------------------
    yield on(
        "life",
        "release waits for the next renewal",
        "                self._write_at = self._now.boottime\n            case State.LOOKING",
        "            case State.LOOKING",
    )
    yield on(
        "life",
        "stop leaves its requests open",
        "                self._orders.abandon_all()\n                self._remember",
        "                self._remember",
    )
    yield on(
        "life",
        "contends though asked to stay out",
        "self._alive and not self.settings.observe and self._stay_out_until is None",
        "self._alive and not self.settings.observe",
    )
    yield on(
        "life",
        "contends though not alive",
        "self._alive and not self.settings.observe and self._stay_out_until is None",
        "not self.settings.observe and self._stay_out_until is None",
    )
    yield on(
        "life",
        "a thousand candidates contend at once",
        "return self._draw() * min(AFTER_EXPIRY, 0.05 * self.settings.lease_duration)",
        "return 0.0",
    )
    yield on(
        "life",
        "whoever ended its work does not let others go first",
        "(1.0 if polite else 0.0)",
        "0.0",
    )
    yield on(
        "life",
        "own record is free whoever stamped it",
        "        return self._is_of_former(snapshot) or (\n            find_try(self._tries, record) is not None\n        )",
        "        return True",
    )
    yield on(
        "life",
        "own old record is free after another held the Lease",
        "if version is None or version <= self._rival_version:",
        "if False:",
    )
    yield on(
        "life",
        "own ended term is not free",
        "            if self._is_former():\n",
        "            if False:\n",
    )
    yield on(
        "life",
        "own stamps count on another Lease",
        "former.uid in (None, snapshot.uid) and former.stamp",
        "former.stamp",
    )
    yield on(
        "life",
        "renewal goes on after a loss",
        "        self._orders.abandon_write()\n        self._doubt = False\n        self._remember(term.stamps()",
        "        self._orders.write = None\n        self._doubt = False\n        self._remember(term.stamps()",
    )
    yield on(
        "life",
        "a drained term is lost twice",
        "        if self.state is State.LEADER:\n            self._announce_loss(reason, detail)\n",
        "        self._announce_loss(reason, detail)\n",
    )
    yield on(
        "life",
        "ended term is not remembered",
        "        self._remember(self._term.stamps(), uid=self._term.uid)\n",
        "",
    )
    yield on(
        "life",
        "a later read puts off an earlier one",
        "        if due < self._read_at:\n            self._read_at = due\n",
        "        self._read_at = due\n",
    )
    yield on(
        "life",
        "Retry-After is honoured beyond L",
        "asked = min(asked, left - timeout)",
        "pass",
    )
    yield on(
        "life",
        "no pause after failures",
        "        if failures > 0:\n",
        "        if False:\n",
    )
    yield on(
        "life",
        "silence of a watch is never noticed",
        "SILENCE: Final = 0.6",
        "SILENCE: Final = 600.0",
    )
    yield on(
        "life",
        "the loss is told a state too late",
        '            self._announce_loss("stepped_down", detail)\n        self._change(Fact.STEP_DOWN_ASKED)\n        self._stay_out_until = self._now.boottime + seconds',
        '            self._announce_loss("stepped_down", detail)\n        self._change(Fact.STEP_DOWN_ASKED)',
    )
    # sightings.py -------------------------------------------------------------
    yield on(
        "sightings",
        "uid not compared by a leader",
        "        proved = None if snapshot.uid != term.uid else term.find(snapshot.record)\n        self._observe(",
        "        proved = term.find(snapshot.record)\n        self._observe(",
    )
    yield on(
        "sightings",
        "uid not compared by a release",
        "        proved = None if snapshot.uid != term.uid else term.find(snapshot.record)\n        if proved is not None:",
        "        proved = term.find(snapshot.record)\n        if proved is not None:",
    )
    yield on(
        "sightings",
        "foreign record is no loss while draining",
        "        if proved is None:\n            # Rule 11",
        "        if proved is None and self.state is not LEADER:\n            return\n        if proved is None:\n            # Rule 11",
    )
    yield on(
        "sightings",
        "foreign record is no loss",
        "        if proved is None:\n            # Rule 11",
        "        if proved is None:\n            return\n        if proved is None:\n            # Rule 11",
    )
    yield on(
        "sightings",
        "renewal is proved at its answer",
        "        term.confirm(proved, self.settings)\n        self._doubt = False\n        self._write_failures = 0",
        "        term.confirm(Try(proved.stamp, self._now), self.settings)\n        self._doubt = False\n        self._write_failures = 0",
    )
    yield on(
        "sightings",
        "interval counts from the answer",
        "self._write_at = proved.sent.boottime + self.settings.renew_interval",
        "self._write_at = self._now.boottime + self.settings.renew_interval",
    )
    yield on(
        "sightings",
        "late acquire is believed",
        "        if not term.belief.holds(self._now):\n            return",
        "        if False:\n            return",
    )
    yield on(
        "sightings",
        "term is not counted",
        "        self._terms = term.number\n",
        "",
    )
    yield on(
        "sightings",
        "what landed is not released by a stop",
        "        if proved is not None:\n            # It landed",
        "        if False:\n            # It landed",
    )
    yield on(
        "sightings",
        "release ends on any record",
        "            self._finish(Fact.LOST)\n\n    def _gone",
        "            term.confirm(term.confirmed, self.settings)\n\n    def _gone",
    )
    yield on(
        "sightings",
        "deletion is no loss",
        '        if self.state in HOLDING:\n            self._lose("deleted"',
        '        if False:\n            self._lose("deleted"',
    )
    yield on(
        "sightings",
        "acquire is believed from its answer",
        "term=number, token=token, sent=proved.sent, settings=self.settings",
        "term=number, token=token, sent=self._now, settings=self.settings",
    )
    yield on(
        "sightings",
        "token is of the version before",
        "        token = snapshot.version\n",
        "        token = self._observation.version and snapshot.version - 1\n",
    )
    yield on(
        "sightings",
        "first renewal at once",
        "self._write_at = sent + self.settings.renew_interval",
        "self._write_at = sent",
    )
    yield on(
        "sightings",
        "a rival is never noted",
        "            if version > self._rival_version:\n",
        "            if False:\n",
    )
    yield on(
        "sightings",
        "a rival seen by a leader is not noted",
        "            if version > self._rival_version:\n",
        "            if version > self._rival_version and self._term is None:\n",
    )
    yield on(
        "sightings",
        "a namesake is not noted as a rival",
        "holder != self.settings.identity or not (own or self._is_own(snapshot))",
        "holder != self.settings.identity",
    )
    # answers.py ---------------------------------------------------------------
    yield on(
        "answers",
        "overtaken read is believed",
        "if overtaken and self._observation.is_news(snapshot) is False:",
        "if False:",
    )
    yield on(
        "answers",
        "a restore is no loss",
        "if went_back and self._term is not None and self.state in HOLDING:",
        "if False:",
    )
    yield on(
        "answers",
        "doubt stays after a read",
        "        self._doubt = False\n        self._take(snapshot)\n",
        "        self._take(snapshot)\n",
    )
    yield on(
        "answers",
        "overtaken 404 is believed",
        "if pending.known != self._observation.version:",
        "if False:",
    )
    yield on(
        "answers",
        "overtaken read is not read again",
        "        if self._doubt:\n            self._want_read(0.0)\n",
        "",
    )
    yield on(
        "answers",
        "overtaken answer of a write is believed",
        "if heard_more and self._observation.is_news(snapshot) is False:",
        "if False:",
    )
    yield on(
        "answers",
        "after a conflict it writes again at once",
        "        # Rule 10: perhaps our own write; read and look for our stamp.\n        self._doubt = True\n",
        "",
    )
    yield on(
        "answers",
        "a conflict is loss",
        "        # Rule 10: perhaps our own write; read and look for our stamp.\n        self._doubt = True\n",
        "        if self._term is not None and self.state in HOLDING:\n"
        '            self._lose("another_holder", Fact.LOST)\n'
        "        self._doubt = True\n",
    )
    yield on(
        "answers",
        "unknown outcome is not doubted",
        "        self._emit(m.ErrorOccurred(error=error))\n        self._doubt = True\n",
        "        self._emit(m.ErrorOccurred(error=error))\n",
    )
    yield on(
        "answers",
        "unknown outcome is taken for not done",
        "        elif self._take_write(request_id) is not None:\n            self._in_doubt(error)\n",
        "        elif (write := self._take_write(request_id)) is not None:\n"
        "            self._forget_try(write.stamp)\n            self._in_doubt(error)\n",
    )
    yield on(
        "answers",
        "no pause between tries whose outcome is unknown",
        "        self._write_at = max(self._write_at, self._retry_at)\n",
        "",
    )
    yield on(
        "answers",
        "refused write is not tried again",
        "        self._write_at = self._now.boottime + delay\n",
        "        self._write_at = self._now.boottime + 1e6\n",
    )
    yield on(
        "answers",
        "any news of a watch is taken",
        "        news = self._observation.is_news(snapshot)\n",
        "        news = True\n",
    )
    yield on(
        "answers",
        "deletion in a watch is a change",
        'if message.type == "DELETED":',
        "if False:",
    )
    yield on(
        "answers",
        "version of a deletion is not heard",
        "                self._observation.hear(snapshot.resource_version, snapshot.version)\n",
        "",
    )
    yield on(
        "answers",
        "version of a 404 is not forgotten",
        '        self._observation.hear("", None)\n',
        "",
    )
    yield on(
        "answers",
        "no read after a broken watch",
        "        self._want_read(self._backoff(self._watch_failures - 1, error))\n",
        "",
    )
    yield on(
        "election",
        "where no watch is permitted nothing is polled",
        "            self._want_read(self._poll_interval())\n",
        "            pass\n",
    )
    # election.py --------------------------------------------------------------
    yield on(
        "election",
        "clock is not looked at before an answer",
        "        self._now = now\n        if self._term is not None:\n            self._look_at_the_clock(now, self._term)\n        match message:",
        "        self._now = now\n        match message:",
    )
    yield on(
        "election",
        "end of an older term ends this one",
        "        if self._term is None or self._term.number != term:\n            return  # the work",
        "        if self._term is None:\n            return  # the work",
    )
    yield on(
        "election",
        "loss seen of an older term ends this one",
        "if held and self._term is not None and self._term.number == term:",
        "if held and self._term is not None:",
    )
    yield on(
        "election",
        "loss seen by the application is not latched",
        "if held and self._term is not None and self._term.number == term:",
        "if False:",
    )
    yield on(
        "election",
        "reads in doubt may take as long as a write",
        "                timeout /= 2\n",
        "                pass\n",
    )
    yield on(
        "election",
        "writes while in doubt",
        "now >= self._write_at and not self._doubt:",
        "now >= self._write_at:",
    )
    yield on(
        "election",
        "renews though not alive",
        "                if self._alive:\n                    self._renew()",
        "                if True:\n                    self._renew()",
    )
    yield on(
        "election",
        "contends before its delay is over",
        "            and self._now.boottime >= self._contend_at\n",
        "",
    )
    yield on(
        "election",
        "withdraws before it knows what landed",
        "elif self.state is WITHDRAWING and not self._doubt:",
        "elif self.state is WITHDRAWING:",
    )
    yield on(
        "election",
        "stays out for ever",
        "if another or self._now.boottime >= until:",
        "if another:",
    )
    yield on(
        "election",
        "stays out though another led",
        "if another or self._now.boottime >= until:",
        "if self._now.boottime >= until:",
    )
    yield on(
        "election",
        "older tries are forgotten",
        "self._tries = [*self._tries, Try(stamp, self._now)][-FORMER_KEPT:]",
        "self._tries = [Try(stamp, self._now)]",
    )
    yield on(
        "election",
        "tries of renewals are not remembered",
        "        term.pending.append(Try(stamp, self._now))\n",
        "",
    )
    yield on(
        "election",
        "each renewal has an acquire time of its own",
        "            self._now, acquire_time=term.confirmed.stamp.acquire_time\n",
        "            self._now\n",
    )
    yield on(
        "election",
        "renewal may be sent after L",
        "deadline=self._now.boottime + min(remaining, self.settings.request_timeout),",
        "deadline=self._now.boottime + self.settings.request_timeout,",
    )
    yield on(
        "election",
        "release has no end",
        "            if boottime >= self._give_up_at:\n                self._give_up()\n",
        "            if False:\n                self._give_up()\n",
    )
    yield on(
        "election",
        "wishes stay on the Lease",
        "                wishes.STEP_DOWN,\n                wishes.SUCCESSOR,\n",
        "",
    )
    yield on(
        "election",
        "leader does not watch",
        "_WANT_WATCH: Final = FOLLOWING | HOLDING | {ACQUIRING}",
        "_WANT_WATCH: Final = FOLLOWING | {ACQUIRING}",
    )
    yield on(
        "election",
        "deadline is not looked at",
        "if self.state in HOLDING and term.belief.remaining(now) <= 0.0:",
        "if False:",
    )
    yield on(
        "election",
        "deadline is not looked at while draining",
        "if self.state in HOLDING and term.belief.remaining(now) <= 0.0:",
        "if self.state is LEADER and term.belief.remaining(now) <= 0.0:",
    )
    yield on(
        "election",
        "request that timed out is not dropped",
        "        self._orders.out.append(m.AbandonRequest(request_id=request_id))\n",
        "",
    )


MISTAKES: Final = {mistake.name: mistake for mistake in _mistakes()}


def worlds(count: int) -> Iterator[tuple[Profile, int]]:
    """Give the worlds that a mistake is looked for in, most of them default ones."""
    numbers = {profile: itertools.count() for profile in ORDER}
    for profile in itertools.islice(itertools.cycle(ORDER), count):
        yield profile, next(numbers[profile])


@dataclass(frozen=True, slots=True)
class Found:
    """The first world in which a mistake broke a guarantee."""

    worlds: int
    """How many worlds it took, this one included."""
    profile: Profile
    seed: int
    violation: Violation


def search(name: str, count: int) -> Found | None:
    """Try so many worlds with a mistake; None: it survived them all."""
    election = mistaken(MISTAKES[name])
    for number, (profile, seed) in enumerate(worlds(count), 1):
        violations = run_plan(
            make_plan(seed, profile), make_election=election
        ).violations
        if violations:
            return Found(number, profile, seed, violations[0])
    return None


def _search(name_and_count: tuple[str, int]) -> tuple[str, Found | None]:
    name, count = name_and_count
    return name, search(name, count)


def main() -> None:
    """Look for each mistake, and tell which were found, where and by what."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=5000, help="worlds for each")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", default="", help="a part of the names")
    asked = parser.parse_args()
    tasks = [(name, asked.seeds) for name in MISTAKES if asked.only in name]
    found = 0
    with multiprocessing.Pool(asked.jobs) as pool:
        for name, first in pool.imap_unordered(_search, tasks):
            if first is None:
                print(f"SURVIVED  {name}", flush=True)
                continue
            found += 1
            print(
                f"{first.worlds:8}  {name}: {first.profile} {first.seed}, "
                f"{first.violation}",
                flush=True,
            )
    print(f"{found} of {len(tasks)} found ({found / len(tasks):.0%})")


if __name__ == "__main__":
    main()
