"""Fixtures of the testing kit, loaded by pytest itself."""
