"""The text of manifests: YAML, and above each document what a person should know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kubernetes_leader_election.cli.rights import events_rule, pods_rule, slice_rule
from kubernetes_leader_election.values import Value

if TYPE_CHECKING:
    from kubernetes_leader_election.settings.endpoints import LeaderEndpoints

VIEWER: Final = "-viewer"
"""What the name of the Role ends with that only looks."""


class Extras(Value):
    """What the replicas do beside leading, each with a rule of its own."""

    crash_takeover: bool
    endpoints: LeaderEndpoints | None
    events: bool

    @property
    def rules(self) -> list[dict[str, Any]]:
        """What the Role says of it."""
        return [
            *([pods_rule()] if self.crash_takeover else []),
            *([slice_rule(self.endpoints.service)] if self.endpoints else []),
            *([events_rule()] if self.events else []),
        ]

    @property
    def flags(self) -> list[str]:
        """What `run` is told of it."""
        return [
            *(["--crash-takeover"] if self.crash_takeover else []),
            *([f"--leader-endpoints={self.endpoints}"] if self.endpoints else []),
            *(["--kubernetes-events"] if self.events else []),
        ]


def remarks(kind: str, *, runs: bool, port: int | None, extras: Extras) -> list[str]:
    """Return what a person should know of a document, to stand above it."""
    ready = [
        "Ready is every replica in the race, not the leader alone: else a rollout would",
        "wait for ever.",
    ]
    if port is None:
        probes = [
            "There are no probes: --port adds them, for a program that answers, as with",
            'observability.serve(elector, ":8080").',
        ]
    elif runs:
        probes = ["`run` answers the probes.", *ready]
    else:
        probes = [
            f"The program answers /livez and /readyz on port {port}:",
            f'    with observability.serve(elector, ":{port}"): ...',
            *ready,
        ]
    if not runs:
        probes = [
            "The elector finds its name in POD_NAME, and the namespace of the Role in",
            "KLE_NAMESPACE, unless the program gives others.",
            *probes,
        ]
    rights = ["All that an election needs: four verbs on the one Lease."]
    if extras.crash_takeover:
        rights += ["And to prove that a leader's container has ended: two on pods."]
    if extras.endpoints is not None:
        rights += [
            "And to lead the Service below to the leader: three on its one EndpointSlice.",
            "Who has them could lead any Service of the namespace elsewhere.",
        ]
    if extras.events:
        rights += ["And to write Events, for kubectl describe lease."]
    if not runs and (extras.endpoints is not None or extras.events):
        asked = [
            *([f'leader_endpoints="{extras.endpoints}"'] if extras.endpoints else []),
            *(["kubernetes_events=True"] if extras.events else []),
        ]
        probes += ["The program asks for it:", f"    Elector(..., {', '.join(asked)})"]
    if extras.crash_takeover and runs:
        probes += [
            "--crash-takeover says that all work of the command runs in this container:",
            "leave it out, with the rule for pods, where a side-car works for the leader.",
        ]
    known = {
        "Role": rights,
        "Deployment": [
            *probes,
            "The grace period is what the work may take to end (grace_sec), three request",
            "timeouts for the release, a second, and the preStop hook: what is killed",
            "cannot release its Lease. The image must name a user by a number that is not",
            "0 (runAsNonRoot).",
        ],
        VIEWER: [
            "For people who look: kle status, kle watch. Bind it to them, as with",
            "kubectl create rolebinding NAME --role=THIS --group=GROUP.",
        ],
        "ServiceMonitor": [
            "For the operator of Prometheus, which may want a label of its own here and on",
            "the PrometheusRule. honorLabels: the namespace in the metrics is the Lease's.",
        ],
        "ConfigMap": [
            "Loaded by the side-car of Grafana, by the label grafana_dashboard."
        ],
        "Service": [
            "Without a selector: the leader keeps the EndpointSlice of this name at its own",
            "address. port is what clients call, targetPort what the program listens on.",
        ],
        "PodDisruptionBudget": ["A drained node never takes both replicas at once."],
    }
    return known.get(kind, [])


def _as_block(dumper: Any, text: str) -> Any:
    """Write a text of several lines, as a dashboard is, as one that can be read."""
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def as_text(
    documents: list[dict[str, Any]],
    *,
    runs: bool,
    port: int | None,
    extras: Extras,
) -> str:
    """Return the documents as YAML, each below its remarks."""
    import yaml  # noqa: PLC0415 - only here

    class Plain(yaml.SafeDumper):
        """Write out what occurs twice, as people do."""

        def ignore_aliases(self, data: Any) -> bool:
            del data
            return True

    Plain.add_representer(str, _as_block)
    parts = []
    for document in documents:
        about = document["kind"]
        if about == "Role" and document["metadata"]["name"].endswith(VIEWER):
            about = VIEWER
        if about == "Service" and "selector" in document["spec"]:
            about = ""  # what is scraped
        above = remarks(about, runs=runs, port=port, extras=extras)
        text = yaml.dump(document, Dumper=Plain, sort_keys=False, width=200)
        parts.append("".join(f"# {line}\n" for line in above) + text)
    return "---\n".join(parts)
