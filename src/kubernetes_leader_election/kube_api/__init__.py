"""Requests and watches on Leases, over the standard library's ``http.client``."""
