"""What a leader tells others through the API, best effort: its address, and Events."""
