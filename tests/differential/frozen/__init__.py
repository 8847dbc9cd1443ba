"""
A frozen copy of the core, of ae106b7c2c88.

Made by ``python -m tests.versions.freeze``; never edit it.
"""
