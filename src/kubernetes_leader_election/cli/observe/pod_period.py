"""What ``doctor`` knows of this pod: is its grace period long enough for an orderly end?"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from kubernetes_leader_election.cli.observe import cluster
from kubernetes_leader_election.cli.observe.findings import Check
from kubernetes_leader_election.cli.output import seconds
from kubernetes_leader_election.kube_api.results import Answered
from kubernetes_leader_election.settings.options import Settings, timings

KUBERNETES_GIVES = 30
"""Seconds that a pod gets which does not say."""


def look_at_pod(target: cluster.Target, settings: Settings) -> Check:
    """Compare the grace period of the pod that this runs in with what an end takes."""
    namespace = target.client.credentials.namespace or target.namespace
    name = os.environ.get("POD_NAME") or os.uname().nodename
    path = f"/api/v1/namespaces/{quote(namespace, '')}/pods/{quote(name, '')}"
    found = target.client.request("GET", path, call=cluster.call())
    spec = found.body.get("spec") if isinstance(found, Answered) else None
    if not isinstance(spec, Mapping):
        return without_pod(settings)
    return judge(spec, settings)


def without_pod(settings: Settings) -> Check:
    """Say what a pod needs, where none can be looked at."""
    needs = timings(settings).pod_needs
    text = (
        "grace_sec has no end: a pod kills the work when its own grace period is over"
        if needs is None
        else f"terminationGracePeriodSeconds has to be {math.ceil(needs)} at least: "
        f"{_parts(settings)};\nits pod was not looked at: this is none, or this "
        "account may not read it"
    )
    return Check(name="pod", verdict="INFO", text=text)


def judge(spec: Mapping[str, Any], settings: Settings) -> Check:
    """Judge the ``spec`` of a pod."""
    given = spec.get("terminationGracePeriodSeconds")
    period = given if isinstance(given, int) else KUBERNETES_GIVES
    needs = timings(settings).pod_needs
    sleeps, unknown = _pre_stop(spec)
    if needs is None:
        return Check(
            name="pod",
            verdict="WARN",
            text=f"grace_sec has no end, and the pod is killed after {period} s",
            fix="Give --grace-sec as the seconds that the work takes at most.",
        )
    least = math.ceil(needs) + sleeps
    text = f"{period} s to end, and {least} s are needed: {_parts(settings)}"
    if sleeps:
        text += f", {sleeps} s of the preStop hook"
    if period < least:
        return Check(
            name="pod",
            verdict="WARN",
            text=f"{text};\na leader that is killed cannot release its Lease",
            fix=f"Set terminationGracePeriodSeconds to {least} at least, or lower "
            "--grace-sec.",
        )
    if unknown:
        text += ";\nhow long its preStop hook takes is not known: that comes on top"
    return Check(name="pod", verdict="INFO" if unknown else "PASS", text=text)


def _parts(settings: Settings) -> str:
    assert settings.grace_sec is not None  # noqa: S101 - asked before
    release = timings(settings).release_within
    return (
        f"{seconds(settings.grace_sec)} of grace, {seconds(release)} for the release, "
        "a second"
    )


def _pre_stop(spec: Mapping[str, Any]) -> tuple[int, bool]:
    """Return the longest sleep of a preStop hook, and whether one does something else."""
    hooks = [
        hook
        for container in spec.get("containers") or ()
        if (hook := (container.get("lifecycle") or {}).get("preStop"))
    ]
    sleeps = [int((hook.get("sleep") or {}).get("seconds") or 0) for hook in hooks]
    return max(sleeps, default=0), any("sleep" not in hook for hook in hooks)
