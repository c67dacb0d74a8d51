"""What waits for a second administrator: plans of restores, which are stored, and erasures, which are not."""
