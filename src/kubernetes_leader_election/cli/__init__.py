"""
The command line: one file per command, loaded only when that command is called.

Nothing of the election is written here: commands use the package as a user would.
"""
