"""
A frozen copy of the core, of 653e4a02d536.

Made by ``python -m tests.versions.freeze``; never edit it.
"""
