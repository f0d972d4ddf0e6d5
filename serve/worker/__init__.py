"""The worker: one engine behind FastChat's endpoints."""
