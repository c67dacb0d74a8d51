"""Restore: plan, apply, verify. A recovery point is compared with the tenant, and what differs is written back."""
