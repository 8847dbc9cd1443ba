"""What a recorded run looked like: read as text, or drawn (``timeline_svg``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from kubernetes_leader_election.testing.simulation.assumptions import Violation
from kubernetes_leader_election.testing.simulation.plan import Fault, NodePlan
from kubernetes_leader_election.testing.simulation.store import Stored


@dataclass(slots=True)
class Span:
    """A stretch of time in the life of one process or node; open while it lasts."""

    who: str
    begin: float
    end: float | None = None
    text: str = ""


@dataclass(slots=True)
class Recorder:
    """Write down everything that happens; a world without one is much faster."""

    lines: list[tuple[float, str, str]] = field(default_factory=list)
    lives: list[Span] = field(default_factory=list)
    beliefs: list[Span] = field(default_factory=list)
    works: list[Span] = field(default_factory=list)
    requests: list[Span] = field(default_factory=list)
    faults: list[Span] = field(default_factory=list)
    holders: list[Span] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    nodes: dict[str, NodePlan] = field(default_factory=dict)
    ended: float = 0.0
    _open: dict[tuple[str, int], Span] = field(default_factory=dict)

    def _line(self, time: float, who: str, text: str) -> None:
        self.lines.append((time, who, text))

    def born(self, time: float, who: str, plan: NodePlan) -> None:
        """Note a new process."""
        self.nodes[who] = plan
        self.lives.append(Span(who, time))
        text = f"starts as {plan.settings.identity}: {plan.timing} rate={plan.rate:.3f}"
        self._line(time, who, text)

    def died(self, time: float, who: str) -> None:
        """Note the end of a process."""
        self._line(time, who, "dies")
        for spans in (self.lives, self.works, self.beliefs):
            _close(spans, who, time)

    def order(self, time: float, who: str, number: int, text: str) -> None:
        """Note a request."""
        self._line(time, who, f"#{number} {text}")
        if "WatchLease" not in text:
            span = Span(who, time, None, text.removeprefix("> "))
            self.requests.append(span)
            self._open[who, number] = span

    def answer(self, time: float, who: str, number: int, text: str) -> None:
        """Note what came of a request."""
        self._line(time, who, f"#{number} {text}")
        span = self._open.pop((who, number), None)
        if span is not None:
            span.end = time
            span.text += f" {text}"

    def event(self, time: float, who: str, text: str) -> None:
        """Note an event or something that a watch brought."""
        self._line(time, who, text)

    def state(self, time: float, who: str, before: Enum | None, after: Enum) -> None:
        """Note a change of state."""
        name = before.name if before is not None else "?"
        self._line(time, who, f"{name} -> {after.name}")

    def belief(self, time: float, who: str, *, believing: bool) -> None:
        """Note that a belief began or ended."""
        self._line(time, who, "believes" if believing else "believes no more")
        if believing:
            self.beliefs.append(Span(who, time))
        else:
            _close(self.beliefs, who, time)

    def work(self, time: float, who: str, *, works: bool) -> None:
        """Note that work began or ended."""
        self._line(time, who, "work begins" if works else "work is over")
        if works:
            self.works.append(Span(who, time))
        else:
            _close(self.works, who, time)

    def stored(self, time: float, stored: Stored | None) -> None:
        """Note what stands in the Lease now."""
        holder = "gone" if stored is None else stored.holder or "free"
        last = self.holders[-1] if self.holders else None
        if last is None or last.who != holder:
            if last is not None:
                last.end = time
            self.holders.append(Span(holder, time))
        if stored is None:
            self._line(time, "Lease", "is gone")
            return
        spec = stored.lease["spec"]
        self._line(
            time,
            "Lease",
            f"holder={stored.holder or '-'} duration={stored.duration} "
            f"renewed={str(spec.get('renewTime'))[11:]} rv={stored.version}",
        )

    def fault(self, time: float, fault: Fault, target: str) -> None:
        """Note a fault."""
        self._line(time, "fault", f"{fault} ({target})" if target else str(fault))
        end = time + fault.length if fault.length else None
        self.faults.append(Span(target or "API", time, end, fault.kind))

    def note(self, time: float, text: str) -> None:
        """Note what the world itself does."""
        self._line(time, "world", text)

    def violation(self, violation: Violation) -> None:
        """Note a broken guarantee."""
        self.violations.append(violation)
        text = f"BREAKS {violation.guarantee}: {violation.text}"
        self._line(violation.time, violation.who, text)

    def text(self, *, last: int | None = None) -> str:
        """Return the run as lines of text: time, who, what."""
        lines = self.lines if last is None else self.lines[-last:]
        width = max((len(who) for _, who, _ in lines), default=0)
        return "\n".join(
            f"{time:11.6f} {who:{width}} {what}" for time, who, what in lines
        )


def _close(spans: list[Span], who: str, time: float) -> None:
    for span in reversed(spans):
        if span.who == who and span.end is None:
            span.end = time
            return
