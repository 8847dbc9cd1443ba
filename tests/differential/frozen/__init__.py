"""
A frozen copy of the core, of 47197560f579 with changes not committed.

Made by ``python -m tests.versions.freeze``; never edit it.
"""
