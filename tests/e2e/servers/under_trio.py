"""Start the elector for asyncio under trio, and say what comes of it."""

from __future__ import annotations

import trio

from kubernetes_leader_election import Elector, ProtocolMisuseError, sync


async def main() -> None:
    """Try, and then do as the error says."""
    try:
        await Elector().start()
    except ProtocolMisuseError as error:
        print(error, flush=True)
    elector = sync.Elector()
    await trio.to_thread.run_sync(elector.start)
    term = await trio.to_thread.run_sync(elector.wait_until_leading)
    print(term.number, flush=True)
    await trio.to_thread.run_sync(elector.stop)


trio.run(main)
