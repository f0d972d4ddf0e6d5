"""What computes the answers of a worker."""
