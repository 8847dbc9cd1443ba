"""A bot with aiogram that polls while it leads; its Bot API is in this process."""

from __future__ import annotations

import asyncio
import os
import signal

from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiohttp import web
from beside import note

from kubernetes_leader_election import Elector, Term
from kubernetes_leader_election.credentials import kubeconfig

elector = Elector(lease_name="beside", credentials=kubeconfig())
dispatcher = Dispatcher()
polled = asyncio.Event()


async def answer(request: web.Request) -> web.Response:
    """Be the Bot API, for a bot that nobody writes to."""
    if request.match_info["method"] == "getMe":
        me = {"id": 1, "is_bot": True, "first_name": "bot", "username": "bot"}
        return web.json_response({"ok": True, "result": me})
    if not polled.is_set():
        polled.set()
        note("works", os.getpid())
    await asyncio.sleep(0.2)  # a long poll, in short
    return web.json_response({"ok": True, "result": []})


async def ask() -> None:
    """Do what `on_stop=dispatcher.stop_polling` does, and note it."""
    note("asked", os.getpid())
    await dispatcher.stop_polling()


async def main() -> None:
    """Lead until a signal comes; another one hands over."""
    app = web.Application()
    app.router.add_post("/bot{token}/{method}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    api = TelegramAPIServer.from_base(f"http://{host}:{port}")
    bot = Bot("1:of-a-test", session=AiohttpSession(api=api))
    tasks = set[asyncio.Task[None]]()

    async def poll(term: Term) -> None:
        polled.clear()
        note("begins", os.getpid(), term.number)
        try:
            await dispatcher.start_polling(
                bot, polling_timeout=1, handle_signals=False, close_bot_session=False
            )
        finally:
            note("ends", os.getpid())

    def hand_over() -> None:
        tasks.add(asyncio.create_task(elector.step_down(stay_out=0)))

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, hand_over)
    try:
        await elector.run(poll, on_stop=ask)
    finally:
        await bot.session.close()
        await runner.cleanup()


asyncio.run(main())
