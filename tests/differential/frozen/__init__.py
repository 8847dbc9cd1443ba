"""
A frozen copy of the core, of 88f058d0cddc.

Made by ``python -m tests.versions.freeze``; never edit it.
"""
