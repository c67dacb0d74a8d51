"""The commands by name: a new one is an entry here and a module of `jobs`, `queries` or `setup`."""

from collections.abc import Mapping

COMMANDS: Mapping[str, tuple[str, str]] = {
    "init": ("setup.init:init", "Write a new project: the configuration, and what Dagster reads."),
    "demo": ("setup.demo:demo", "Back up a simulated tenant, change it, show what changed, restore a deleted group."),
    "simulate": ("setup.simulate:simulate", "Serve a simulated tenant over HTTP."),
    "scope": ("setup.scopes:scope", "List, show, create, edit and delete scopes."),
    "backup": ("jobs.backups:backup", "Take a recovery point of a scope now."),
    "fleet": ("jobs.fleet:fleet", "See how all scopes stand; back up, verify or query many at once."),
    "logs": ("jobs.logs:logs", "Collect audit, sign-in and provisioning logs, or list the stored days."),
    "points": ("queries.points:points", "List the recovery points of a scope."),
    "objects": ("queries.points:objects", "Show the objects of a recovery point, and their links."),
    "sql": (
        "queries.sql:sql",
        "Query with SQL: current state, any moment, changes; or write a catalog for other tools.",
    ),
    "diff": ("queries.diff:diff", "Show the differences between two recovery points, or from the live tenant."),
    "restore": ("jobs.restore:restore", "Restore a recovery point or a part of it: plan, confirm, apply, verify."),
    "drill": ("jobs.drill:drill", "Test the restore of a recovery point in an empty simulated tenant, with a score."),
    "verify": ("queries.points:verify", "Check the checksums, chain and counts of recovery points."),
    "prune": ("jobs.retention:prune", "Delete recovery points past their retention, and the data that only they need."),
    "hold": ("jobs.retention:hold", "Exclude a scope or a recovery point from pruning, or release it."),
    "erase": ("jobs.erasure:erase", "Make the values of one person unreadable in all recovery points of a scope."),
    "erasures": ("jobs.erasure:erasures", "List who was erased from a scope, when, and why."),
    "serve": ("setup.serve:serve", "Serve the console, and Dagster's UI behind the same sign-in."),
    "notifications": ("setup.notifications:notifications", "Show the notification profiles, and send test messages."),
    "report": (
        "queries.reports:report",
        "Backup analysis, subscription, jobs, readiness, audit log: as table, page or spreadsheet.",
    ),
    "metrics": ("queries.metrics:metrics", "Print how every scope stands, for Prometheus."),
    "evidence": ("queries.evidence:evidence", "Write one signed file that proves to an auditor what was done."),
    "storage": (
        "setup.storage:storage",
        "Check whether a storage profile works, before the first backup; sign its records; encrypt it.",
    ),
    "doctor": ("setup.doctor:doctor", "Check everything that backups and restores rest on, and say what to do."),
    "sync-dagster": ("setup.dagster:sync_dagster", "Synchronize Dagster's partitions with the recovery points."),
    "catalogue": (
        "queries.catalogue:catalogue",
        "Show the object types that can be protected, and the permissions they need.",
    ),
}
"""Name → where the command is, and its line in `--help`."""
