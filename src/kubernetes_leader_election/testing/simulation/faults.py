"""
What can go wrong in a world: one function for each kind of fault.

A fault tells whether it found something to break; one that did not is not counted.
Whatever lasts is undone after ``fault.length``, or when the world heals.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from kubernetes_leader_election.testing.simulation.network import (
    DISCONNECTED,
    FORBIDDEN,
    THROTTLED,
    UNAUTHORIZED,
)
from kubernetes_leader_election.testing.simulation.plan import Fault
from kubernetes_leader_election.testing.simulation.process import Process
from kubernetes_leader_election.testing.simulation.store import (
    STEP_DOWN,
    SUCCESSOR,
    TOKEN,
    Answer,
)

if TYPE_CHECKING:
    from kubernetes_leader_election.testing.simulation.node import Node
    from kubernetes_leader_election.testing.simulation.world import World

OnNode = Callable[["World", Fault, "Node"], bool]
OnWorld = Callable[["World", Fault], bool]

REFUSALS: Final = {"403": FORBIDDEN, "401": UNAUTHORIZED, "429": THROTTLED}


def _one(node: Node) -> Process | None:
    living = node.living
    return living[-1] if living else None


# Processes --------------------------------------------------------------------


def crash(world: World, fault: Fault, node: Node) -> bool:
    """Kill all processes of a node; restart after ``length``, maybe as another."""
    if node.rival is not None:
        if not node.rival.alive:
            return False
        node.rival.die()
        return True
    if not node.living:
        return False
    for process in node.living:
        process.die()
    world.after(fault.length, _restart, (node, fault.detail == "same identity"))
    return True


def _restart(node_and_same: tuple[Node, bool]) -> None:
    node, same = node_and_same
    if not node.living:
        node.start_process(same_identity=same)


def second_start(world: World, fault: Fault, node: Node) -> bool:
    """Start a second process with the same identity, as a fork would."""
    if node.rival is not None or len(node.living) != 1:
        return False
    process = node.start_process()
    world.after(fault.length, Process.die, process)
    return True


def stop_and_start(world: World, fault: Fault, node: Node) -> bool:
    """Call ``stop()``, and ``start()`` after ``length``."""
    process = _one(node)
    if process is None or process.asked_to_stop:
        return False
    process.do(process.stop, None)
    world.after(fault.length, _start, process)
    return True


def _start(process: Process) -> None:
    process.do(process.start, None)


def stop_again(world: World, fault: Fault, node: Node) -> bool:
    """Call ``stop()`` while an earlier one is under way."""
    process = _one(node)
    if process is None or not process.asked_to_stop:
        return False
    process.do(process.stop, None)
    return True


def step_down(world: World, fault: Fault, node: Node) -> bool:
    """Call ``step_down()``; ``amount`` seconds out, or one lease duration."""
    process = _one(node)
    if process is None:
        return False
    process.do(process.step_down, fault.amount or None)
    return True


def not_alive(world: World, fault: Fault, node: Node) -> bool:
    """Let the liveness probe of an application fail for a while."""
    process = _one(node)
    if process is None:
        return False
    process.do(process.report_liveness, False)
    world.after(fault.length, _alive, process)
    return True


def _alive(process: Process) -> None:
    process.do(process.report_liveness, True)


def driver_failed(world: World, fault: Fault, node: Node) -> bool:
    """Raise an exception in the driver."""
    process = _one(node)
    if process is None:
        return False
    process.do(process.driver_failed, None)
    return True


def work_returns(world: World, fault: Fault, node: Node) -> bool:
    """Let the work of the present term return or raise."""
    process = _one(node)
    if process is None or not process.work_runs:
        return False
    process.do(process.work_returns, None)
    return True


def work_hangs(world: World, fault: Fault, node: Node) -> bool:
    """Let work ignore its cancellation for ``length`` seconds."""
    node.hangs_until = max(node.hangs_until, world.time + fault.length)
    return True


def late_words(world: World, fault: Fault, node: Node) -> bool:
    """Say of the term before that its work returned, and that its loss was seen."""
    process = _one(node)
    if process is None:
        return False
    process.do(process.say_of_old_term, None)
    return True


# Machines and clocks ----------------------------------------------------------


def freeze(world: World, fault: Fault, node: Node) -> bool:
    """
    Freeze a node: "stop", "suspend", or "pause" with a jump of the wall clock.

    After a "bad resume" the wall clock does not show the time of the suspend.
    """
    if node.frozen:
        return False
    node.freeze("suspend" if fault.detail == "bad resume" else fault.detail)
    jump = fault.length if fault.detail == "pause" else 0.0
    if fault.detail == "bad resume":
        jump = -fault.length  # the clock on its board stood still, too
        for process in node.living:
            process.witness.clocks_excused = True
    world.after(fault.length, _thaw, (node, jump))
    return True


def _thaw(node_and_jump: tuple[Node, float]) -> None:
    node, jump = node_and_jump
    node.thaw(wall_jump=jump)


def wall_step(world: World, fault: Fault, node: Node) -> bool:
    """Step the wall clock by ``amount`` seconds."""
    for process in node.living:
        process.witness.clocks_excused = True
    node.clocks.step_wall(world.time, fault.amount)
    node.clocks_changed()
    return True


def wall_blink(world: World, fault: Fault, node: Node) -> bool:
    """Step the wall clock by ``amount`` seconds, and back a moment later."""
    wall_step(world, fault, node)
    world.after(fault.length, _unblink, (world, node, fault.amount))
    return True


def _unblink(world_node_amount: tuple[World, Node, float]) -> None:
    world, node, amount = world_node_amount
    node.clocks.step_wall(world.time, -amount)
    node.clocks_changed()


def rate(world: World, fault: Fault, node: Node) -> bool:
    """Let the clocks of a node run at another rate from now on."""
    node.clocks.set_rate(world.time, fault.amount)
    node.clocks_changed()
    return True


def send_lag(world: World, fault: Fault, node: Node) -> bool:
    """Let up to ``amount`` seconds pass between an order and its first byte."""
    node.send_lag = fault.amount
    world.after(fault.length, _no_lag, node)
    return True


def _no_lag(node: Node) -> None:
    node.send_lag = 0.0


# The link ---------------------------------------------------------------------


def cut(world: World, fault: Fault, node: Node) -> bool:
    """Cut a link: "both" ways, "out", or "in"; ``amount`` 1: watches die unnoticed."""
    link = node.link
    outward, inward = fault.detail in ("both", "out"), fault.detail in ("both", "in")
    link.cut_out += outward
    link.cut_in += inward
    link.look()
    world.after(fault.length, _mend, (world, node, fault))
    return True


def _mend(world_node_fault: tuple[World, Node, Fault]) -> None:
    world, node, fault = world_node_fault
    link = node.link
    link.cut_out = max(0, link.cut_out - (fault.detail in ("both", "out")))
    link.cut_in = max(0, link.cut_in - (fault.detail in ("both", "in")))
    link.look()
    if not link.cut_in:
        world.network.resume_watches(link, lost=fault.amount > 0.5)


def trouble(world: World, fault: Fault, node: Node) -> bool:
    """
    Trouble a link: one of the fields of :class:`~.network.Link` for a while.

    Losses, repeats and resends are shares; delays and staleness are seconds.
    """
    setattr(node.link, fault.detail, fault.amount)
    node.link.look()
    world.after(fault.length, _untrouble, (node, fault.detail))
    return True


def _untrouble(node_and_field: tuple[Node, str]) -> None:
    node, name = node_and_field
    setattr(node.link, name, 0.0)
    node.link.look()


def refused(world: World, fault: Fault, node: Node) -> bool:
    """Refuse one node's requests: its token is bad, or its role, or it is throttled."""
    node.refused = REFUSALS[fault.detail]
    world.after(fault.length, _welcome, node)
    return True


def _welcome(node: Node) -> None:
    node.refused = None


# Watches ----------------------------------------------------------------------


def watch_end(world: World, fault: Fault, node: Node) -> bool:
    """End a watch: "clean", "broken", "expired", or "silent" (and nobody notices)."""
    answers = {
        "clean": None,
        "broken": DISCONNECTED,
        "expired": Answer(410, None, "too old resource version"),
        "silent": None,
    }
    silently = fault.detail == "silent"
    return bool(
        world.network.end_watches(node.link, answers[fault.detail], silently=silently)
    )


def watch_drop(world: World, fault: Fault, node: Node) -> bool:
    """Lose the next event of a watch, which goes on as if nothing had been."""
    found = False
    for watch in world.network.watches:
        if watch.sink.link is node.link:
            watch.drop += 1
            found = True
    return found


def bookmark(world: World, fault: Fault, node: Node) -> bool:
    """Send a bookmark."""
    return bool(world.network.bookmark(node.link))


def watch_denied(world: World, fault: Fault) -> bool:
    """Deny watching to all, as a role without the verb does."""
    world.network.watch_denied = True
    world.polls = True
    world.network.end_watches(None, None)
    world.after(fault.length, _watch_allowed, world)
    return True


def _watch_allowed(world: World) -> None:
    world.network.watch_denied = False


def compact(world: World, fault: Fault) -> bool:
    """Forget the watch history, and end all watches, as a restart does."""
    world.network.store.compact()
    world.network.end_watches(None, DISCONNECTED)
    return True


# The API server and the Lease -------------------------------------------------


def outage(world: World, fault: Fault) -> bool:
    """Let the API server fail for a while, in one of the ways of ``OUTAGES``."""
    if world.network.outage is not None:
        return False
    world.network.fail(fault.detail)
    world.after(fault.length, _recover, world)
    return True


def _recover(world: World) -> None:
    world.network.recover()


def restore(world: World, fault: Fault) -> bool:
    """Restore the store from a backup that is ``amount`` seconds old."""
    return _restore(world, world.time - fault.amount)


def _restore(world: World, to: float) -> bool:
    network = world.network
    if not network.store.restore(to):
        return False
    world.checks.restored(world.time, network.store.version)
    network.end_watches(None, DISCONNECTED)
    if world.recorder is not None:
        world.recorder.stored(world.time, network.store.current)
    return True


def delete(world: World, fault: Fault) -> bool:
    """Delete the Lease."""
    store = world.network.store
    if store.current is None:
        return False
    gone = store.current
    store.delete(world.time)
    if gone.held:
        world.checks.deleted(world.time, gone.uid, gone.duration)
    world.network.tell_watches()
    if world.recorder is not None:
        world.recorder.stored(world.time, None)
    return True


def label(world: World, fault: Fault) -> bool:
    """Change a label of the Lease, as controllers do: no fault at all."""
    store = world.network.store
    if store.current is None:
        return False
    store.label(world.time, f"{world.time:.6f}")
    world.network.tell_watches()
    return True


def wish(world: World, fault: Fault) -> bool:
    """Ask whoever holds the Lease to step down, by an annotation: no fault at all."""
    store = world.network.store
    if store.current is None or not store.current.held:
        return False
    term = store.current.lease["spec"].get("acquireTime")
    store.annotate(world.time, STEP_DOWN, str(term))
    world.network.tell_watches()
    return True


def writes_fail(world: World, fault: Fault) -> bool:
    """Let all writes time out while reads are served, as without a quorum (fault 24)."""
    world.network.writes_fail = True
    world.after(fault.length, _writes_succeed, world)
    return True


def _writes_succeed(world: World) -> None:
    world.network.writes_fail = False


def forged_note(world: World, fault: Fault) -> bool:
    """Write another token on the Lease, where the holder notes its own for people."""
    store = world.network.store
    if store.current is None or not store.current.held:
        return False
    store.annotate(world.time, TOKEN, "7 2025-01-01T00:00:00.000000Z")
    world.network.tell_watches()
    return True


def undone_label(world: World, fault: Fault) -> bool:
    """Touch a label, and restore what was before if nothing came after it."""
    store = world.network.store
    if store.current is None:
        return False
    label(world, fault)
    world.after(fault.length, _unlabel, (world, world.time, store.version))
    return True


def _unlabel(world_time_version: tuple[World, float, int]) -> None:
    world, time, version = world_time_version
    if world.network.store.version == version:
        _restore(world, time - 1e-6)


def stop_acquiring(world: World, fault: Fault, node: Node) -> bool:
    """Stop the application of a node at the very instant of its next acquire."""
    node.stops_acquire = True
    return True


def ambush(world: World, fault: Fault, node: Node) -> bool:
    """Let something happen at the very instant of a node's next write of a kind."""
    kind, _, what = fault.detail.partition(": ")

    def spring(writer: Process) -> None:
        if what in ("freeze", "answer"):
            _freeze_late(world, writer, sent=what == "answer")
        else:
            world.after(0.0, AMBUSHES[what], (world, fault, node))

    node.ambush = (kind, spring)
    return True


def _freeze_late(world: World, writer: Process, *, sent: bool) -> None:
    """
    Freeze the node of a process until just after L, with a write in its hands.

    ``sent``: it is under way already, and its answer is looked at before the timer.
    """
    node, witness, settings = writer.node, writer.witness, writer.settings
    if node.frozen or witness.last_applied_sent == -math.inf:
        return  # it never had a term whose end could be waited for
    now = node.clocks.boottime(world.time)
    left = witness.last_applied_sent + witness.renew_deadline - now
    length = left + 0.5 * max(0.0, settings.request_timeout - left)
    if sent:
        node.answers_first = True
    else:
        node.send_lag = 1e-3
    world.after(0.0, _freeze_now, node)
    world.after(length / node.clocks.rate, _thaw, (node, 0.0))
    world.after(length / node.clocks.rate, _no_lag, node)


def _freeze_now(node: Node) -> None:
    if not node.frozen:
        node.freeze("stop")


Sprung = tuple["World", Fault, "Node"]


def _fail_driver(sprung: Sprung) -> None:
    """Let the write fail, then the driver."""
    world, fault, node = sprung
    process = _one(node)
    writes_fail(world, fault)
    if process is not None:
        process.do(process.driver_failed, None)


AMBUSHES: Final[dict[str, Callable[[Sprung], object]]] = {
    "delete": lambda s: delete(s[0], s[1]),
    "recreate": lambda s: recreate(s[0], s[1]),
    "edit": lambda s: _edit(s[0], {"holderIdentity": "somebody"}),
    "label": lambda s: label(s[0], s[1]),
    "undone label": lambda s: undone_label(s[0], s[1]),
    "stop": lambda s: stop_and_start(*s),
    "fail": _fail_driver,
}
"""What can happen at the instant of a write; besides a freeze of who sends it."""


def old_wish(world: World, fault: Fault) -> bool:
    """Ask a term to step down that is over, as a person does who is too late."""
    store = world.network.store
    if store.current is None or not store.current.held:
        return False
    acquired = store.current.key[3]
    older = [c.stored.key[3] for c in store.history if c.stored.held]
    term = next((t for t in reversed(older) if t != acquired), "2025-01-01T00:00:00Z")
    store.annotate(world.time, STEP_DOWN, str(term))
    world.network.tell_watches()
    return True


def transfer(world: World, fault: Fault, node: Node) -> bool:
    """Ask whoever holds the Lease to step down, so that this node goes first."""
    store, process = world.network.store, _one(node)
    if process is None or store.current is None or not store.current.held:
        return False
    store.annotate(world.time, SUCCESSOR, process.identity)
    term = store.current.lease["spec"].get("acquireTime")
    store.annotate(world.time, STEP_DOWN, str(term))
    for change in store.history[-2:]:
        world.network.tell_watches(change)
    return True


def recreate(world: World, fault: Fault) -> bool:
    """Delete the Lease and create it again as it was; "unseen": while nobody watches."""
    network = world.network
    store = network.store
    gone = store.current
    if gone is None:
        return False
    if fault.detail == "unseen":
        network.end_watches(None, DISCONNECTED)
    store.recreate(world.time)
    if fault.detail == "unseen":
        store.compact()
    if gone.held:
        world.checks.deleted(world.time, gone.uid, gone.duration)
    world.checks.excuse(world.time)
    for change in store.history[-2:]:
        network.tell_watches(change)
    if world.recorder is not None:
        world.recorder.stored(world.time, store.current)
    return True


def undone_edit(world: World, fault: Fault) -> bool:
    """Give the Lease to somebody by hand, and restore what was before ``length`` later."""
    store = world.network.store
    if store.current is None or not store.current.held:
        return False
    before = world.time
    _edit(world, {"holderIdentity": "somebody", "leaseTransitions": 7})
    world.after(fault.length, _undo, (world, before))
    return True


def _undo(world_and_time: tuple[World, float]) -> None:
    world, time = world_and_time
    _restore(world, time - 1e-6)


EDITS: Final[dict[str, dict[str, object]]] = {
    "garbage holder": {"holderIdentity": "\x1b[31m\n{}'; drop"},
    "cleared": {"holderIdentity": ""},
    "nothing": {
        "holderIdentity": None,
        "acquireTime": None,
        "renewTime": None,
        "leaseDurationSeconds": None,
        "leaseTransitions": None,
    },
    "short": {"leaseDurationSeconds": 1},
    "long": {"leaseDurationSeconds": 2**31 - 1},
    "no times": {"acquireTime": None, "renewTime": None},
    "many transitions": {"leaseTransitions": 2**31 - 1},
}
MORE_EDITS: Final[dict[str, dict[str, object]]] = {
    **EDITS,
    "other holder": {"holderIdentity": "somebody"},
    "acquire time": {"acquireTime": "2025-01-01T00:00:00.000000Z"},
    "renew time": {"renewTime": "2025-01-01T00:00:00.000000Z"},
    "no duration": {"leaseDurationSeconds": None},
    "field of others": {"strategy": "OldestEmulationVersion"},
}
"""Those of worlds with many hands in them."""


def edit(world: World, fault: Fault) -> bool:
    """Edit the Lease by hand, in one of the ways of ``EDITS``."""
    return _edit(world, MORE_EDITS[fault.detail])


def _edit(world: World, changes: dict[str, object]) -> bool:
    store = world.network.store
    if not store.edit(world.time, changes):
        return False
    world.checks.excuse(world.time)
    world.network.tell_watches()
    if world.recorder is not None:
        world.recorder.stored(world.time, store.current)
    return True


# Attacks ----------------------------------------------------------------------


def late_create(world: World, fault: Fault) -> bool:
    """
    Hold the next write that creates the Lease; let it land after another one led.

    After ``length`` the Lease is deleted, which its holder does not hear of for a
    while, and the write lands.
    """
    network = world.network
    if network.store.current is not None or network.holds_create:
        return False
    network.holds_create = True
    world.after(fault.length, _land_late, world)
    return True


def _land_late(world: World) -> None:
    network, leader = world.network, world.leader()
    if network.held is None or leader is None or network.store.current is None:
        network.let_held_land()
        return
    for watch in network.watches:
        if watch.sink.link is leader.link:
            watch.drop += 3
    delete(world, Fault(at=world.time, kind="delete"))
    # It may be the leader's own, which is right to lose what was deleted.
    network.held.sender.witness.loss_excused = True
    network.let_held_land()


def roll_back(world: World, fault: Fault) -> bool:
    """
    Restore a former holder's record, at higher versions, and touch a label.

    "after an edit": a hand makes somebody else the holder first, for ``length``.
    """
    network = world.network
    if fault.detail == "after an edit":
        world.after(fault.length, _roll_back, world)
        return edit(world, Fault(at=world.time, kind="edit", detail="garbage holder"))
    store = network.store
    if not store.roll_back():
        return False
    assert store.current is not None
    world.checks.restored(world.time, store.current.version)
    network.end_watches(None, DISCONNECTED)
    return label(world, fault)


def _roll_back(world: World) -> None:
    roll_back(world, Fault(at=world.time, kind="roll back"))


def cap(world: World, fault: Fault) -> bool:
    """Let a policy cut each duration that is written to ``amount`` seconds."""
    world.network.store.cap = int(fault.amount)
    # What was cut, and not answered, its writer cannot know.
    world.checks.excuse(world.time + fault.length)
    world.after(fault.length, _uncap, world)
    return True


def _uncap(world: World) -> None:
    world.network.store.cap = None


def shorten(world: World, fault: Fault) -> bool:
    """Edit the duration to ``amount`` seconds by hand."""
    store = world.network.store
    if store.current is None or not store.current.held:
        return False
    store.edit(world.time, {"leaseDurationSeconds": int(fault.amount)})
    world.checks.excuse(world.time)
    world.network.tell_watches()
    return True


ON_NODE: Final[dict[str, OnNode]] = {
    "crash": crash,
    "second start": second_start,
    "stop and start": stop_and_start,
    "stop again": stop_again,
    "step down": step_down,
    "not alive": not_alive,
    "driver failed": driver_failed,
    "work returns": work_returns,
    "work hangs": work_hangs,
    "freeze": freeze,
    "bad resume": freeze,
    "late words": late_words,
    "stop acquiring": stop_acquiring,
    "ambush": ambush,
    "transfer": transfer,
    "wall step": wall_step,
    "wall blink": wall_blink,
    "rate": rate,
    "send lag": send_lag,
    "cut": cut,
    "trouble": trouble,
    "refused": refused,
    "watch end": watch_end,
    "watch drop": watch_drop,
    "bookmark": bookmark,
}
ON_WORLD: Final[dict[str, OnWorld]] = {
    "watch denied": watch_denied,
    "compact": compact,
    "outage": outage,
    "restore": restore,
    "delete": delete,
    "label": label,
    "wish": wish,
    "old wish": old_wish,
    "forged note": forged_note,
    "undone label": undone_label,
    "writes fail": writes_fail,
    "recreate": recreate,
    "undone edit": undone_edit,
    "edit": edit,
    "late create": late_create,
    "roll back": roll_back,
    "cap": cap,
    "shorten": shorten,
}
WITH_RIVAL: Final = frozenset(
    {"crash", "freeze", "wall step", "rate", "cut", "trouble"}
)
"""Faults that a node with a foreign elector on it can meet."""


def inject(world: World, fault: Fault) -> None:
    """Let a fault happen, and count it if it met something."""
    target = ""
    if fault.kind in ON_WORLD:
        met = ON_WORLD[fault.kind](world, fault)
    else:
        node = world.node(fault.target)
        met = node is not None and (node.rival is None or fault.kind in WITH_RIVAL)
        if met and node is not None:
            target = node.name
            if world.recorder is not None:
                world.recorder.fault(world.time, fault, target)
            met = ON_NODE[fault.kind](world, fault, node)
    if not met:
        return
    world.count(fault)
    if world.recorder is not None and not target:
        world.recorder.fault(world.time, fault, "")
