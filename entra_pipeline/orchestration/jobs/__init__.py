"""Jobs of Dagster, each in a module with its schedule.

- of a scope: `backup` (its schedule is in `orchestration.schedules`), `logs`, `drill`;
- of any scope: `restore`, `retention`;
- of all scopes: `overview` (reports and freshness), `old_runs`.

A job opens `operations` with Dagster's resources and shows the result; `executor` is the executor of all of them.
"""
