"""
Bring up a node by hand: ``python tests/e2e/node``, which is what ``make node`` calls.

Alone, it prints how to reach the node and keeps it until Ctrl-C. With a command, it runs
that beside the node and passes its exit code on::

    python tests/e2e/node -- pytest tests/e2e/node

The command finds in its environment ``NODE_FOLDER``, by which `node.handle.Node` and the
fixtures of the tests know the node.

Exit codes: the command's; 0 after Ctrl-C; 3 when this machine lacks something.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from controlplane import binaries, build

from node.images import BILLING, KLE
from node.up import RunningNode, lacking


def main(arguments: list[str]) -> int:
    """Bring a node up, use it, end it; return the exit code."""
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    if build.why_impossible(binaries.go_version()) is None:
        build.main([])
    if missing := lacking():
        print(f"No node: {missing}.", file=sys.stderr)
        return 3
    signal.signal(signal.SIGTERM, _end)
    with RunningNode() as up:
        if not command:
            kubectl = [str(up.node.facts.kubectl)]
            kubectl.append(f"--kubeconfig={up.kubeconfig('admin')}")
            print(f"A node is up, after {up.took['images']:.0f} s. In another shell:")
            print(
                f"  alias k={shlex.quote(shlex.join(up.node.inside.command(*kubectl)))}"
            )
            print("  kle manifests billing --image " + BILLING + " | k apply -f -")
            print(f"Images: {KLE}, {BILLING}; none can be pulled. Files: {up.folder}")
            print("Ctrl-C ends it.", flush=True)
            signal.pause()
            return 0
        told = {"NODE_FOLDER": str(up.folder)}
        return subprocess.run(
            command, env={**os.environ, **told}, check=False
        ).returncode


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(0)
