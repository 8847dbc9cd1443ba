"""
A kubelet that runs nothing: what a real one reports of pods, told on order.

It starts pods, reports that a container has ended, with what stands in its termination
file, starts it again, and lies as real ones do. Programs do not run in its pods: a test
runs them itself, and says what has become of them.
"""

from __future__ import annotations

import http.client
import json
import secrets
import ssl
import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from kubernetes_leader_election.errors import ProtocolMisuseError

if TYPE_CHECKING:
    from kubernetes_leader_election.testing.lease_server import LeaseServer

__all__ = ["Kubelet", "Pod"]

READ_AT_THE_END: Final = 4096
"""Bytes of a termination file that a kubelet reads, of which it keeps the first."""
KEPT_IN_ALL: Final = 12 * 1024
"""Bytes of messages that it keeps for all containers of a pod."""
PATIENCE: Final = 10.0
"""Seconds for one request."""


class Pod:
    """
    One pod with one container, as its kubelet sees it. Made by :meth:`Kubelet.start`.

    .. code-block:: python

        with Kubelet(server) as kubelet:
            pod = kubelet.start("billing-0", container="billing")
            print(pod.termination_file)    # where a program in it leaves its note
            pod.kill()                     # the status says so, as of a SIGKILL
            pod.restart()                  # the container runs again, in the same pod
    """

    def __init__(
        self, kubelet: Kubelet, document: dict[str, Any], container: str
    ) -> None:
        metadata = document["metadata"]
        self._kubelet = kubelet
        self.name: str = metadata["name"]
        """Of the pod."""
        self.namespace: str = metadata["namespace"]
        """Of the pod."""
        self.uid: str = metadata["uid"]
        """Of the pod, given by the server."""
        self.container = container
        """The name of the container."""
        self.restarts = 0
        """How often the container was started again."""
        self._begin()
        self.report()

    def _begin(self) -> None:
        """Begin with another instance of the container, and a new file."""
        self._number = secrets.token_hex(4)
        self._id = f"containerd://{secrets.token_hex(32)}"
        self._started = _now()
        self._state: dict[str, Any] = {"running": {"startedAt": self._started}}
        self._last: dict[str, Any] = getattr(self, "_last", {})
        folder = self._kubelet.folder / f"pods/{self.uid}/containers/{self.container}"
        folder.mkdir(parents=True, exist_ok=True)
        self.termination_file = folder / self._number
        """The file of this instance, which the kubelet reads when it has ended."""
        self.termination_file.touch(0o666)

    # What becomes of its container ---------------------------------------------------

    def kill(self, *, code: int = 137, reason: str = "Error", after: float = 0) -> None:
        """
        Report that the container has ended, with what is in its termination file.

        Args:
            code: the exit code; 137 is that of SIGKILL.
            reason: "Error", "Completed" or "OOMKilled".
            after: seconds until the kubelet notices; blocks for so long.

        """
        self._end(code, reason)
        self._kubelet.wait(after)
        self.report()

    def restart(self) -> None:
        """Start the container that has ended again, in place: a new file, the same pod."""
        if "terminated" not in self._state:
            raise ProtocolMisuseError(f"the container of {self.name} has not ended")
        self._last = self._state
        self.restarts += 1
        self._begin()
        self.report()

    def lie(self, *, code: int = 255, reason: str = "Error") -> None:
        """Report an end, with the message, of a container whose process runs on."""
        self._end(code, reason)
        self.report()

    def delete(self, *, grace: int = 0, code: int = 143) -> None:
        """End the pod in good order: marked, then its container ends, then it is gone."""
        self._kubelet.request("DELETE", self._path, {"gracePeriodSeconds": grace or 1})
        self.kill(code=code)
        self.force_delete()

    def force_delete(self) -> None:
        """Take the pod out of the API at once; its kubelet has not said a word."""
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}}
        self._kubelet.request("DELETE", self._path, body)

    def lose_node(self) -> None:
        """Report what the control plane does of a pod whose node is not heard of."""
        condition = {
            "type": "Ready",
            "status": "False",
            "reason": "NodeNotReady",
            "lastTransitionTime": _now(),
        }
        self._patch(
            {"phase": "Failed", "reason": "NodeLost", "conditions": [condition]}
        )

    # Inside ---------------------------------------------------------------------------

    def _end(self, code: int, reason: str) -> None:
        self._state = {
            "terminated": {
                "exitCode": code,
                "reason": reason,
                "message": self._message(),
                "startedAt": self._started,
                "finishedAt": _now(),
                "containerID": self._id,
            }
        }

    def _message(self) -> str:
        whole = self.termination_file.read_bytes()
        text = whole[-READ_AT_THE_END:][:KEPT_IN_ALL].decode("utf-8", "replace")
        return text.removeprefix("\ufeff")

    def report(self) -> None:
        """Write the status as it is now."""
        self._patch(
            {
                "phase": "Running",
                "containerStatuses": [
                    {
                        "name": self.container,
                        "image": "none",
                        "imageID": "",
                        "containerID": self._id,
                        "ready": "running" in self._state,
                        "restartCount": self.restarts,
                        "state": self._state,
                        "lastState": self._last,
                    }
                ],
            }
        )

    def _patch(self, status: dict[str, Any]) -> None:
        self._kubelet.request("PATCH", f"{self._path}/status", {"status": status})

    @property
    def _path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"


class Kubelet:
    """
    Play the kubelet of one node for a :class:`LeaseServer`; as a context manager.

    Args:
        server: the running server, whose administrator the kubelet is.
        node: the name of its node.

    """

    def __init__(self, server: LeaseServer, *, node: str = "node-1") -> None:
        self._server = server
        self._node = node
        self._folder = tempfile.TemporaryDirectory(prefix="kubelet-")
        self._over = threading.Event()
        self.folder = Path(self._folder.name)
        """Where the termination files are, as below /var/lib/kubelet."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the files; the pods stay as they are."""
        self.stop()

    def stop(self) -> None:
        """Remove the files; the pods stay as they are."""
        self._over.set()
        self._folder.cleanup()

    def start(
        self,
        name: str,
        *,
        namespace: str = "default",
        container: str = "main",
        **spec: Any,
    ) -> Pod:
        """
        Create a pod on this node, and report that its container runs.

        Args:
            name: of the pod.
            namespace: where it is.
            container: the name of its one container.
            spec: more of its spec, such as ``hostPID=True``.

        """
        document = {
            "metadata": {"name": name},
            "spec": {
                "nodeName": self._node,
                "containers": [{"name": container, "image": "none"}],
                **spec,
            },
        }
        path = f"/api/v1/namespaces/{namespace}/pods"
        return Pod(self, self.request("POST", path, document), container)

    # For its pods ---------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        """Let time pass, unless the kubelet is stopped."""
        self._over.wait(seconds)

    def request(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """
        Send one request as the administrator.

        Raises:
            ProtocolMisuseError: the server refuses it.

        """
        server, url = self._server, urlsplit(self._server.url)
        assert url.hostname is not None
        if server.ca is None:
            connection = http.client.HTTPConnection(
                url.hostname, url.port, timeout=PATIENCE
            )
        else:
            context = ssl.create_default_context(cadata=server.ca)
            connection = http.client.HTTPSConnection(
                url.hostname, url.port, timeout=PATIENCE, context=context
            )
        kind = "merge-patch+json" if method == "PATCH" else "json"
        headers = {
            "Authorization": f"Bearer {server.user('admin').token}",
            "Content-Type": f"application/{kind}",
            "User-Agent": "kubelet",
        }
        try:
            connection.request(method, path, json.dumps(body), headers)
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        if response.status >= 300:
            raise ProtocolMisuseError(f"{method} {path}: {answer.get('message')}")
        return answer


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
