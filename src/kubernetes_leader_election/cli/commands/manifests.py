"""``manifests NAME``: the YAML that a deployment with one leader needs."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from kubernetes_leader_election.cli.manifest_text import VIEWER, Extras, as_text
from kubernetes_leader_election.cli.option_names import as_options
from kubernetes_leader_election.cli.options import (
    announce_options,
    grace_option,
    option,
    timing_options,
)
from kubernetes_leader_election.cli.output import emit, note
from kubernetes_leader_election.cli.rights import role_rule, viewer_rule
from kubernetes_leader_election.text import shown

if TYPE_CHECKING:
    from kubernetes_leader_election.settings.endpoints import LeaderEndpoints

RUN_PORT: Final = 8080
"""Where `run` answers the probes, unless said otherwise."""


def _document(
    version: str, kind: str, metadata: dict[str, Any], **more: Any
) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}


def rbac(
    name: str, namespace: str, lease_name: str, *, extras: Extras
) -> list[dict[str, Any]]:
    """Return ServiceAccount, Role and RoleBinding, least privilege."""
    rules = [role_rule(lease_name), *extras.rules]
    metadata = {"name": name, "namespace": namespace}
    group = "rbac.authorization.k8s.io"
    return [
        _document("v1", "ServiceAccount", metadata),
        _document(f"{group}/v1", "Role", metadata, rules=rules),
        _document(
            f"{group}/v1",
            "RoleBinding",
            metadata,
            subjects=[{"kind": "ServiceAccount", **metadata}],
            roleRef={"apiGroup": group, "kind": "Role", "name": name},
        ),
    ]


def _container(
    image: str,
    lease_name: str,
    command: tuple[str, ...],
    *,
    port: int | None,
    pre_stop: int,
    times: dict[str, Any],
    extras: Extras,
) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": "main",
        "image": image,
        "env": [
            _from_pod("POD_NAME", "metadata.name"),
            _from_pod("POD_NAMESPACE", "metadata.namespace"),
            # Where the library looks for the Lease, unless the program says otherwise.
            _from_pod("KLE_NAMESPACE", "metadata.namespace"),
            *([_from_pod("POD_IP", "status.podIP")] if extras.endpoints else []),
        ],
        # What Pod Security asks for at its level "restricted".
        "securityContext": {
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if port is not None:
        container |= {
            "ports": [{"name": "health", "containerPort": port}],
            "livenessProbe": {"httpGet": {"path": "/livez", "port": "health"}},
            # Every replica in the race is ready; were only the leader, rollouts would
            # wait for ever.
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": "health"}},
        }
    if pre_stop:
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": pre_stop}}}
    if command:
        container["command"] = [
            "kubernetes-leader-election",
            "run",
            lease_name,
            "--identity=$(POD_NAME)",
            "--namespace=$(POD_NAMESPACE)",
            *(f"--{name.replace('_', '-')}={times[name]}" for name in times),
            *extras.flags,
            f"--http=:{port}",
            "--",
            *command,
        ]
    return container


def _from_pod(variable: str, field: str) -> dict[str, Any]:
    """Return a variable by the downward API."""
    return {
        "name": variable,
        "valueFrom": {"fieldRef": {"fieldPath": field}},
    }


def deployment(
    name: str,
    namespace: str,
    *,
    lease_name: str,
    image: str,
    command: tuple[str, ...],
    times: dict[str, Any],
    ends_within: int,
    port: int | None,
    extras: Extras,
    pre_stop: int = 0,
) -> list[dict[str, Any]]:
    """
    Return a Deployment of two replicas and its PodDisruptionBudget.

    Without a ``port`` there are no probes.
    """
    labels = {"app.kubernetes.io/name": name}
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }
    pod = {
        "serviceAccountName": name,
        # Longer than work takes to stop, so that the Lease is released, not left.
        "terminationGracePeriodSeconds": ends_within,
        "topologySpreadConstraints": [spread],
        "containers": [
            _container(
                image,
                lease_name,
                command,
                port=port,
                pre_stop=pre_stop,
                times=times,
                extras=extras,
            )
        ],
    }
    metadata = {"name": name, "namespace": namespace}
    selector = {"matchLabels": labels}
    spec = {
        "replicas": 2,
        "selector": selector,
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    budget = {"minAvailable": 1, "selector": selector}
    return [
        _document("apps/v1", "Deployment", {**metadata, "labels": labels}, spec=spec),
        _document("policy/v1", "PodDisruptionBudget", metadata, spec=budget),
    ]


def leader_service(namespace: str, endpoints: LeaderEndpoints) -> dict[str, Any]:
    """Return a Service without selector: its EndpointSlice is the leader's to write."""
    ports = [
        {
            **({"name": name} if name else {}),
            "port": port,
            "targetPort": port,
            "protocol": "TCP",
        }
        for name, port in endpoints.ports
    ]
    metadata = {"name": endpoints.service, "namespace": namespace}
    return _document("v1", "Service", metadata, spec={"ports": ports})


def _extras(
    crash_takeover: bool,  # noqa: FBT001 - the caller names it
    endpoints: str | None,
    *,
    events: bool,
) -> Extras:
    """
    Return what the election does beside leading.

    Raises:
        ConfigurationError: the endpoints are none.

    """
    from kubernetes_leader_election.settings.endpoints import leader_endpoints  # noqa: PLC0415 - help is quick

    return Extras(
        crash_takeover=crash_takeover,
        endpoints=leader_endpoints(endpoints),
        events=events,
    )


def viewing(name: str, namespace: str, lease_name: str) -> dict[str, Any]:
    """Return a Role that lets people look at the election, and change nothing."""
    metadata = {"name": f"{name}{VIEWER}", "namespace": namespace}
    version = "rbac.authorization.k8s.io/v1"
    return _document(version, "Role", metadata, rules=[viewer_rule(lease_name)])


def monitored(
    name: str,
    namespace: str,
    lease_name: str,
    *,
    port: int | None,
    rbac_only: bool,
    timing: dict[str, Any],
) -> list[dict[str, Any]]:
    """
    Return what watches the election.

    Raises:
        click.UsageError: nobody would answer what scrapes.

    """
    if port is None and not rbac_only:
        raise click.UsageError(
            "--monitoring needs --port: where the program serves /metrics, as with "
            'observability.serve(elector, ":8080").'
        )
    from kubernetes_leader_election.cli import monitoring  # noqa: PLC0415 - few ask
    from kubernetes_leader_election.settings.options import resolve_settings  # noqa: PLC0415 - help is quick

    settings = resolve_settings(lease_name=lease_name, **timing)
    return monitoring.documents(
        monitoring.Watched(
            name=name,
            namespace=namespace,
            lease=lease_name,
            lease_duration=settings.lease_duration_sec,
            request_timeout=settings.request_timeout_sec,
            grace=settings.grace_sec or 0.0,
        )
    )


def check_names(name: str, lease_name: str, namespace: str) -> None:
    """
    Refuse names that the API server would refuse.

    Raises:
        ConfigurationError: one of them is no such name.
        click.UsageError: NAME is none.

    """
    from kubernetes_leader_election.errors import ConfigurationError  # noqa: PLC0415 - help is quick
    from kubernetes_leader_election.settings.options import resolve_settings  # noqa: PLC0415 - help is quick

    try:
        # A Deployment's name is written into a label too, which has a namespace's rules.
        resolve_settings(namespace=name)
    except ConfigurationError as error:
        raise click.UsageError(
            f"NAME {shown(name)} is not a valid name for a Deployment and its label: use at "
            "most 63 characters, only a-z, 0-9 and '-', which starts and ends with a "
            "letter or digit. The Lease may have another name: --lease-name."
        ) from error
    resolve_settings(lease_name=lease_name, namespace=namespace)


def _times(timing: dict[str, Any], pre_stop: int) -> tuple[int, dict[str, Any]]:
    """
    Return the grace period of the pod, and the times that `run` is started with.

    Raises:
        ConfigurationError: the times cannot work together.

    """
    from kubernetes_leader_election.settings.options import resolve_settings, timings  # noqa: PLC0415 - help is quick
    from kubernetes_leader_election.settings.promises import warning_about  # noqa: PLC0415 - help is quick

    settings = resolve_settings(lease_name="manifests", **timing)
    derived = timings(settings)
    if warning := warning_about(derived):
        note(f"Warning: {as_options(warning)}")
    needs = derived.pod_needs
    if needs is None:
        raise click.UsageError(
            "--grace-sec none has no end, and a pod is killed at the end of its grace "
            "period: give the seconds that the work takes at most."
        )
    given = {**timing, "grace_sec": settings.grace_sec}
    shown = {
        name: f"{value:.12g}" if isinstance(value, float) else value
        for name, value in given.items()
    }
    return math.ceil(needs) + pre_stop, shown


@click.command("manifests")
@click.argument("name")
@click.argument("command_line", nargs=-1, metavar="[-- COMMAND...]")
@option(
    "--for",
    "program",
    type=click.Choice(["library", "run"]),
    help="Whether the program uses the library or is started by `run`. By default `run` "
    "if there is a COMMAND, otherwise the library.",
)
@option(
    "-n", "--namespace", default="default", show_default=True, help="The namespace."
)
@option("--lease-name", help="The Lease; by default NAME.")
@option(
    "--image",
    default="registry.example/your-image:1.0",
    show_default=True,
    help="The container's image.",
)
@option(
    "--pre-stop-sec",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="How long the pod waits before SIGTERM, by a preStop hook that sleeps.",
)
@option(
    "--port",
    type=click.IntRange(min=1, max=65535),
    help="The port on which probes are answered; 8080 under `run`. A program that uses "
    "the library gets probes only if this is given, and answers them with "
    "observability.serve().",
)
@timing_options(grace=grace_option("--drain-sec"))
@option(
    "--crash-takeover/--no-crash-takeover",
    default=None,
    help="Whether the next replica leads in seconds where a container has provably "
    "ended: its rule for pods and, for `run`, the option. For the library it is the "
    "program that has to ask for it. [default: on for `run`]",
)
@announce_options
@option(
    "--rbac-only",
    is_flag=True,
    help="Leave out the Deployment and its PodDisruptionBudget.",
)
@option(
    "--viewer",
    is_flag=True,
    help="Add a Role for people who only look, with `kle status` and `kle watch`.",
)
@option(
    "--monitoring",
    is_flag=True,
    help="Add alerts (PrometheusRule), what is scraped (Service and ServiceMonitor), and "
    "a dashboard for Grafana (in a ConfigMap).",
)
@option(
    "--kustomize",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write a file for each document and a kustomization.yaml there, for "
    "`kubectl apply -k FOLDER`, instead of printing them.",
)
@option(
    "-o",
    "--output",
    type=click.Choice(["yaml", "json"]),
    default="yaml",
    show_default=True,
    help="json gives one List.",
)
def command(
    *,
    name: str,
    command_line: tuple[str, ...],
    program: str | None,
    namespace: str,
    lease_name: str | None,
    image: str,
    pre_stop_sec: int,
    timing: dict[str, Any],
    port: int | None,
    crash_takeover: bool | None,
    leader_endpoints: str | None,
    kubernetes_events: bool,
    rbac_only: bool,
    viewer: bool,
    monitoring: bool,
    kustomize: Path | None,
    output: str,
) -> None:
    """
    Print the YAML for NAME: rights on one Lease, two replicas, spreading, and probes.

    Prints a ServiceAccount, Role, RoleBinding, Deployment and PodDisruptionBudget; pipe them
    into `kubectl apply -f -`. With COMMAND, the containers run it under `run`. Without, the
    image is expected to use the library with the times that are given here.

    \b
    kle manifests billing --image registry.example/billing:3.1
    kle manifests beat --image registry.example/app:1 -- celery -A app beat
    kle manifests billing --rbac-only | kubectl apply -f -
    kle manifests billing --port 8080 --viewer --monitoring --kustomize deploy/billing
    """
    lease = lease_name or name
    check_names(name, lease, namespace)
    if not image or any(letter.isspace() for letter in image):
        raise click.UsageError(
            f"--image {image!r} names no image. Give one as in registry.example/app:1.0."
        )
    runs = program == "run" if program else bool(command_line)
    if command_line and not runs:
        raise click.UsageError("COMMAND is for --for run: the library needs none.")
    ends_within, times = _times(timing, pre_stop_sec)
    if port is None and runs:
        port = RUN_PORT
    if crash_takeover is None:
        crash_takeover = runs
    extras = _extras(crash_takeover, leader_endpoints, events=kubernetes_events)
    documents = rbac(name, namespace, lease, extras=extras)
    if not rbac_only:
        documents += deployment(
            name,
            namespace,
            lease_name=lease,
            image=image,
            command=(command_line or ("your-program",)) if runs else (),
            times=times,
            ends_within=ends_within,
            pre_stop=pre_stop_sec,
            port=port,
            extras=extras,
        )
    if extras.endpoints is not None:
        documents.append(leader_service(namespace, extras.endpoints))
    if viewer:
        documents.append(viewing(name, namespace, lease))
    if monitoring:
        documents += monitored(
            name, namespace, lease, port=port, rbac_only=rbac_only, timing=timing
        )
    as_yaml = partial(as_text, runs=runs, port=port, extras=extras)
    if kustomize is not None:
        if output == "json":
            raise click.UsageError("--kustomize writes YAML: leave out -o json.")
        _write_folder(kustomize, documents, namespace, as_yaml)
        return
    if output == "json":
        emit({"apiVersion": "v1", "kind": "List", "items": documents}, output)
        return
    click.echo(as_yaml(documents), nl=False)


def _write_folder(
    folder: Path,
    documents: list[dict[str, Any]],
    namespace: str,
    as_yaml: Callable[[list[dict[str, Any]]], str],
) -> None:
    """Write a folder for kustomize, and say what is in it."""
    from kubernetes_leader_election.cli.kustomize import (  # noqa: PLC0415 - few ask
        LIST,
        file_names,
        kustomization,
        write,
    )

    names = file_names(documents)
    texts = {
        name: as_yaml([document])
        for name, document in zip(names, documents, strict=True)
    }
    texts[LIST] = as_yaml([kustomization(names, namespace)])
    for path in write(folder, texts):
        click.echo(path)
    note(f"Apply it with: kubectl apply -k {shlex.quote(str(folder))}")
