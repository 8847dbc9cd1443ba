"""What a pod tells of a container's end: the note in it, and the proof that it is over."""
