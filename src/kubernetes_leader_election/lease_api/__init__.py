"""lease_api."""
