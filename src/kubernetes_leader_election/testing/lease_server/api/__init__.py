"""The rules of the API server: decoding, validation, verbs, access."""
