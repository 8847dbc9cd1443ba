"""
A chat bot: two replicas are logged in, one answers.

Both read every message, so a hand-over loses none that is still in the queue; only
the leader answers. An answer that was begun is part of the leader's work: the next
leader answers nothing before it is sent.
"""

import asyncio
import os
import sys

from kubernetes_leader_election import EVENTS, Elector
from kubernetes_leader_election.events import LeaderChanged, LeadershipAcquired

elector = Elector(
    lease_name="bot", identity=os.environ.get("POD_NAME"), preset="steady"
)


@elector.on(EVENTS.LEADER_CHANGED)
def on_leader_changed(event: LeaderChanged) -> None:
    """Tell who answers from now on."""
    print(f"answered by {event.holder_identity!a}", flush=True)


@elector.on(EVENTS.LEADERSHIP_ACQUIRED)
def on_leadership_acquired(event: LeadershipAcquired) -> None:
    """Tell that this replica answers whatever comes from now on."""
    print(f"{event.identity!a} answers", flush=True)


@elector.only_while_leading
async def answer(message: str) -> None:
    """Answer one message; the other replica skips this."""
    print(f"you said {message!r}", flush=True)


async def messages() -> asyncio.StreamReader:
    """Stand in for the chat: one message a line of standard input."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


async def main() -> None:
    """Answer while leading, read on while not."""
    async with elector:
        chat = await messages()
        await elector.wait_for_leader()
        while message := await chat.readline():
            await answer(message.decode().strip())


if __name__ == "__main__":
    asyncio.run(main())
