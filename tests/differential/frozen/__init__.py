"""
A frozen copy of the core, of e03b9e61f531.

Made by ``python -m tests.versions.freeze``; never edit it.
"""
