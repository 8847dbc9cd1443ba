"""
What can go wrong with a process, its application, its machine and its clocks.
"""

from __future__ import annotations

from functools import partial

from kubernetes_leader_election.testing.simulation.node import Node
from kubernetes_leader_election.testing.simulation.plan import Fault
from kubernetes_leader_election.testing.simulation.process import Process
from kubernetes_leader_election.testing.simulation.scene import Scene


def newest(node: Node) -> Process | None:
    """Return the process of a node that was started last; None: it has none."""
    living = node.living
    return living[-1] if living else None


# Processes -------------------------------------------------------------------


def crash(world: Scene, fault: Fault, node: Node) -> bool:
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


def second_start(world: Scene, fault: Fault, node: Node) -> bool:
    """Start a second process with the same identity, as a fork would."""
    if node.rival is not None or len(node.living) != 1:
        return False
    process = node.start_process()
    world.after(fault.length, Process.die, process)
    return True


def stop_and_start(world: Scene, fault: Fault, node: Node) -> bool:
    """Call ``stop()``, and ``start()`` after ``length``."""
    process = newest(node)
    if process is None or process.asked_to_stop:
        return False
    process.do(process.stop, None)
    world.after(fault.length, lambda _: process.do(process.start, None), None)
    return True


def stop_again(world: Scene, fault: Fault, node: Node) -> bool:
    """Call ``stop()`` while an earlier one is under way."""
    process = newest(node)
    if process is None or not process.asked_to_stop:
        return False
    process.do(process.stop, None)
    return True


def step_down(world: Scene, fault: Fault, node: Node) -> bool:
    """Call ``step_down()``; ``amount`` seconds out, or one lease duration."""
    process = newest(node)
    if process is None:
        return False
    process.do(process.step_down, fault.amount or None)
    return True


def not_alive(world: Scene, fault: Fault, node: Node) -> bool:
    """Let the liveness probe of an application fail for a while."""
    process = newest(node)
    if process is None:
        return False
    process.do(process.report_liveness, False)
    world.after(fault.length, lambda _: process.do(process.report_liveness, True), None)
    return True


def driver_failed(world: Scene, fault: Fault, node: Node) -> bool:
    """Raise an exception in the driver."""
    process = newest(node)
    if process is None:
        return False
    process.do(process.driver_failed, None)
    return True


def work_returns(world: Scene, fault: Fault, node: Node) -> bool:
    """Let the work of the present term return or raise."""
    process = newest(node)
    if process is None or not process.work_runs:
        return False
    process.do(process.work_returns, None)
    return True


def work_fails(world: Scene, fault: Fault, node: Node) -> bool:
    """
    Let the work of the present term raise, to be tried ``amount`` seconds later.

    "then step down": in that pause, for less than is left of it.
    """
    process = newest(node)
    if process is None or not process.work_runs:
        return False
    process.do(process.work_fails, fault.amount)
    if fault.detail:
        away = partial(process.do, process.step_down)
        world.after(0.5 * fault.amount, away, 0.1 * fault.amount)
    return True


def job(world: Scene, fault: Fault, node: Node) -> bool:
    """Begin a job of a guard that takes ``length`` seconds, if this node leads."""
    process = newest(node)
    return process is not None and not node.frozen and process.begin_job(fault.length)


def work_hangs(world: Scene, fault: Fault, node: Node) -> bool:
    """Let work ignore its cancellation for ``length`` seconds."""
    node.hangs_until = max(node.hangs_until, world.time + fault.length)
    return True


def late_words(world: Scene, fault: Fault, node: Node) -> bool:
    """Say of the term before that its work returned, and that its loss was seen."""
    process = newest(node)
    if process is None:
        return False
    process.do(process.say_of_old_term, None)
    return True


# Machines and clocks ---------------------------------------------------------


def freeze(world: Scene, fault: Fault, node: Node) -> bool:
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
    world.after(fault.length, thaw, (node, jump))
    return True


def thaw(node_and_jump: tuple[Node, float]) -> None:
    """Let a node run again, its wall clock so many seconds further."""
    node, jump = node_and_jump
    node.thaw(wall_jump=jump)


def wall_step(world: Scene, fault: Fault, node: Node) -> bool:
    """Step the wall clock by ``amount`` seconds."""
    for process in node.living:
        process.witness.clocks_excused = True
    node.clocks.step_wall(world.time, fault.amount)
    node.clocks_changed()
    return True


def wall_blink(world: Scene, fault: Fault, node: Node) -> bool:
    """Step the wall clock by ``amount`` seconds, and back a moment later."""
    wall_step(world, fault, node)
    world.after(fault.length, _unblink, (world, node, fault.amount))
    return True


def _unblink(world_node_amount: tuple[Scene, Node, float]) -> None:
    world, node, amount = world_node_amount
    node.clocks.step_wall(world.time, -amount)
    node.clocks_changed()


def rate(world: Scene, fault: Fault, node: Node) -> bool:
    """Let the clocks of a node run at another rate from now on."""
    node.clocks.set_rate(world.time, fault.amount)
    node.clocks_changed()
    return True


def send_lag(world: Scene, fault: Fault, node: Node) -> bool:
    """Let up to ``amount`` seconds pass between an order and its first byte."""
    node.send_lag = fault.amount
    world.after(fault.length, hurry_again, node)
    return True


def hurry_again(node: Node) -> None:
    """Let a node send at once what it orders."""
    node.send_lag = 0.0
