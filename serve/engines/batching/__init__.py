"""Continuous batching: requests from any thread or event loop join the answers that are being written, and leave them."""
