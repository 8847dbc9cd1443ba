"""Event handlers, as in the example of the Node package."""

import asyncio
import os
import signal

from kubernetes_leader_election import EVENTS, Elector
from kubernetes_leader_election.events import ElectorEvent

elector = Elector(
    lease_name="my-application-lease",
    auto_close=False,
    identity=os.environ.get("POD_NAME") or f"my-application-{os.getpid()}",
)


@elector.on(EVENTS.LEADERSHIP_ACQUIRED)
@elector.on(EVENTS.LEADERSHIP_LOST)
async def important_function(event: ElectorEvent) -> None:
    """Do what only the leader may do."""
    if not elector.current_leader:
        print(f"{event.name}: I'm not the leader. Nothing to do", flush=True)
        return
    print(f"{event.name}: important work has been done", flush=True)


async def main() -> None:
    """Contend until SIGINT or SIGTERM."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await elector.start()
    await stopping.wait()
    elector.log.info("received a signal")
    await elector.stop()


if __name__ == "__main__":
    asyncio.run(main())
