"""The life of one elector: from start() to stop(), whichever front is used."""
