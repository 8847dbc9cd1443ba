"""
A frozen copy of the core, of d0d2bc781854.

Made by ``python -m tests.versions.freeze``; never edit it.
"""
