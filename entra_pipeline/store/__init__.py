"""Recovery points, logs and jobs of a scope in a storage: written once, proven, found again, kept as long as agreed.

1. `backends` hold named byte objects, in a folder or a bucket, and lock names. Everything else is objects to them.
2. A backup takes the lock of its scope and a key for its point (`recovery_points`), and writes Parquet files and the
   entries of tables (`points.staging`). Nothing of it is visible.
3. `commit` checks all of it, writes an index (`points.index`), and creates the manifest: now the point exists, and
   never changes.
4. The state of a table at a point is its base and the changes behind it, as one SQL query (`state`).
5. `verify` reads everything back and compares it with what the manifests say.
6. `retention.prune` forgets points whose time is over, and `retention.sweep` removes files that nobody names.
7. Logs have days instead of points (`logs`); jobs leave a record and an event (`running_jobs`, `job_records`,
   `events`).
8. `erasure` makes the values of one person unreadable in all points, where they are encrypted by person.

The layout and the formats are public: docs/storage-format.md.
"""
