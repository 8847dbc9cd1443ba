"""
Progress after the faults: G6 to G9, measured on a world that was put right.

First everything heals; then somebody must lead within a bounded time; then, probe
after probe, something is done to the leader and the time it costs is compared with
what the guarantee says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kubernetes_leader_election.testing.simulation.kubelets import LATEST
from kubernetes_leader_election.testing.simulation.scene import Scene
from kubernetes_leader_election.testing.simulation.store import SUCCESSOR, Change
from kubernetes_leader_election.testing.simulation.writes import AFTER_RELEASE

if TYPE_CHECKING:
    from kubernetes_leader_election.testing.simulation.plan import Probe
    from kubernetes_leader_election.testing.simulation.process import Process

CROWD = 20
"""Candidates from which on it is checked that few of them write at a change."""
AFTER_EXPIRY = 0.4
"""Seconds at most that rule 13 delays a write on an expired Lease, or 5 % of D."""
LABEL_AT = 0.8
"""Share of D after a last renewal at which a label is touched, in some probes."""
ASK_WITHIN = 0.3
"""Seconds from a proof in which somebody asks the holder (rule 19)."""
SLACK = 0.005
"""Seconds for wake-ups and for the order of things at one instant."""
GENTLE_OUTAGES = ("refused", "503", "black hole", "504 after commit", "429")


class Liveness:
    """Heal a world, then probe it."""

    def __init__(self, world: Scene) -> None:
        self.world = world
        self._healed_at = 0.0
        self._probes: list[Probe] = list(world.plan.probes)
        self._slowest = 1.0
        self._ready_at = 0.0
        self._writes = 0
        """How many writes there were before the present probe."""
        self._probe_of: dict[Probe, Callable[[Process], None]] = {
            "crash": self._crash,
            "stop": self._stop,
            "outage": self._outage,
            "quiet": self._quiet,
            "churn": self._churn,
            "hang": self._hang,
            "return": self._return,
            "fail": self._fail,
        }

    # Healing ------------------------------------------------------------------

    def heal(self, _: object = None) -> None:
        """Put everything right."""
        world = self.world
        world.note("everything heals")
        self._healed_at = world.time
        network = world.network
        network.heal()
        for node in world.nodes.values():
            node.heal()
            if node.rival is not None:
                node.rival.die()
            elif not node.living and node.plan.kind == "elector":
                node.start_process()
        for process in world.processes():
            process.do(process.start, None)
            process.do(process.report_liveness, True)
            if process.watch is not None and process.watch not in network.watches:
                process.drop_watch()
        self._mend_record()
        self._slowest = min(node.clocks.rate for node in world.nodes.values())
        world.after(self._quarter() * 4.0, self._settle, None)

    def _mend_record(self) -> None:
        """Undo what a person wrote that would keep everybody waiting for years."""
        world = self.world
        network, store = world.network, world.network.store
        current = store.current
        if current is not None and SUCCESSOR in (
            current.lease["metadata"].get("annotations") or {}
        ):
            # Whoever was named may be gone, and all others would let it go first.
            store.annotate(world.time, SUCCESSOR, "")
            network.tell_watches()
            current = store.current
        longest = max(20, world.plan.longest_duration)
        if current is not None:
            if not current.held or (current.duration or 0) <= longest:
                return
            store.edit(world.time, {"leaseDurationSeconds": longest})
        else:
            # Who saw it held for years before it was deleted waits for years (rule 4).
            seen = [process.witness.last_seen for process in world.processes()]
            if all(s is None or (s.duration or 0) <= longest for s in seen):
                return
            metadata = {"name": store.name, "namespace": store.namespace}
            store.put(world.time, {"metadata": metadata, "spec": {}})
        world.checks.excuse(world.time)
        network.tell_watches()

    def _quarter(self) -> float:
        return max(20.0, self.world.plan.longest_duration) / 4.0

    def _settle(self, _: object) -> None:
        """Wait until somebody leads, all others watch and none pauses; not for ever."""
        world = self.world
        leader = world.leader()
        watched = all(
            process.watch is not None and process.watch in world.network.watches
            for process in world.processes()
        )
        pauses = any(
            process.witness.hindered_at > process.now_monotonic()
            for process in world.processes()
        )
        if leader is not None and (watched or world.polls) and not pauses:
            world.count_probe("settled")
            self._next(None)
            return
        waited = world.time - self._healed_at
        # Stay out, back off, and then wait a full duration.
        if waited > 12.0 * self._quarter() / self._slowest + 20.0:
            states = ", ".join(f"{p.name} {p.phase}" for p in world.processes())
            who = "somebody does not watch" if leader is not None else "nobody leads"
            if leader is not None and watched:
                who = "somebody still pauses"
            text = f"{who} {waited:.1f} s after everything was healed: {states}"
            self._broken("G8", text)
            return
        world.after(self._quarter(), self._settle, None)

    # Probing ------------------------------------------------------------------

    def _next(self, _: object) -> None:
        world = self.world
        for process in world.processes():
            if process.stopped and not process.asked_to_stop:
                self._broken("G8", "stopped, though nobody asked it to", process.name)
        if not self._probes or world.polls or len(world.processes()) < 2:
            world.finish()
            return
        leader = self._leader()
        if leader is None:
            return
        self._ready_at = world.time
        wait = leader.settings.renew_interval * leader.node.draw()
        world.after(wait, self._probe, self._probes.pop(0))

    def _probe(self, probe: Probe) -> None:
        leader = self._leader()
        if leader is not None:
            self.world.note(f"probe {probe} on {leader.name}")
            self._probe_of[probe](leader)

    def _leader(self) -> Process | None:
        """Return who leads, and say that a guarantee is broken where nobody does."""
        leader = self.world.leader()
        if leader is None:
            self._broken("G8", "nobody leads in a healthy world")
        return leader

    def _broken(self, guarantee: str, text: str, who: str = "world") -> None:
        self.world.checks.broken(self.world.time, guarantee, who, text)

    def _way(self) -> float:
        """Return the longest time one way between any node and the server."""
        return max(n.link.delay + n.link.jitter for n in self.world.nodes.values())

    def _lateness(self) -> float:
        return max(node.lateness for node in self.world.nodes.values())

    # G6 -----------------------------------------------------------------------

    def _crash(self, leader: Process) -> None:
        world = self.world
        if world.network.store.history[-1].time < self._ready_at:
            # G6 is about candidates that watched when the last renewal came.
            world.after(leader.settings.renew_interval, self._probe, "crash")
            return
        if leader.node.kubelet is not None and leader.node.draw() < 0.5:
            # A server ends each watch now and then, in good order: that costs nothing.
            for process in world.processes():
                process.end_pod_watch(None)
        proved_within = self._proved_within(leader)
        leader.die()
        self._writes = self._written()
        self._await_successor(leader, world.network.store.history[-1])
        if proved_within is not None:
            change = world.network.store.history[-1]
            world.after(proved_within, self._proved, (leader, change))
        if leader.node.draw() < 0.5:
            # Rule 2: whoever touches labels does not hold up a fail-over. Before the
            # earliest take-over: at its very instant it would cost that another try.
            last = world.network.store.history[-1]
            when = last.time + LABEL_AT * (last.stored.duration or 20)
            world.at(max(world.time, when), self._label, None)

    def _proved_within(self, leader: Process) -> float | None:
        """Return within how long a crash is followed with proof; None: it may not be."""
        world, kubelet = self.world, leader.node.kubelet
        stored = world.network.store.current
        if stored is None or stored.noted is None or kubelet is None:
            return None
        _, nonce, wanted = stored.noted
        if nonce != leader.nonce or not kubelet.proves_end_of(nonce):
            return None
        given = [
            process.witness.ends.challenge or 0.0
            for process in world.processes()
            if process is not leader and process.phase == "WAITING"
            if process.witness.app_alive
            if process.witness.ends.is_to_believe(
                stored, process.node.clocks.read(world.time)
            )
        ]
        if not given:
            return None
        # Two reports, a question, an answer that does not come, and a take-over.
        within = 2.0 * LATEST
        within += (ASK_WITHIN + max(*given, wanted) + AFTER_RELEASE) / self._slowest
        within += 12.0 * self._way() + 6.0 * self._lateness() + SLACK
        # Whoever touches the Lease meanwhile, as this probe does, begins it anew.
        last = world.network.store.history[-1].time
        touched = last + LABEL_AT * (stored.duration or 20)
        return within if world.time + within < touched else None

    def _proved(self, leader_and_change: tuple[Process, Change]) -> None:
        leader, change = leader_and_change
        world = self.world
        if self._landed_late(leader, change) is not None:
            return
        if world.leader() is None:
            text = f"nobody follows {leader.name}, whose end its kubelet has proved"
            self._broken("G6", text)
        else:
            world.count_probe("crash with proof")

    def _landed_late(self, leader: Process, before: Change) -> Change | None:
        """Return the renewal that landed after its sender had died; None: none did."""
        late = None
        for change in reversed(self.world.network.store.history):
            if change.time <= before.time:
                break
            stored = change.stored
            if stored.holder == leader.identity and stored.key != before.stored.key:
                late = change  # or an earlier one: labels were touched since
        return late

    def _await_successor(self, leader: Process, change: Change) -> None:
        world = self.world
        duration = change.stored.duration or 20
        contending = min(AFTER_EXPIRY, 0.05 * world.plan.longest_duration)
        bound = (duration + contending) / self._slowest
        bound += 3.0 * self._way() + 2.0 * self._lateness() + SLACK
        world.at(change.time + bound, self._crashed, (leader, change))

    def _crashed(self, leader_and_change: tuple[Process, Change]) -> None:
        leader, change = leader_and_change
        world = self.world
        if world.leader() is None:
            late = self._landed_late(leader, change)
            if late is not None:
                self._await_successor(leader, late)
                return
            text = f"nobody leads {world.time - change.time:.3f} s after a last renewal"
            self._broken("G6", text)
            return
        self._check_contest()
        world.count_probe("crash")
        world.nodes[leader.node.name].start_process()
        world.after(2.0, self._next, None)

    # G7 -----------------------------------------------------------------------

    def _stop(self, leader: Process) -> None:
        self._writes = self._written()
        leader.on_work_over = self._work_over
        leader.do(leader.stop, None)

    def _work_over(self, leader: Process) -> None:
        leader.on_work_over = None
        # A renewal may be under way, then the release, a watch, the take-over.
        bound = AFTER_RELEASE / self._slowest + 7.0 * self._way()
        bound += self._lateness() + SLACK
        self.world.after(bound, self._stopped, leader)

    def _stopped(self, leader: Process) -> None:
        world = self.world
        new = world.leader()
        if new is None or new is leader:
            states = ", ".join(f"{p.name} {p.phase}" for p in world.processes())
            self._broken("G7", f"nobody took over in time after a clean stop: {states}")
            return
        self._check_contest()
        world.count_probe("stop")
        leader.do(leader.start, None)
        world.after(2.0, self._next, None)

    def _return(self, leader: Process) -> None:
        """Let its work return: another one leads then (rule 13)."""
        self._writes = self._written()
        leader.do(leader.work_returns, None)
        self.world.after(1.0, self._returned, leader)

    def _returned(self, leader: Process) -> None:
        world = self.world
        new = world.leader()
        self._check_contest()
        if new is None:
            self._broken("G7", "nobody took over in time after its work had returned")
            return
        if new is leader:
            text = "leads again after its work returned, before all others"
            self._broken("G7", text, new.name)
            return
        world.count_probe("return")
        world.after(2.0, self._next, None)

    def _fail(self, leader: Process) -> None:
        """Let its work fail: another one has a try, and this one comes back later."""
        self._writes = self._written()
        leader.on_work_over = self._work_failed
        leader.do(leader.work_fails, 2.0 * leader.settings.lease_duration)

    def _work_failed(self, leader: Process) -> None:
        leader.on_work_over = None
        self.world.after(1.0, self._another_tries, leader)

    def _another_tries(self, leader: Process) -> None:
        world = self.world
        new = world.leader()
        self._check_contest()
        if new is None or new is leader:
            self._broken("G7", "no other leads after the work of a leader had failed")
            return
        world.count_probe("fail")
        pause = 2.0 * leader.settings.lease_duration / self._slowest
        world.after(pause, self._next, None)

    def _written(self) -> int:
        return sum(process.writes for process in self.world.processes())

    def _check_contest(self) -> None:
        """Count who wrote for a Lease that became free: few of many (rule 13)."""
        many = len(self.world.processes())
        written = self._written() - self._writes
        if many > CROWD and written > many / 2:
            text = f"{written} writes of {many} candidates for one change of leaders"
            self._broken("G9", text)

    # G8 -----------------------------------------------------------------------

    def _outage(self, leader: Process) -> None:
        world, settings = self.world, leader.settings
        spare = (
            settings.renew_deadline - settings.renew_interval - settings.request_timeout
        )
        length = 0.95 * spare / leader.node.clocks.rate
        length -= 4.0 * self._way() + 2.0 * leader.node.lateness
        if length <= 0.0:
            self._next(None)
            return
        kinds = GENTLE_OUTAGES
        kind = kinds[int(leader.node.draw() * len(kinds))]
        world.note(f"outage {kind} for {length:.3f} s")
        world.network.fail(kind)
        world.after(length, lambda _: world.network.recover(), None)
        until = length + settings.lease_duration / self._slowest
        world.after(until, self._rode_out, (leader, leader.term, kind))

    def _rode_out(self, before: tuple[Process, int, str]) -> None:
        leader, term, kind = before
        world = self.world
        if not leader.believing or leader.term != term:
            text = f"lost term {term} to an outage ({kind}) shorter than L - R - T"
            self._broken("G8", text, leader.name)
            return
        world.count_probe(f"outage: {kind}")
        self._next(None)

    def _churn(self, leader: Process) -> None:
        """Do what proves nothing about a term: it must go on (rules 10 and 11)."""
        world, settings = self.world, leader.settings
        link, interval = leader.link, settings.renew_interval
        interval /= leader.node.clocks.rate
        kind = ("labels", "resends", "watch lags", "watch drops")[
            int(leader.node.draw() * 4)
        ]
        match kind:
            case "labels":
                # Who writes faster than a round trip can keep anybody from writing.
                pause = max(interval / 5, 6.0 * self._way())
                for step in range(int(2.4 * interval / pause)):
                    world.after(step * pause, self._label, None)
            case "resends":
                link.resend = 1.0
            case "watch lags":
                link.watch_lag = 1.5 * interval
            case "watch drops":
                for watch in world.network.watches:
                    watch.drop = 2
        link.look()
        world.note(f"churn: {kind}")
        world.after(3.0 * interval, self._churned, (leader, leader.term, kind))

    def _label(self, _: object) -> None:
        network = self.world.network
        network.store.label(self.world.time, f"{self.world.time:.6f}")
        network.tell_watches()

    def _churned(self, before: tuple[Process, int, str]) -> None:
        leader, term, kind = before
        world = self.world
        leader.link.heal()
        if not leader.believing or leader.term != term:
            text = f"lost term {term} to something that proves nothing: {kind}"
            self._broken("G8", text, leader.name)
            return
        world.count_probe(f"churn: {kind}")
        world.after(3.0 * leader.settings.renew_interval, self._next, None)

    # G5 -----------------------------------------------------------------------

    def _hang(self, leader: Process) -> None:
        """Let work ignore its end: its Lease is kept, but not beyond L (G5)."""
        world, settings = self.world, leader.settings
        kept_for = 2.0 * settings.lease_duration / self._slowest
        until = world.time + 2.0 * kept_for
        leader.node.hangs_until = until
        leader.do(leader.stop, None)
        world.after(kept_for, self._hung, leader)
        world.at(until + 1.0, self._hung_over, leader)

    def _hung(self, leader: Process) -> None:
        world, link = self.world, leader.link
        stored = world.network.store.current
        if stored is None or stored.holder != leader.identity:
            text = "its work still runs, and its Lease was not renewed until then"
            self._broken("G5", text, leader.name)
            return
        link.cut_out = link.cut_in = 1
        link.look()
        # Whatever it finds when it is back, it may not renew what ran out.
        left = world.network.store.history[-1].time - world.time
        left += leader.settings.renew_deadline / leader.node.clocks.rate
        world.after(left + 2.0 * self._way(), self._reached, leader)

    def _reached(self, leader: Process) -> None:
        leader.link.heal()
        self.world.network.resume_watches(leader.link, lost=False)

    def _hung_over(self, leader: Process) -> None:
        world = self.world
        new = world.leader()
        if new is None or new is leader:
            text = "nobody follows a holder that was cut off while its work hung"
            self._broken("G6", text)
            return
        world.count_probe("hang")
        leader.do(leader.start, None)
        world.after(2.0, self._next, None)

    # G9 -----------------------------------------------------------------------

    def _quiet(self, leader: Process) -> None:
        """Count requests while nothing happens."""
        world = self.world
        interval = leader.settings.renew_interval / leader.node.clocks.rate
        if not self._is_renewed():
            # Who lost the contest for this term may still look once for what became of
            # its own write (rule 10).
            world.after(interval, self._probe, "quiet")
            return
        window = 4.0 * interval
        counts = [(p, p.orders, p.writes) for p in world.processes()]
        world.after(window, self._was_quiet, (leader, counts))

    def _is_renewed(self) -> bool:
        """Return whether the present term has been renewed, and is not only begun."""
        keys = [change.stored.key for change in self.world.network.store.history]
        acquired, renewed = keys[-1][3:5]
        return any(key[3] == acquired and key[4] != renewed for key in keys)

    def _was_quiet(
        self, before: tuple[Process, list[tuple[Process, int, int]]]
    ) -> None:
        leader, counts = before
        world = self.world
        rate = leader.node.clocks.rate
        pause = leader.settings.renew_interval / rate + 2.0 * self._way()
        for process, orders_before, writes_before in counts:
            writes = process.writes - writes_before
            others = process.orders - orders_before - writes
            if process is leader:
                allowed = 5
            elif (
                pause < 0.58 * leader.settings.lease_duration / process.node.clocks.rate
            ):
                allowed = 0
            else:
                continue  # it renews too seldom for this clock (rule 16)
            if writes > allowed or others:
                text = (
                    f"ordered {writes} writes and {others} other requests "
                    "in 4 renew intervals of quiet"
                )
                self._broken("G9", text, process.name)
        world.count_probe("quiet")
        self._next(None)
