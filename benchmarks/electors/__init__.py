"""Measure the electors on the embedded Lease API: what ``make bench`` runs."""
