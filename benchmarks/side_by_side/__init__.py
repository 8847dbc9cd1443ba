"""Measure this package, client-go and the official Python package side by side."""
