"""
Bring up a node: a control plane, the scheduler, the controllers, kubelet, containerd.

All of it lives in a network, mounts and processes of its own, with no way out. The API
server listens on 10.0.0.1:443, which is also the address that pods are told (the
ClusterIP of the service `kubernetes`), so no kube-proxy is needed. Pods are on a bridge.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Self

import yaml
from controlplane import binaries
from controlplane.access import Response
from controlplane.control_plane import ControlPlane
from controlplane.processes import ServerProcess

from node import cgroups, images
from node.handle import NODE_NAME, SERVER, Daemon, Facts, Node
from node.inside import Holder, InsideProcess

__all__ = ["RunningNode", "lacking"]

PROGRAMS = ("containerd", "containerd-shim-runc-v2", "ctr", "runc", "nsenter", "ip")
PLUGINS = Path("/usr/lib/cni")
GATEWAY, HOST = "10.0.0.1", "10.0.1.1"
PODS = "10.1.0.0/16"
CONTROLLERS, SCHEDULER = "system:kube-controller-manager", "system:kube-scheduler"
KUBELET = f"system:node:{NODE_NAME}"


def lacking() -> str | None:
    """Return in one line what this machine lacks for a node; None if nothing."""
    if os.geteuid() != 0:
        return "a node needs root"
    for program in PROGRAMS:
        if shutil.which(program) is None:
            return (
                f"a node needs {program}: apt-get install containerd runc"
                " containernetworking-plugins iproute2"
            )
    if not (PLUGINS / "bridge").exists():
        return "a node needs CNI plugins: apt-get install containernetworking-plugins"
    if "overlay" not in Path("/proc/filesystems").read_text(encoding="ascii"):
        return "a node needs the file system overlay in the kernel"
    groups = cgroups.hierarchies()
    if not groups or not all(os.access(one, os.W_OK) for one in groups):
        return "a node needs control groups that it may write to, in /sys/fs/cgroup"
    try:
        binaries.find(["etcd", "kube-apiserver", "kubectl", *binaries.NODE])
    except binaries.MissingProgramError as error:
        return str(error)
    return None


class RunningNode(ControlPlane):
    """A node that lives as long as the block; `node` is what tests use of it."""

    names: ClassVar[Sequence[str]] = (
        GATEWAY,
        HOST,
        "127.0.0.1",
        "kubernetes.default.svc",
    )

    def __init__(self) -> None:
        self._holder: Holder | None = None
        self._node: Node | None = None
        groups = {KUBELET: ["system:nodes"], CONTROLLERS: [], SCHEDULER: []}
        self.group = f"kle-node-{secrets.token_hex(4)}"
        self._more = binaries.find(binaries.NODE)
        super().__init__(users=groups)
        self.took: dict[str, float] = {}

    @property
    def server_url(self) -> str:
        """Return the address of the API server, inside."""
        return SERVER

    @property
    def node(self) -> Node:
        """Return what tests use."""
        if self._node is None:
            raise RuntimeError("the node was never started")
        return self._node

    def start(self) -> None:
        """
        Start all; return when the node is ready and has the images.

        Raises:
            TimeoutError: it did not get ready; the logs are in the message.
            RuntimeError: a program ended; the end of its log is in the message.

        """
        began = time.monotonic()
        with ThreadPoolExecutor(2) as pool:
            built = pool.submit(images.build, self.folder, self._more["pause"])
            self._make_space()
            self._write_configs()
            daemons = self._daemons()
            inside = self._hold().inside
            daemons["containerd"].start(inside)
            super().start()
            for name in daemons.keys() - {"containerd"}:
                daemons[name].start(inside)
            self._write_facts()
            self._node = Node(self.folder)
            self.node.wait(self._is_up, "the node is ready")
            self.took["ready"] = time.monotonic() - began
            archive = built.result()
            self.node.ctr("images", "import", archive)
            archive.unlink()
        self.took["images"] = time.monotonic() - began

    def request(self, *arguments: Any, **named: Any) -> Response:
        """Send one request from inside the node's network."""
        answer = self._hold().inside.in_network(super().request, *arguments, **named)
        assert isinstance(answer, Response)
        return answer

    def close(self) -> None:
        """End every process inside, and remove groups and files."""
        if self._node is not None:
            self._node.inside.close()
        if self._holder is not None:
            self._holder.close()
            self._holder = None
        super().close()

    def logs(self, lines: int = 25) -> str:
        """Return the end of all logs."""
        parts = [super().logs(lines)]
        for log in sorted(self.folder.glob("*.log")):
            text = log.read_text(encoding="utf-8", errors="replace").splitlines()
            parts.append(f"--- {log.name}\n" + "\n".join(text[-lines:]))
        return "\n".join(parts)

    def __enter__(self) -> Self:
        """Start; clean up if that fails."""
        return super().__enter__()

    def _hold(self) -> Holder:
        assert self._holder is not None, "its space is made first"
        return self._holder

    def _make_space(self) -> None:
        for place in cgroups.places(self.group):
            self._guard.remove_group(place)
        cgroups.make(self.group)
        self._holder = Holder(self._more["pause"], self._guard)
        for line in (
            "link set lo up",
            "link add host0 type bridge",
            f"address add {GATEWAY}/32 dev host0",
            f"address add {HOST}/32 dev host0",
            "link set host0 up",
            # It leads nowhere; without one, programs find no address of their own.
            f"route add default dev host0 src {HOST}",
        ):
            self._holder.inside.must("ip", *line.split())
        self._assign_ports()

    def _alone(self) -> list[str]:
        return [
            "--bind-address=0.0.0.0",
            f"--advertise-address={HOST}",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged",
            "--service-account-extend-token-expiration=false",
            # Nobody resolves the names of nodes here.
            "--kubelet-preferred-address-types=InternalIP",
        ]

    def _is_up(self) -> bool:
        for daemon in self.node.daemons.values():
            if not daemon.alive:
                raise RuntimeError(f"{daemon.name} ended:\n{self.logs()}")
        return self.node.ready()

    def _write_facts(self) -> None:
        Facts(
            pid=self._hold().inside.pid,
            group=self.group,
            kubectl=str(self._programs["kubectl"]),
            token=self.token("admin"),
            commands=self._commands(),
        ).write(self.folder)

    def _daemons(self) -> dict[str, Daemon]:
        return {k: Daemon(k, v, self.folder) for k, v in self._commands().items()}

    def _commands(self) -> dict[str, list[str]]:
        at = self.folder
        local = ["--leader-elect=false", "--bind-address=127.0.0.1"]
        return {
            "containerd": ["containerd", "--config", f"{at}/containerd.toml"],
            "kube-controller-manager": [
                str(self._more["kube-controller-manager"]),
                f"--kubeconfig={at}/controllers.kubeconfig",
                f"--service-account-private-key-file={at}/accounts.key",
                f"--root-ca-file={self.ca_file}",
                "--use-service-account-credentials",
                f"--cert-dir={at}/controllers",
                # A node that is silent for so long is not ready.
                "--node-monitor-period=1s",
                "--node-monitor-grace-period=12s",
                *local,
            ],
            "kube-scheduler": [
                str(self._more["kube-scheduler"]),
                f"--kubeconfig={at}/scheduler.kubeconfig",
                f"--cert-dir={at}/scheduler",
                *local,
            ],
            "kubelet": [
                str(self._more["kubelet"]),
                f"--config={at}/kubelet.yaml",
                f"--kubeconfig={at}/kubelet.kubeconfig",
                f"--root-dir={at}/kubelet",
                f"--cert-dir={at}/kubelet-certificates",
                f"--hostname-override={NODE_NAME}",
                f"--node-ip={HOST}",
            ],
        }

    def _write_configs(self) -> None:
        at = self.folder
        for file, user in (
            ("kubelet", KUBELET),
            ("controllers", CONTROLLERS),
            ("scheduler", SCHEDULER),
        ):
            self.kubeconfig(user).rename(at / f"{file}.kubeconfig")
        (at / "containerd.toml").write_text(_CONTAINERD.format(at=at), encoding="utf-8")
        (at / "cni").mkdir()
        (at / "pods").mkdir()
        (at / "cni" / "pods.conflist").write_text(json.dumps(_network(at)))
        (at / "kubelet.yaml").write_text(
            yaml.safe_dump(self._kubelet()), encoding="utf-8"
        )

    def _kubelet(self) -> dict[str, Any]:
        at = self.folder
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": True},
                "webhook": {"enabled": False},
            },
            "authorization": {"mode": "AlwaysAllow"},
            "containerRuntimeEndpoint": f"unix://{at}/containerd.sock",
            "failCgroupV1": False,
            "failSwapOn": False,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.group}",
            "enforceNodeAllocatable": [],
            # Looked at each 10 s; the sizes of volumes would be a minute old.
            "volumeStatsAggPeriod": "5s",
            "evictionHard": {},
            "imageGCHighThresholdPercent": 100,
            "makeIPTablesUtilChains": False,
            "podLogsDir": f"{at}/pods",
            "containerLogMaxSize": "1Gi",
            "resolvConf": "",
            # Nobody answers there; without one, each pod has a warning.
            "clusterDNS": ["10.0.0.10"],
            "volumePluginDir": f"{at}/volume-plugins",
            "nodeStatusUpdateFrequency": "2s",
            "nodeStatusReportFrequency": "2s",
            "nodeLeaseDurationSeconds": 8,
            "serializeImagePulls": False,
        }

    def _assign_ports(self) -> None:
        # The servers are started inside, and there is no inside before the start.
        if self._holder is not None:
            super()._assign_ports()

    def _choose_port(self) -> int:
        return 443

    def _server(self, name: str, command: list[str]) -> ServerProcess:
        log = self.folder / f"{name}.log"
        inner = self._hold().inside.command(*command)
        return InsideProcess(name, inner, log=log, guard=self._guard)


def _network(folder: Path) -> dict[str, Any]:
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": PODS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": f"{folder}/addresses",
    }
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {"type": "bridge", "bridge": "pods0", "isGateway": True, "ipam": addresses}
        ],
    }


_CONTAINERD = """\
version = 2
root = "{at}/containerd/root"
state = "{at}/containerd/state"
[grpc]
  address = "{at}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    conf_dir = "{at}/cni"
    bin_dir = "/usr/lib/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
"""
