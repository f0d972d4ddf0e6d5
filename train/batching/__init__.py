"""From samples to batches: encoding, the look at every sample, packing, the order of an epoch, collation."""
