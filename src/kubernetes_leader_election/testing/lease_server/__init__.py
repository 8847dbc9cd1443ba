"""lease_server."""
