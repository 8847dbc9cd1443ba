"""``manifests NAME``: the YAML that a deployment with one leader needs."""

from __future__ import annotations

from typing import Any

import click


def role_rule(lease_name: str) -> dict[str, Any]:
    """Give the one rule an election needs: four verbs on one name (rule 6)."""
    return {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": [lease_name],
        "verbs": ["get", "create", "update", "watch"],
    }


def rbac(name: str, namespace: str, lease_name: str) -> list[dict[str, Any]]:
    """Give ServiceAccount, Role and RoleBinding, least privilege."""
    metadata = {"name": name, "namespace": namespace}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": metadata,
            "rules": [role_rule(lease_name)],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "subjects": [
                {"kind": "ServiceAccount", "name": name, "namespace": namespace}
            ],
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "Role",
                "name": name,
            },
        },
    ]


def _container(
    image: str, lease_name: str, command: tuple[str, ...], port: int
) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": "main",
        "image": image,
        "env": [
            {
                "name": "POD_NAME",
                "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}},
            },
            {
                "name": "POD_NAMESPACE",
                "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}},
            },
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    if command:
        container["command"] = [
            "kubernetes-leader-election",
            "run",
            lease_name,
            "--identity=$(POD_NAME)",
            "--namespace=$(POD_NAMESPACE)",
            f"--http=0.0.0.0:{port}",
            "--",
            *command,
        ]
        container["ports"] = [{"name": "health", "containerPort": port}]
        container["livenessProbe"] = {"httpGet": {"path": "/livez", "port": "health"}}
        # Every replica in the race is ready; were only the leader, rollouts would
        # wait for ever.
        container["readinessProbe"] = {"httpGet": {"path": "/readyz", "port": "health"}}
    return container


def deployment(
    name: str,
    namespace: str,
    *,
    lease_name: str,
    image: str,
    command: tuple[str, ...],
    grace: int,
    port: int = 8080,
) -> list[dict[str, Any]]:
    """Give a Deployment of two replicas and its PodDisruptionBudget."""
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
        "terminationGracePeriodSeconds": grace,
        "topologySpreadConstraints": [spread],
        "containers": [_container(image, lease_name, command, port)],
    }
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}},
        },
    ]


@click.command("manifests")
@click.argument("name")
@click.argument("command_line", nargs=-1, metavar="[-- COMMAND...]")
@click.option("-n", "--namespace", default="default", show_default=True)
@click.option("--lease-name", help="The Lease; NAME unless given.")
@click.option("--image", default="registry.example/your-image:1.0", show_default=True)
@click.option(
    "--grace-period-sec",
    type=click.IntRange(min=1),
    default=45,
    show_default=True,
    help="How long a pod may take to end; longer than its work takes to stop.",
)
@click.option("--rbac-only", is_flag=True, help="Leave the Deployment out.")
def command(
    name: str,
    command_line: tuple[str, ...],
    namespace: str,
    lease_name: str | None,
    image: str,
    grace_period_sec: int,
    rbac_only: bool,  # noqa: FBT001 - click passes by name
) -> None:
    """
    Print the YAML for NAME: rights on one Lease, two replicas, probes, spreading.

    With COMMAND the containers run it under `run`; without, the image is expected to
    use the library. Pipe it into `kubectl apply -f -`.
    """
    import yaml  # noqa: PLC0415 - only here

    lease = lease_name or name
    documents = rbac(name, namespace, lease)
    if not rbac_only:
        documents += deployment(
            name,
            namespace,
            lease_name=lease,
            image=image,
            command=command_line,
            grace=grace_period_sec,
        )
    click.echo(yaml.dump_all(documents, sort_keys=False), nl=False)
