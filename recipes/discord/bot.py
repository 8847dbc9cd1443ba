import asyncio
import contextlib
import logging
import os

import discord

from kubernetes_leader_election import Elector, Term

logging.basicConfig(level=logging.INFO, format="%(message)s")
logging.getLogger("discord").setLevel(logging.ERROR)


async def work(term: Term) -> None:
    intents = discord.Intents(guilds=True)  # one client for each term: it is used up
    async with discord.Client(intents=intents, proxy=os.getenv("BOT_PROXY")) as client:

        @client.event
        async def on_ready() -> None:
            print("connected as", client.user, flush=True)

        await client.start(os.environ["BOT_TOKEN"])


with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends it quietly
    asyncio.run(Elector(lease_name="shop").run(work))
