"""Which kinds a real server knows, for what it says about one in the wrong place."""

from __future__ import annotations

from typing import Final

__all__ = ["is_known"]

_IN_EVERY_VERSION: Final = (
    "CreateOptions DeleteOptions GetOptions ListOptions PatchOptions UpdateOptions "
    "WatchEvent"
)
_KINDS: Final = {
    "admissionregistration.k8s.io/v1": (
        "MutatingAdmissionPolicy MutatingAdmissionPolicyBinding "
        "MutatingWebhookConfiguration ValidatingAdmissionPolicy "
        "ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration"
    ),
    "apps/v1": "ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet",
    "apps/v1beta1": (
        "ControllerRevision Deployment DeploymentRollback Scale StatefulSet"
    ),
    "apps/v1beta2": (
        "ControllerRevision DaemonSet Deployment ReplicaSet Scale StatefulSet"
    ),
    "authentication.k8s.io/v1": "SelfSubjectReview TokenReview",
    "authorization.k8s.io/v1": (
        "LocalSubjectAccessReview SelfSubjectAccessReview "
        "SelfSubjectRulesReview SubjectAccessReview"
    ),
    "autoscaling/v1": "HorizontalPodAutoscaler Scale",
    "autoscaling/v2": "HorizontalPodAutoscaler",
    "batch/v1": "CronJob Job",
    "batch/v1beta1": "CronJob",
    "certificates.k8s.io/v1": (
        "CertificateSigningRequest ClusterTrustBundle PodCertificateRequest"
    ),
    "coordination.k8s.io/v1": "Lease",
    "coordination.k8s.io/v1alpha2": "LeaseCandidate",
    "coordination.k8s.io/v1beta1": "Lease LeaseCandidate",
    "discovery.k8s.io/v1": "EndpointSlice",
    "discovery.k8s.io/v1beta1": "EndpointSlice",
    "events.k8s.io/v1": "Event",
    "events.k8s.io/v1beta1": "Event",
    "extensions/v1beta1": (
        "DaemonSet Deployment DeploymentRollback Ingress ReplicaSet Scale"
    ),
    "flowcontrol.apiserver.k8s.io/v1": "FlowSchema PriorityLevelConfiguration",
    "networking.k8s.io/v1": "IPAddress Ingress IngressClass NetworkPolicy ServiceCIDR",
    "networking.k8s.io/v1beta1": "IPAddress Ingress IngressClass ServiceCIDR",
    "node.k8s.io/v1": "RuntimeClass",
    "policy/v1": "PodDisruptionBudget",
    "policy/v1beta1": "Eviction PodDisruptionBudget",
    "rbac.authorization.k8s.io/v1": "ClusterRole ClusterRoleBinding Role RoleBinding",
    "rbac.authorization.k8s.io/v1beta1": (
        "ClusterRole ClusterRoleBinding Role RoleBinding"
    ),
    "resource.k8s.io/v1": (
        "DeviceClass DeviceTaintRule ResourceClaim ResourceClaimTemplate ResourceSlice"
    ),
    "scheduling.k8s.io/v1": "PriorityClass",
    "storage.k8s.io/v1": (
        "CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment "
        "VolumeAttributesClass"
    ),
    "storage.k8s.io/v1beta1": (
        "CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment "
        "VolumeAttributesClass"
    ),
    "storagemigration.k8s.io/v1": "StorageVersionMigration",
    "v1": (
        "Binding ComponentStatus ConfigMap Endpoints Event LimitRange "
        "Namespace Node NodeProxyOptions PersistentVolume "
        "PersistentVolumeClaim Pod PodAttachOptions PodExecOptions "
        "PodPortForwardOptions PodProxyOptions PodTemplate "
        "ReplicationController ResourceQuota Secret Service ServiceAccount "
        "ServiceProxyOptions"
    ),
}
"""Group version and its kinds, lists aside: those of Kubernetes 1.37, and older ones."""
_IN_CORE: Final = "APIGroup APIGroupList APIResourceList APIVersions List Status"


def is_known(kind: str, version: str) -> bool:
    """Return whether a real server has a type of that name, or a list of it."""
    kinds = _KINDS.get(version)
    if kinds is None:
        return False
    return (
        kind in _IN_EVERY_VERSION.split()
        or kind.removesuffix("List") in kinds.split()
        or (version == "v1" and kind in _IN_CORE.split())
    )
