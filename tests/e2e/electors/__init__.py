"""Elections among processes: candidates of every kind, their logs, their network."""
