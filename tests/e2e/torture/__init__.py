"""Torture: real candidates among mutating proxies, freezes, kills and forks."""
