"""
A frozen copy of the core, of be69e35d5ff6 with changes not committed.

Made by ``python -m tests.versions.freeze``; never edit it.
"""
