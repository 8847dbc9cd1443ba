"""What ``run`` is made of: a command that lives only while this replica leads."""
