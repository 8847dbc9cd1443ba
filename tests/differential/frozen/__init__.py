"""
A frozen copy of the core, of 0f06c6d5e379.

Made by ``python -m tests.versions.freeze``; never edit it.
"""
