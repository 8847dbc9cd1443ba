"""A real kube-apiserver with etcd, built from source and run for the tests."""
