"""
A frozen copy of the core, of b401a925574f with changes not committed.

Made by ``python -m tests.versions.freeze``; never edit it.
"""
