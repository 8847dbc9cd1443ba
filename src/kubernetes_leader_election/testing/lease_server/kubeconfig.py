"""A kubeconfig that leads a client to the server, as one user."""

from __future__ import annotations

import base64
import json

__all__ = ["kubeconfig_text"]

CLUSTER = "embedded-lease-api"


def kubeconfig_text(
    *, url: str, ca: str | None, user: str, token: str, namespace: str
) -> str:
    """Write a kubeconfig; JSON is YAML, and needs nothing to write it."""
    cluster: dict[str, str] = {"server": url}
    if ca is not None:
        cluster["certificate-authority-data"] = base64.b64encode(ca.encode()).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CLUSTER, "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token} if token else {}}],
        "contexts": [
            {
                "name": CLUSTER,
                "context": {"cluster": CLUSTER, "user": user, "namespace": namespace},
            }
        ],
        "current-context": CLUSTER,
    }
    return json.dumps(document, indent=2) + "\n"
