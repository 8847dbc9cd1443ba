"""Terminals for tests of commands: what somebody sees who calls one there."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

KLE = Path(sys.executable).parent / "kle"


def seen_on_a_terminal(*words: object, columns: int, lines: int = 24) -> str:
    """Call `kle` on a terminal of this size; give what it wrote when it succeeded."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    kept = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "LINES"}}
    process = subprocess.Popen(
        [KLE, *map(str, words)],
        stdout=follower,
        stderr=follower,
        env={**kept, "TERM": "xterm-256color"},
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(leader)
    assert process.wait() == 0, shown
    return shown.decode()
