"""
A frozen copy of the core, of 20434411dc67 with changes not committed.

Made by ``python -m tests.versions.freeze``; never edit it.
"""
