"""Dagster's moving parts: jobs, schedules, and bringing Dagster in line with the store."""
