"""
A frozen copy of the core, of 0341354a674d.

Made by ``python -m tests.versions.freeze``; never edit it.
"""
