"""The stage of the elector for threads."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import Future

from kubernetes_leader_election.errors import LeadershipLostError
from kubernetes_leader_election.events import EVENTS
from kubernetes_leader_election.sync import Elector
from tests.lifecycle.stages import (
    GLANCE,
    PATIENCE,
    SIMPLE,
    Ending,
    hold,
    in_child,
    options,
    raised,
    returned,
)


def wait_for_ever(term):
    """Be the main of run()."""
    term.lost.wait()


def job():
    """Be a job of the leader."""
    return 1.0


def perform(elector, call):
    """Make a call and say how it ended."""
    try:
        if call == "leadership()":
            with elector.leadership() as term:
                return returned(term)
        if call == "guard()":
            with elector.guard() as term:
                return returned(term)
        if call == "background(main)":
            with elector.background(wait_for_ever) as leading:
                return returned(leading)
        if call == "call_if_leading(job)":
            return returned(elector.call_if_leading(job))
        if call == "only_while_leading(job)()":
            return returned(elector.only_while_leading(job)())
        if call == "run(main)":
            return returned(elector.run(wait_for_ever))
        return returned(SIMPLE[call](elector))
    except Exception as error:  # noqa: BLE001 - the ending is the result
        return raised(error)


def spawn(work):
    """Run ``work`` on a thread of its own; give the future of its result."""
    result = Future()

    def run():
        try:
            result.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again by the future
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return result


class Stage:
    """Play one row of the table."""

    def __init__(self, client):
        self.client = client
        self.waits = False
        self.elector = Elector(**options())
        self.finish = threading.Event()
        self.spawned = []
        self.rival = False

    def play(self, state, call, *, waits):
        """Bring an elector into a state, make a call, and say how it ended."""
        self.waits = waits
        try:
            return getattr(self, "in_" + state.replace(" ", "_"))(call)
        finally:
            self.finish.set()
            self.elector.stop(timeout=PATIENCE)
            for future in self.spawned:
                future.result(PATIENCE)

    def in_stopped(self, call):
        return self._watch(call)

    def in_candidate(self, call):
        self.rival = True
        hold(self.client, "rival")
        self.elector.start()
        assert self.elector.wait_for_leader(PATIENCE) == "rival"
        return self._watch(call)

    def in_leader(self, call):
        self.elector.start()
        self.elector.wait_until_leading(PATIENCE)
        return self._watch(call)

    def in_working(self, call):
        self.elector.start()
        began = threading.Event()

        def work():
            with contextlib.suppress(LeadershipLostError), self.elector.leadership():
                began.set()
                self.finish.wait(PATIENCE)

        self.spawned.append(spawn(work))
        assert began.wait(PATIENCE)
        return self._watch(call)

    def in_draining(self, call):
        self.in_working("current_leader")
        self.spawned.append(spawn(lambda: self.elector.step_down(stay_out=0)))
        while self.elector.current_leader:
            time.sleep(0.001)
        return self._watch(call)

    def in_asked(self, call):
        began, asked = threading.Event(), threading.Event()

        def work(_):
            began.set()
            self.finish.wait(PATIENCE)

        self.spawned.append(spawn(lambda: self.elector.run(work, on_stop=asked.set)))
        assert began.wait(PATIENCE)
        self.spawned.append(spawn(lambda: self.elector.step_down(stay_out=0)))
        assert asked.wait(PATIENCE)
        return self._watch(call)

    def in_own_asked_scope(self, call):
        asked, endings = threading.Event(), []

        def work(_):
            if not endings:
                endings.append(perform(self.elector, call))
                assert asked.wait(PATIENCE)
            self.elector.stop()

        self.elector.run(work, on_stop=asked.set)
        return endings[0]

    def in_own_scope(self, call):
        self.elector.start()
        ending = None
        try:
            with self.elector.leadership(PATIENCE) as term:
                ending = perform(self.elector, call)
                ending.lost = term.lost.is_set()
        except LeadershipLostError:
            ending.block = "LeadershipLostError"
        return ending

    def in_own_lost_scope(self, call):
        self.elector.start()
        ending = None
        with (
            contextlib.suppress(LeadershipLostError),
            self.elector.leadership(PATIENCE) as term,
        ):
            self.spawned.append(spawn(lambda: self.elector.step_down(stay_out=0)))
            assert term.lost.wait(PATIENCE)
            ending = perform(self.elector, call)
        return ending

    def in_guarded(self, call):
        self.elector.start()
        self.elector.wait_until_leading(PATIENCE)
        began = threading.Event()

        def work():
            with self.elector.guard():
                began.set()
                assert self.finish.wait(PATIENCE)

        self.spawned.append(spawn(work))
        assert began.wait(PATIENCE)
        return self._watch(call)

    def in_own_guard(self, call):
        self.elector.start()
        self.elector.wait_until_leading(PATIENCE)
        with self.elector.guard():
            return perform(self.elector, call)

    def in_ended(self, call):
        self.elector.start()
        self.elector.wait_until_leading(PATIENCE)
        self.elector.stop()
        return self._watch(call)

    def in_own_handler(self, call):
        ended = Future()
        self.elector.once(
            EVENTS.LEADERSHIP_ACQUIRED,
            lambda _: ended.set_result(perform(self.elector, call)),
        )
        self.elector.start()
        return ended.result(PATIENCE)

    def in_child(self, call):
        self.elector.start()
        self.elector.wait_until_leading(PATIENCE)
        return in_child(lambda: perform(self.elector, call))

    def _watch(self, call):
        """Make a call, and see whether it waits: a late end of one that does not is one."""
        future = spawn(lambda: perform(self.elector, call))
        with contextlib.suppress(TimeoutError):
            return future.result(GLANCE if self.waits else PATIENCE)
        if self.rival:
            hold(self.client, "")
        self.finish.set()
        if call == "run(main)":
            self.elector.stop()
        return Ending("waits", after=future.result(PATIENCE))
