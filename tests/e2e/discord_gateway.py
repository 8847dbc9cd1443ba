"""
As much of Discord as a bot needs to be connected, reached through a proxy over TLS.

A bot finds it as it finds Discord itself, by the names in its library: it is told a proxy,
which leads here whatever it is asked for, and a certificate authority.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trustme
from aiohttp import WSMsgType, web

from kubernetes_leader_election.testing.loop_thread import LoopThread

NAMES = ("discord.com", "gateway.discord.gg")
BOT = {"id": "1", "username": "shop-bot", "discriminator": "0", "avatar": None}
HELLO, IDENTIFY, HEARTBEAT, ACKNOWLEDGED = 10, 2, 1, 11


class Gateway(LoopThread):
    """
    Counts the sessions of bots.

    Args:
        certificates: where the file of the certificate authority goes.

    """

    what = "gateway"

    def __init__(self, certificates: Path) -> None:
        super().__init__()
        authority = trustme.CA()
        self._authority = certificates
        authority.cert_pem.write_to_path(str(certificates))
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(*NAMES).configure_cert(self._tls)
        self._proxy_port = 0
        # How many sessions there are, were, and were at most at one time.
        self.open = 0
        self.opened = 0
        self.most = 0

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a bot that finds it."""
        return {
            "BOT_PROXY": f"http://127.0.0.1:{self._proxy_port}",
            "BOT_TOKEN": "of-a-test",
            "SSL_CERT_FILE": str(self._authority),
        }

    async def serve(self, ready: Callable[[], None], stopping: asyncio.Event) -> None:
        """Answer, on ports of this machine."""
        app = web.Application()
        app.router.add_get("/api/v10/{path:.*}", self._api)
        app.router.add_get("/", self._session)
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        port = runner.addresses[0][1]

        async def forward(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            await _connect(reader, writer, port)

        proxy = await asyncio.start_server(forward, "127.0.0.1", 0)
        self._proxy_port = proxy.sockets[0].getsockname()[1]
        ready()
        await stopping.wait()
        proxy.close()
        await runner.cleanup()

    async def _api(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        if path == "users/@me":
            return _json(BOT)
        if path == "oauth2/applications/@me":
            application: dict[str, Any] = {
                "id": "1",
                "name": "shop",
                "description": "",
                "icon": None,
                "bot_public": False,
                "bot_require_code_grant": False,
                "verify_key": "",
                "flags": 0,
                "summary": "",
                "owner": BOT,
            }
            return _json(application)
        if path == "gateway/bot":
            limit = {"total": 1000, "remaining": 999, "reset_after": 0}
            limit["max_concurrency"] = 1
            found = {"url": "wss://gateway.discord.gg", "shards": 1}
            return _json({**found, "session_start_limit": limit})
        return _json({"message": "404: Not Found", "code": 0}, status=404)

    async def _session(self, request: web.Request) -> web.WebSocketResponse:
        """Hold one session: it counts from its IDENTIFY to its end."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"op": HELLO, "d": {"heartbeat_interval": 41250}})
        identified = False
        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    continue
                told = json.loads(message.data)
                if told["op"] == HEARTBEAT:
                    await socket.send_json({"op": ACKNOWLEDGED})
                elif told["op"] == IDENTIFY and not identified:
                    identified = True
                    self.open += 1
                    self.opened += 1
                    self.most = max(self.most, self.open)
                    await socket.send_json({"op": 0, "t": "READY", "s": 1, "d": READY})
        finally:
            self.open -= identified
        return socket


READY = {
    "v": 10,
    "user": BOT,
    "guilds": [],
    "session_id": "of-a-test",
    "resume_gateway_url": "wss://gateway.discord.gg",
    "application": {"id": "1", "flags": 0},
}


def _json(what: Any, status: int = 200) -> web.Response:
    """Return an answer in JSON; the type without a charset, which the library compares."""
    headers = {"Content-Type": "application/json"}
    return web.Response(body=json.dumps(what).encode(), status=status, headers=headers)


async def _connect(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int
) -> None:
    """Answer one CONNECT, whatever its name, and pass on bytes both ways."""
    await reader.readuntil(b"\r\n\r\n")
    inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_pass_on(reader, inner_writer))
            tasks.create_task(_pass_on(inner_reader, writer))
    except* ConnectionError:
        pass  # a bot that was killed
    finally:
        writer.close()
        inner_writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
