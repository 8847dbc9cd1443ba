"""
Scenario files: stories of an election, told in commands and what came of each.

A scenario is a text file in ``tests/traces``, named by a sentence. Its first line is
the claim. Then come commands, each with ``----`` and what happened::

    # A leader cut off from the API server stops before a rival starts.
    world D=20 R=10
    ----
    L=15 T=2.5 S=1

    given a leads
    ----
    a LEADER leads and works

    cut a both until=b_leads
    ----
    10.002 a > UpdateLease holder=a rv=102
    ...

It runs in the simulated world, with the real core and every checker, but nothing is
drawn: whoever asks for a random number gets the same one each time. ``pytest
--rewrite-traces`` writes down what happens now; read the difference before it is kept.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.election import Election
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.settings import resolve_settings
from kubernetes_leader_election.testing.simulation.faults import ON_WORLD, inject
from kubernetes_leader_election.testing.simulation.network import Network
from kubernetes_leader_election.testing.simulation.node import Node
from kubernetes_leader_election.testing.simulation.plan import Fault, NodePlan, Plan
from kubernetes_leader_election.testing.simulation.process import Process
from kubernetes_leader_election.testing.simulation.rivals import RIVALS
from kubernetes_leader_election.testing.simulation.trace import Recorder
from kubernetes_leader_election.testing.simulation.world import World

FOR_EVER: Final = 1e9
PATIENCE: Final = 300.0
"""Simulated seconds after which what a command waits for is said never to come."""
DRAWN: Final = 0.25
"""What every draw gives: a quarter of each delay, and each chance comes true."""

_COMMAND: Final = re.compile(r"(?P<command>[^\n]+)\n----\n(?P<answer>(?:.+(?:\n|$))*)")


class ScenarioError(Exception):
    """Say that a scenario cannot be read, and why."""


@dataclass(slots=True)
class Step:
    """One command and what is written below it."""

    command: str
    answer: str

    @property
    def words(self) -> list[str]:
        """The command without its options."""
        return [word for word in self.command.split() if "=" not in word]

    @property
    def options(self) -> dict[str, str]:
        """What follows ``name=``."""
        pairs = (word.split("=", 1) for word in self.command.split() if "=" in word)
        return dict(pairs)


@dataclass(slots=True)
class Scenario:
    """A file as it was read."""

    claim: str
    steps: list[Step]

    def text(self) -> str:
        """Give the file's text."""
        blocks = [f"{step.command}\n----\n{step.answer}" for step in self.steps]
        return self.claim + "\n" + "\n".join(blocks)


def read_scenario(path: Path) -> Scenario:
    """Read a file; its first line is a comment, the claim."""
    claim, _, rest = path.read_text(encoding="utf-8").partition("\n")
    if not claim.startswith("# ") or not claim.endswith("."):
        raise ScenarioError(f"{path.name}: the first line is no claim: {claim!r}")
    steps = [
        Step(found["command"], found["answer"]) for found in _COMMAND.finditer(rest)
    ]
    if not steps or steps[0].words != ["world"]:
        raise ScenarioError(f"{path.name}: the first command is not `world`")
    left = _COMMAND.sub("", rest).strip()
    if left:
        raise ScenarioError(f"{path.name}: neither command nor answer: {left!r}")
    return Scenario(claim, steps)


def play(scenario: Scenario) -> Scenario:
    """Give the scenario with what happens now below each command."""
    story = _Story(scenario)
    return Scenario(
        scenario.claim, [Step(step.command, story.do(step)) for step in scenario.steps]
    )


# What happened ----------------------------------------------------------------


class _Transcript(Recorder):
    """Write down what a reader wants to see, in the words of the trace."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: dict[tuple[str, str], str] = {}

    def take(self) -> str:
        """Give what happened since the last time, as text."""
        lines, self.lines = self.lines, []
        told = [
            (t, who, text) for t, who, what in lines if (text := self._tell(who, what))
        ]
        found = []
        for (instant, who), group in itertools.groupby(told, lambda line: line[:2]):
            for texts in _inputs([text for _, _, text in group]):
                found += [f"{instant:06.3f} {who} {text}\n" for text in _order(texts)]
        return "".join(found)

    def _tell(self, who: str, what: str) -> str | None:
        what = what.encode("unicode_escape").decode("ascii")
        numbered = re.fullmatch(r"#(\d+) (.+)", what)
        if numbered is not None:
            number, what = numbered.groups()
            if what.startswith("> "):
                self.kinds[who, number] = what.split()[1]
            elif what == "AbandonRequest":
                return f"gives up {self.kinds[who, number]}"
        if who in {"Lease", "fault", "world"} or what.startswith("starts as"):
            return None
        return None if what in {"believes", "believes no more", "work begins"} else what


_INPUTS: Final = ("<", "gives up", "work is over")
"""How lines begin that tell what came in; the rest is what came of it."""


def _inputs(texts: list[str]) -> Iterator[list[str]]:
    """Split what happened in one place at one instant: each input and what it did."""
    found: list[str] = []
    for text in texts:
        if text.startswith("<") and found:
            yield found
            found = []
        found.append(text)
    yield found


def _order(texts: list[str]) -> list[str]:
    """Put the input first, then the change of state with its event, then orders."""
    if len(texts) == 1 and texts[0].startswith("< WatchEvent"):
        return []  # nothing came of it
    if any(text.startswith("< LeaseWritten") for text in texts):
        texts = [text for text in texts if text != "LeaseRenewed"]  # as usual
    changes = [text for text in texts if " -> " in text]
    others = [text for text in texts if " -> " not in text]
    events = [text for text in others if text.startswith("Leadership")]
    if changes and events:
        changes[0] = f"{changes[0]}  {events[0]}"
        others.remove(events[0])
    first = [text for text in others if text.startswith(_INPUTS)]
    return [*first, *changes, *(text for text in others if text not in first)]


class _Telling(Election):
    """The real core; what it tells people is written down as well."""

    transcript: _Transcript
    world: World

    def drain(self) -> list[m.Request | m.Event]:
        out = super().drain()
        for item in out:
            if isinstance(item, m.ErrorOccurred):
                text = str(item.error).removeprefix("Lease default/election: ")
                self._tell(f"ErrorOccurred: {text}")
            elif isinstance(item, m.LeaseRenewed):
                self._tell("LeaseRenewed")
        return out

    def _tell(self, text: str) -> None:
        (name,) = (p.name for p in self.world.processes() if p.core is self)
        self.transcript.event(self.world.time, name, text)


# Doing ------------------------------------------------------------------------


def _number(options: dict[str, str], name: str, default: float) -> float:
    return float(options.get(name, default))


class _Story:
    """One world and what the commands do to it."""

    def __init__(self, scenario: Scenario) -> None:
        self.options = scenario.steps[0].options
        plans: dict[str, NodePlan] = {}
        for step in scenario.steps:
            if step.words[0] in {"start", "given"} and step.words[1] not in plans:
                plans[step.words[1]] = self._plan(step.words[1], step.options)
        first = next(iter(plans.values()))
        plan = Plan(
            seed=0,
            profile="default",
            nodes=tuple(plans.values()),
            faults=(),
            heal_at=FOR_EVER,
            ends=FOR_EVER,
        )
        self.settings = first.settings
        self.transcript = _Transcript()
        self.world = World(
            plan,
            make_election=self._election,
            recorder=self.transcript,
            stop_at_violation=False,
        )
        for node in self.world.nodes.values():
            node.draw = node.link.draw = lambda: DRAWN

    def _election(self, settings: m.Any, *, draw: Callable[[], float]) -> Election:
        election = _Telling(settings, draw=draw)
        election.transcript, election.world = self.transcript, self.world
        return election

    def _plan(self, name: str, options: dict[str, str]) -> NodePlan:
        options = {**self.options, **options}
        given = {
            option: float(options[letter])
            for letter, option in (
                ("L", "renew_deadline_sec"),
                ("S", "stop_budget_sec"),
                ("T", "request_timeout_sec"),
            )
            if letter in options
        }
        settings = resolve_settings(
            lease_name="election",
            namespace="default",
            identity=options.get("identity", name),
            lease_duration_sec=int(options["D"]),
            renew_interval_ms=int(float(options["R"]) * 1000),
            **given,
        ).election()
        return NodePlan(
            name=name,
            settings=replace(settings, observe="observe" in options),
            kind=options.get("kind", "elector"),
            rate=_number(options, "rate", 1.0),
            wall_offset=_number(options, "offset", 0.0),
            delay=_number(options, "delay", 0.001),
            jitter=0.0,
            stop_share=_number(options, "stops", 0.0),
        )

    def do(self, step: Step) -> str:
        """Carry out one command; give what happened until it was over."""
        name, *words = step.words
        options = step.options
        if name == "world":
            s = self.settings
            return (
                f"L={s.renew_deadline:g} T={s.request_timeout:g} S={s.stop_budget:g}\n"
            )
        if name in {"lease", "states"}:
            return getattr(self, f"_{name}")()
        if name == "given":
            return self._given(*words)
        action = getattr(self, f"_{name}", None)
        if action is not None:
            action(*words, **{k: v for k, v in options.items() if k in _OWN})
        elif name != "wait":
            self._fault(name, words, options)
        self._run(words[0] if words else "", options)
        return self.transcript.take()

    # Time ---------------------------------------------------------------------

    def _run(self, subject: str, options: dict[str, str]) -> None:
        world, began = self.world, self.world.time
        end = began + _number(options, "for", 0.0)
        until = options.get("until")
        if until is None:
            while world.advance(end):
                pass
            return
        who, _, what = until.rpartition("_")
        while not self._is(who or subject, what):
            if not world.advance(began + PATIENCE):
                raise ScenarioError(f"until={until} never comes")
        while world.advance(world.time):
            pass

    def _is(self, who: str, what: str) -> bool:
        believers = [witness.name for witness in self.world.checks.believers]
        if who == "nobody":
            return not believers
        if what == "leads":
            return any(name.split(".")[0] == who for name in believers)
        states = [p.core.state.name.lower() for p in self.world.nodes[who].living]
        if what.upper() not in State.__members__:
            raise ScenarioError(f"until={who}_{what}: no such state")
        return what in states

    # Looking ------------------------------------------------------------------

    def _lease(self) -> str:
        stored = self.world.network.store.current
        if stored is None:
            return "none\n"
        spec = stored.lease["spec"]
        shown = [
            f"holder={stored.holder or '-'}",
            f"duration={stored.duration}",
            f"transitions={spec.get('leaseTransitions')}",
            f"renewed={str(spec.get('renewTime'))[14:]}",
            f"rv={stored.version}",
        ]
        return " ".join(shown) + "\n"

    def _states(self) -> str:
        lines = []
        for node in self.world.nodes.values():
            for process in node.living:
                does = ["leads"] * process.believing + ["works"] * process.work_runs
                told = " and ".join(does) or "does nothing"
                lines.append(f"{process.name} {process.core.state.name} {told}\n")
            if node.rival is not None and node.rival.alive:
                told = "leads" if node.rival.leads else "does nothing"
                lines.append(f"{node.name} {node.plan.kind} {told}\n")
        return "".join(lines) or "nobody\n"

    def _given(self, name: str, does: str) -> str:
        """Begin as stories do, and leave out what is the same in all of them."""
        self._start(name)
        self._run(name, {"until": {"leads": "leads", "waits": "waiting"}[does]})
        self._run(name, {"for": "0.01"})
        self.transcript.take()
        states = self._states().splitlines()
        return "".join(f"{s}\n" for s in states if s.startswith(f"{name} "))

    # Commands that are no faults ----------------------------------------------

    def _process(self, name: str) -> Process:
        return self.world.nodes[name].living[-1]

    def _start(self, name: str) -> None:
        node = self.world.nodes[name]
        if node.plan.kind != "elector":
            node.rival = RIVALS[node.plan.kind](self.world, node)
            node.rival.start()
        elif node.living:
            self._process(name).start()
        else:
            node.start_process()

    def _stop(self, name: str) -> None:
        process = self._process(name)
        process.do(process.stop, None)

    def _twin(self, name: str) -> None:
        self.world.nodes[name].start_process()

    def _kill(self, name: str) -> None:
        node = self.world.nodes[name]
        for process in node.living:
            process.die()
        if node.rival is not None:
            node.rival.die()

    def _thaw(self, name: str, *, jump: str = "0") -> None:
        self.world.nodes[name].thaw(wall_jump=float(jump))

    def _heal(self, name: str = "") -> None:
        network: Network = self.world.network
        if not name:
            network.heal()
            return
        node: Node = self.world.nodes[name]
        node.heal()
        network.resume_watches(node.link, lost=False)

    def _alive(self, name: str) -> None:
        process = self._process(name)
        process.do(process.report_liveness, True)

    def _recreate(self, name: str) -> None:
        """Let somebody create the Lease anew, held by ``name``, with `kubectl`."""
        store = self.world.network.store
        old = store.history[-1].stored.lease
        metadata = {"name": "election", "namespace": "default"}
        spec = {**old["spec"], "holderIdentity": name}
        spec = {**spec, "acquireTime": spec["renewTime"]}
        store.put(self.world.time, {**old, "metadata": metadata, "spec": spec})
        self.world.checks.excuse(self.world.time)
        self.world.network.tell_watches()

    def _fault(self, name: str, words: list[str], options: dict[str, str]) -> None:
        kind = name.replace("_", " ")
        target = "" if kind in ON_WORLD or not words else words[0]
        detail = " ".join(words if not target else words[1:]).replace("_", " ")
        fault = Fault(
            at=self.world.time,
            kind=kind,
            target=target,
            length=_number(options, "length", FOR_EVER),
            amount=_number(options, "amount", 0.0),
            detail=detail.replace("lose ", "lose_").replace("watch lag", "watch_lag"),
        )
        before = self.world.tally.faults
        inject(self.world, fault)
        if self.world.tally.faults == before:
            raise ScenarioError(f"`{name} {' '.join(words)}` met nothing")


_OWN: Final = frozenset({"jump"})
"""Options that commands take themselves."""
