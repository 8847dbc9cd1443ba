"""
A network of its own for each candidate: namespaces, a router, and real packet loss.

The router drops what it is told to drop, without a word to anybody: that is what a
broken switch or a firewall does, and what no proxy can do, since the kernel behind a
proxy still answers. It needs root and the program ``ip``.
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import subprocess
from typing import Self

__all__ = ["Host", "Network", "why_impossible"]

NETS = range(100, 250)
"""Second numbers of the addresses, one a network: 10.NET.0.0/16."""


def ip(*arguments: str) -> None:
    """Run ``ip``; raise with what it said if it fails."""
    done = subprocess.run(
        ["ip", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def why_impossible() -> str | None:
    """Return why this machine lends no network namespaces, or None if it does."""
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    if shutil.which("ip") is None:
        return "the program `ip` is missing (Debian: apt-get install iproute2)"
    try:
        with Network():
            return None
    except (RuntimeError, OSError) as error:
        return str(error)


class Host:
    """
    One machine on the network; what it sends and gets can be dropped.

    Args:
        network: whose router it stands behind.
        number: from 1; its address is 10.NET.NUMBER.2.

    """

    def __init__(self, network: Network, number: int) -> None:
        self.name = f"{network.name}-{number}"
        self.address = f"10.{network.net}.{number}.2"
        self._router = network.router
        self._dropped: set[str] = set()
        link, peer = f"r{number}", "uplink"
        ip("netns", "add", self.name)
        ip(
            *("-n", self._router, "link", "add", link, "type", "veth"),
            *("peer", "name", peer, "netns", self.name),
        )
        gateway = f"10.{network.net}.{number}.1"
        ip("-n", self._router, "addr", "add", f"{gateway}/24", "dev", link)
        ip("-n", self._router, "link", "set", link, "up")
        ip("-n", self.name, "addr", "add", f"{self.address}/24", "dev", peer)
        ip("-n", self.name, "link", "set", peer, "up")
        ip("-n", self.name, "link", "set", "lo", "up")
        ip("-n", self.name, "route", "add", "default", "via", gateway)

    @property
    def command(self) -> list[str]:
        """Return what to put before a command that is to run on this host."""
        return ["ip", "netns", "exec", self.name]

    def black_hole(self, direction: str = "both") -> None:
        """Drop every packet: ``to_server``, ``to_client`` or ``both``."""
        wanted = {"to_server", "to_client"} if direction == "both" else {direction}
        for one in sorted(wanted - self._dropped):
            self._change("add", one)
        self._dropped |= wanted

    def heal(self) -> None:
        """Drop nothing any more."""
        for one in sorted(self._dropped):
            self._change("del", one)
        self._dropped.clear()

    def _change(self, verb: str, direction: str) -> None:
        router = ("-n", self._router)
        if direction == "to_server":
            ip(*router, "rule", verb, "from", self.address, "blackhole")
        else:
            ip(*router, "route", verb, "blackhole", f"{self.address}/32")

    def close(self) -> None:
        """Take the host away."""
        ip("netns", "del", self.name)


class Network:
    """
    A router next to this machine, and hosts behind it.

    ::

        with Network() as network:
            host = network.host()
            subprocess.run([*host.command, "curl", f"http://{network.server}:8080"])
            host.black_hole("to_client")

    """

    def __init__(self) -> None:
        self.net = random.SystemRandom().choice(NETS)
        self.name = f"election-{secrets.token_hex(3)}"
        self.router = f"{self.name}-router"
        self._link = f"el{secrets.token_hex(3)}"
        self._hosts: list[Host] = []
        self._made = False

    @property
    def server(self) -> str:
        """Return where hosts find what listens on all addresses of this machine."""
        return f"10.{self.net}.0.1"

    def host(self) -> Host:
        """Connect one more host."""
        host = Host(self, len(self._hosts) + 1)
        self._hosts.append(host)
        return host

    def __enter__(self) -> Self:
        """Set the router up."""
        router = f"10.{self.net}.0.2"
        ip("netns", "add", self.router)
        self._made = True
        try:
            ip(
                *("link", "add", self._link, "type", "veth"),
                *("peer", "name", "uplink", "netns", self.router),
            )
            ip("addr", "add", f"{self.server}/30", "dev", self._link)
            ip("link", "set", self._link, "up")
            ip("-n", self.router, "addr", "add", f"{router}/30", "dev", "uplink")
            ip("-n", self.router, "link", "set", "uplink", "up")
            ip("route", "add", f"10.{self.net}.0.0/16", "via", router)
            forward = "echo 1 > /proc/sys/net/ipv4/ip_forward"
            ip("netns", "exec", self.router, "sh", "-c", forward)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Take everything away; the links go with their namespaces."""
        for host in self._hosts:
            host.close()
        self._hosts.clear()
        if self._made:
            self._made = False
            ip("netns", "del", self.router)
