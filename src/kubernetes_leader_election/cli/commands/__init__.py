"""One file per command, loaded only when that command is called."""
