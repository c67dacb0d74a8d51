"""The executor of all jobs."""

import dagster as dg

# Definitions of all scopes are imported by every process: a process per step would be the slowest way to run.
EXECUTOR = dg.in_process_executor
