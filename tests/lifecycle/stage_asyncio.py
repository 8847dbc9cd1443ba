"""The stage of the elector for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect

from kubernetes_leader_election import Elector, LeadershipLostError
from kubernetes_leader_election.events import EVENTS
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


async def wait_for_ever(term):
    """Be the main of run()."""
    await asyncio.Event().wait()


async def job():
    """Be a job of the leader."""
    return 1.0


async def perform(elector, call):
    """Make a call and say how it ended, unless it is cancelled."""
    try:
        if call == "leadership()":
            async with elector.leadership() as term:
                return returned(term)
        if call == "guard()":
            async with elector.guard() as term:
                return returned(term)
        if call == "background(main)":
            async with elector.background(wait_for_ever) as leading:
                return returned(leading)
        if call == "call_if_leading(job)":
            return returned(await elector.call_if_leading(job))
        if call == "only_while_leading(job)()":
            return returned(await elector.only_while_leading(job)())
        if call == "run(main)":
            return returned(await elector.run(wait_for_ever))
        result = SIMPLE[call](elector)
        return returned(await result if inspect.isawaitable(result) else result)
    except Exception as error:  # noqa: BLE001 - the ending is the result
        return raised(error)


class Stage:
    """Play one row of the table."""

    def __init__(self, client):
        self.client = client
        self.waits = False
        self.elector = Elector(**options())
        self.tasks = []
        self.rival = False

    def play(self, state, call, *, waits):
        """Bring an elector into a state, make a call, and say how it ended."""
        self.waits = waits
        return asyncio.run(self._play(state, call))

    async def _play(self, state, call):
        self.finish = asyncio.Event()
        self.outside = contextvars.copy_context()
        try:
            async with asyncio.timeout(PATIENCE):
                return await getattr(self, "in_" + state.replace(" ", "_"))(call)
        finally:
            self.finish.set()
            await self.elector.stop(timeout=PATIENCE)
            for task in self.tasks:
                await task

    async def in_stopped(self, call):
        return await self._watch(call)

    async def in_candidate(self, call):
        self.rival = True
        hold(self.client, "rival")
        await self.elector.start()
        assert await self.elector.wait_for_leader(PATIENCE) == "rival"
        return await self._watch(call)

    async def in_leader(self, call):
        await self.elector.start()
        await self.elector.wait_until_leading(PATIENCE)
        return await self._watch(call)

    async def in_working(self, call):
        await self.elector.start()
        began = asyncio.Event()

        async def work():
            with contextlib.suppress(LeadershipLostError):
                async with self.elector.leadership() as self.term:
                    began.set()
                    try:
                        await asyncio.Event().wait()
                    except asyncio.CancelledError:
                        await self.finish.wait()
                        raise

        self._spawn(work())
        await began.wait()
        return await self._watch(call)

    async def in_draining(self, call):
        await self.in_working("current_leader")
        self._spawn(self.elector.step_down(stay_out=0))
        await self.term.lost.wait()
        return await self._watch(call)

    async def in_asked(self, call):
        began, asked = asyncio.Event(), asyncio.Event()

        async def work(_):
            began.set()
            await self.finish.wait()

        self._spawn(self.elector.run(work, on_stop=asked.set))
        await began.wait()
        self._spawn(self.elector.step_down(stay_out=0))
        await asked.wait()
        return await self._watch(call)

    async def in_own_asked_scope(self, call):
        asked, endings = asyncio.Event(), []

        async def work(_):
            if not endings:
                endings.append(await perform(self.elector, call))
                await asked.wait()
            await self.elector.stop()

        await self.elector.run(work, on_stop=asked.set)
        return endings[0]

    async def in_own_scope(self, call):
        await self.elector.start()
        ending = Ending("cancelled")
        try:
            async with self.elector.leadership():
                ending = await perform(self.elector, call)
        except LeadershipLostError:
            ending.block = "LeadershipLostError"
        return ending

    async def in_own_lost_scope(self, call):
        await self.elector.start()
        ending = None
        with contextlib.suppress(LeadershipLostError):
            async with self.elector.leadership():
                self._spawn(self.elector.step_down(stay_out=0))
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    ending = await perform(self.elector, call)
                    raise
        return ending

    async def in_guarded(self, call):
        await self.elector.start()
        await self.elector.wait_until_leading(PATIENCE)
        began = asyncio.Event()

        async def work():
            async with self.elector.guard():
                began.set()
                await self.finish.wait()

        self._spawn(work())
        await began.wait()
        return await self._watch(call)

    async def in_own_guard(self, call):
        await self.elector.start()
        await self.elector.wait_until_leading(PATIENCE)
        async with self.elector.guard():
            return await perform(self.elector, call)

    async def in_ended(self, call):
        await self.elector.start()
        await self.elector.wait_until_leading(PATIENCE)
        await self.elector.stop()
        return await self._watch(call)

    async def in_own_handler(self, call):
        ended = asyncio.get_running_loop().create_future()

        async def handler(event):
            ended.set_result(await perform(self.elector, call))

        self.elector.once(EVENTS.LEADERSHIP_ACQUIRED, handler)
        await self.elector.start()
        return await ended

    async def in_child(self, call):
        await self.elector.start()
        await self.elector.wait_until_leading(PATIENCE)
        return in_child(lambda: asyncio.run(perform(self.elector, call)))

    def _spawn(self, work):
        """Start a task that is not part of any scope or handler."""
        self.tasks.append(asyncio.create_task(work, context=self.outside))

    async def _watch(self, call):
        """Make a call, and see whether it waits: a late end of one that does not is one."""
        task = asyncio.create_task(perform(self.elector, call))
        enough = GLANCE if self.waits else PATIENCE / 2  # the stage itself has PATIENCE
        done, _ = await asyncio.wait({task}, timeout=enough)
        if done:
            return await task
        if self.rival:
            hold(self.client, "")
        self.finish.set()
        if call == "run(main)":
            await self.elector.stop()
        return Ending("waits", after=await task)
