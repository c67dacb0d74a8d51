"""Dagster's moving parts: jobs, schedules, sensors, and bringing Dagster in line with the store.

1. A schedule (`schedules`) or a sensor (`sensors/`) asks for a run, and adds the partition of its recovery point first.
2. The run executes a job (`jobs/`) or the assets of the package `assets`. Both take the partition through `partitions`,
   which refuses what cannot be captured, and raise errors through `errors`, which says what is tried again.
3. Progress goes to the log of the run (`progress`), results to the event log: materialisations and observations with
   their metadata (`metadata/`), and evaluations of checks (`checks/`).
4. Sensors look at what Dagster remembers (`history`, `runs`): they repair, make up for missed ticks, notify, audit.
5. The store is the truth. `sync` reports to Dagster what the store holds and Dagster does not know.

All names of keys, tags, jobs and partitions are in `keys`. What Dagster does not export is in `dagster_internals`.
Nothing here imports `assets`; `entra_pipeline.definitions` puts both together.
"""
