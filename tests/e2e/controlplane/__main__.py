"""
Start a control plane by hand: ``python tests/e2e/controlplane``.

Alone, it prints how to reach the server and keeps it until Enter or Ctrl-C. With
a command, it runs that against the fresh server and passes its exit code on::

    python tests/e2e/controlplane -- pytest tests/conformance

The command finds in its environment ``CONFORMANCE_KUBECONFIG`` (the kubeconfig of
the user admin), ``CONFORMANCE_ETCD_PID``, and ``CONFORMANCE_FORGET``: a socket that
has the servers forget their history when somebody connects, and says so in a line.
``KUBECONFIG`` is not set: nothing meets a cluster by accident.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from controlplane import binaries
from controlplane.control_plane import USERS, ControlPlane


def serve_forgetting(control_plane: ControlPlane) -> Path:
    """Forget all history for whoever connects to the socket returned."""
    path = control_plane.folder / "forget.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        while True:
            caller, _ = listener.accept()
            with caller:
                control_plane.forget_history()
                caller.sendall(b"forgotten\n")

    threading.Thread(target=serve, daemon=True).start()
    return path


def main(arguments: list[str]) -> int:
    """Start a pair, use it, end it; return the exit code."""
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    try:
        control_plane = ControlPlane()
    except binaries.MissingProgramError as error:
        print(f"No control plane: {error}", file=sys.stderr)
        return 3
    with control_plane:
        config = control_plane.kubeconfig("admin")
        if not command:
            print(f"export KUBECONFIG={config}")
            print(f"Users: {', '.join(USERS)}. Logs: {control_plane.folder}")
            print("Enter ends it.", flush=True)
            sys.stdin.readline()
            return 0
        told = {
            "CONFORMANCE_KUBECONFIG": str(config),
            "CONFORMANCE_ETCD_PID": str(control_plane.etcd.pid),
            "CONFORMANCE_FORGET": str(serve_forgetting(control_plane)),
        }
        return subprocess.run(
            command, env={**os.environ, **told}, check=False
        ).returncode


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
