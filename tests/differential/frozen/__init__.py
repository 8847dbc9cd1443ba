"""
A frozen copy of the core, of 3e11aeeba0ac with changes not committed.

Made by ``python -m tests.versions.freeze``; never edit it.
"""
