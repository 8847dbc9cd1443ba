"""
A TCP proxy that misbehaves on order: below HTTP and TLS, where networks fail.

Each client can have a *lane* of its own: an address of the proxy with its own faults.
What a black hole holds back is delivered when it heals, as TCP would resend it; so a
request can arrive long after its sender has given up.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Self
from urllib.parse import urlsplit

from kubernetes_leader_election.errors import ProtocolMisuseError
from kubernetes_leader_election.testing.listening import close_listener, settle
from kubernetes_leader_election.testing.loop_thread import LoopThread

__all__ = ["Direction", "Lane", "TcpProxy"]

Direction = Literal["both", "to_server", "to_client"]

CHUNK = 64 * 1024
_LINGER_ZERO = struct.pack("ii", 1, 0)


@dataclass(slots=True, eq=False)
class _Flow:
    """What happens to the bytes of one direction of a lane."""

    open: asyncio.Event = field(default_factory=asyncio.Event)
    delay: float = 0.0
    drip: float | None = None


@dataclass(slots=True, eq=False)
class _Connection:
    """One client and its connection to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    half_open: bool = False


class Lane:
    """
    One address of the proxy, with the faults of those who use it.

    Every method may be called from any thread and returns once it is in force.
    """

    def __init__(self, proxy: TcpProxy, name: str) -> None:
        self.name = name
        self._proxy = proxy
        self._flows: dict[str, _Flow] = {}
        self._connections: set[_Connection] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        self._port = 0
        self.accepted = 0

    @property
    def port(self) -> int:
        """Return the port clients of this lane connect to."""
        return self._port

    @property
    def url(self) -> str:
        """Return the address with the scheme of the proxied one."""
        return f"{self._proxy.scheme}://127.0.0.1:{self._port}"

    @property
    def open_connections(self) -> int:
        """Count the connections clients have open."""
        return self._proxy.call(lambda: len(self._connections))

    def black_hole(self, direction: Direction = "both") -> None:
        """Deliver nothing in a direction, and keep it; connections stay open."""
        self._on(direction, lambda flow: flow.open.clear())

    def heal(self) -> None:
        """End every fault of this lane; held bytes are delivered."""

        def undo(flow: _Flow) -> None:
            flow.delay, flow.drip = 0.0, None
            flow.open.set()

        self._on("both", undo)
        self.accept()

    def _on(self, direction: Direction, change: Callable[[_Flow], None]) -> None:
        """Change what happens to the bytes of one direction, or of both."""

        def change_all() -> None:
            for one in tuple(self._flows) if direction == "both" else (direction,):
                change(self._flows[one])

        self._proxy.call(change_all)

    def delay(self, seconds: float, direction: Direction = "both") -> None:
        """Deliver everything so many seconds late."""

        def set_delay(flow: _Flow) -> None:
            flow.delay = seconds

        self._on(direction, set_delay)

    def drip(self, interval: float, direction: Direction = "to_client") -> None:
        """Deliver byte by byte, one every ``interval`` seconds."""

        def set_drip(flow: _Flow) -> None:
            flow.drip = interval

        self._on(direction, set_drip)

    def reset(self) -> None:
        """Reset every open connection (RST to the client)."""
        self._end_all(_reset)

    def close_connections(self) -> None:
        """Close every open connection in order (FIN to the client)."""
        self._end_all(lambda client: client.close())

    def _end_all(self, end: Callable[[asyncio.StreamWriter], None]) -> None:

        def end_all() -> None:
            for connection in list(self._connections):
                end(connection.client)
                self._forget(connection)

        self._proxy.call(end_all)

    def half_open(self) -> None:
        """
        Let the server's side of every open connection die unnoticed.

        The client's side stays open and silent, whatever it sends. New connections
        work.
        """

        def kill_server_side() -> None:
            for connection in self._connections:
                connection.half_open = True
                if connection.server is not None:
                    connection.server.transport.abort()

        self._proxy.call(kill_server_side)

    def refuse(self) -> None:
        """Refuse new connections; open ones stay."""
        self._proxy.run(self._stop_listening())

    async def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            await close_listener(listener)

    def accept(self) -> None:
        """Take new connections again, on the same port."""
        self._proxy.run(self._listen())

    async def _listen(self) -> None:
        if self._listener is not None:
            return
        if not self._flows:
            self._flows = {"to_server": _Flow(), "to_client": _Flow()}
            for flow in self._flows.values():
                flow.open.set()
        self._listener = await asyncio.start_server(
            self._accept, "127.0.0.1", self._port, backlog=1024
        )
        self._port = self._listener.sockets[0].getsockname()[1]

    def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.accepted += 1
        # Known before its task begins: a task cancelled before that closes nothing.
        connection = _Connection(writer)
        self._connections.add(connection)
        # A task of our own: those of asyncio's streams complain when cancelled.
        task = asyncio.create_task(self._serve(reader, connection))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(
        self, reader: asyncio.StreamReader, connection: _Connection
    ) -> None:
        writer = connection.client
        try:
            up = self._flows["to_server"]
            await up.open.wait()
            try:
                back, forth = await asyncio.open_connection(*self._proxy.target)
            except OSError:
                _reset(writer)
                return
            connection.server = forth
            connection.tasks = [
                asyncio.create_task(self._pump(reader, forth, up, connection)),
                asyncio.create_task(
                    self._pump(back, writer, self._flows["to_client"], connection)
                ),
            ]
            await asyncio.wait(connection.tasks)
        finally:
            self._forget(connection)
            writer.close()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        flow: _Flow,
        connection: _Connection,
    ) -> None:
        """Carry bytes one way until either end is gone."""
        loop = asyncio.get_running_loop()
        pending: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=256)

        async def fill() -> None:
            while True:
                try:
                    chunk = await reader.read(CHUNK)
                except ConnectionError:
                    chunk = b""
                await pending.put((loop.time() + flow.delay, chunk))
                if not chunk:
                    return

        filler = asyncio.create_task(fill())
        connection.tasks.append(filler)
        try:
            while True:
                due, chunk = await pending.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                await flow.open.wait()
                if connection.half_open:
                    if writer is connection.server:
                        continue
                    await asyncio.Event().wait()
                if not chunk:
                    _end(writer)
                    return
                await self._write(writer, flow, chunk)
        except ConnectionError:
            return
        finally:
            filler.cancel()

    @staticmethod
    async def _write(writer: asyncio.StreamWriter, flow: _Flow, chunk: bytes) -> None:
        if flow.drip is None:
            writer.write(chunk)
            await writer.drain()
            return
        for index in range(len(chunk)):
            if flow.drip is None:
                writer.write(chunk[index:])
                break
            writer.write(chunk[index : index + 1])
            await writer.drain()
            await asyncio.sleep(flow.drip)
            await flow.open.wait()

    def _forget(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        for task in connection.tasks:
            task.cancel()
        if connection.server is not None:
            connection.server.transport.abort()

    async def close(self) -> None:
        """Close everything; called in the proxy's loop."""
        await self._stop_listening()
        serving = list(self._serving)
        for connection in list(self._connections):
            connection.client.transport.abort()
            self._forget(connection)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await settle()


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    writer.transport.abort()


def _end(writer: asyncio.StreamWriter) -> None:
    """Pass on the end of one direction; the other may go on."""
    if writer.can_write_eof() and not writer.is_closing():
        with contextlib.suppress(OSError):
            writer.write_eof()


class TcpProxy(LoopThread):
    """
    Stand between clients and a server, in a thread of its own.

    The proxy is its own default lane; ``lane("a")`` gives another address with faults
    of its own. Black holes cannot stop the kernel from completing a connect: a client
    inside one connects, and hears nothing.

    .. code-block:: python

        with LeaseServer() as server, TcpProxy(server.url) as proxy:
            a, b = proxy.lane("a"), proxy.lane("b")
            a.black_hole("to_client")   # a's requests arrive, its answers do not
            a.heal()
    """

    what = "TCP proxy"

    def __init__(self, target: str) -> None:
        super().__init__()
        parts = urlsplit(target)
        if parts.hostname is None or parts.port is None:
            raise ProtocolMisuseError(
                f"{target!r} is no address to proxy: give scheme://host:port"
            )
        self.scheme = parts.scheme
        self.target = (parts.hostname, parts.port)
        self._lanes: dict[str, Lane] = {}

    def start(self) -> Self:
        """Begin to listen."""
        super().start()
        self.lane("default")
        return self

    def lane(self, name: str = "default") -> Lane:
        """Return the lane of that name, opened on first use."""
        if name not in self._lanes:
            lane = Lane(self, name)
            self._lanes[name] = lane
            lane.accept()
        return self._lanes[name]

    @property
    def url(self) -> str:
        """Return the address of the default lane."""
        return self.lane().url

    @property
    def port(self) -> int:
        """Return the port of the default lane."""
        return self.lane().port

    def black_hole(self, direction: Direction = "both") -> None:
        """Deliver nothing in a direction on the default lane."""
        self.lane().black_hole(direction)

    def delay(self, seconds: float, direction: Direction = "both") -> None:
        """Deliver everything late on the default lane."""
        self.lane().delay(seconds, direction)

    def drip(self, interval: float, direction: Direction = "to_client") -> None:
        """Deliver byte by byte on the default lane."""
        self.lane().drip(interval, direction)

    def reset(self) -> None:
        """Reset every open connection of the default lane."""
        self.lane().reset()

    def half_open(self) -> None:
        """Let the server's side of the default lane's connections die unnoticed."""
        self.lane().half_open()

    def refuse(self) -> None:
        """Refuse new connections on the default lane."""
        self.lane().refuse()

    def heal(self) -> None:
        """End every fault of every lane."""
        for lane in self._lanes.values():
            lane.heal()

    async def serve(self, ready: Callable[[], None], stopping: asyncio.Event) -> None:
        """Close all lanes at the end; called in the proxy's loop."""
        ready()
        await stopping.wait()
        for lane in self._lanes.values():
            await lane.close()
