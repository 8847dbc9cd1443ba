"""A node of Kubernetes in namespaces of its own: kubelet, containerd, real pods."""
