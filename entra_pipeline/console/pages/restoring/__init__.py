"""Restoring as a guided path: point in time, selection, review, done."""
