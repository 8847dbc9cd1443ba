"""
A frozen copy of the core, of 41706782762c.

Made by ``python -m tests.versions.freeze``; never edit it.
"""
