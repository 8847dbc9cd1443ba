"""
A frozen copy of the core, of commit d0d2bc781854e26c7de576f86f27154d18b9157b.

Made by ``python -m tests.versions.freeze``; never edit it.
"""
