"""Metadata that Dagster shows of recovery points, days of logs, restores and reports; tables of them in `tables`."""
