"""
A frozen copy of the core, of f5740ddbfa08 with changes not committed.

Made by ``python -m tests.versions.freeze``; never edit it.
"""
