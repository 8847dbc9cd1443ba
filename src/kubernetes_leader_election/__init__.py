"""Leader election for Python programs on Kubernetes Leases."""
