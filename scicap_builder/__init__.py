"""Papers in, figure records out."""
