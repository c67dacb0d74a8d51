"""The pages: a module per group, each with its routes in `PAGES`. They are put together here, and nowhere else."""

from entra_pipeline.console.pages import (
    compare,
    dashboard,
    jobs,
    notifications,
    objects,
    points,
    reports,
    restores,
    scopes,
    settings,
    sign_in,
    sql,
)

# `points/{point}/restore` has to come before `points/{point}/{table}`.
_MODULES = (
    *(sign_in, dashboard, scopes, points, restores, objects, compare, jobs, reports),
    *(sql, notifications, settings),
)
PAGES = tuple(page for module in _MODULES for page in module.PAGES)
"""Every page of the console, in the order in which they are looked for."""
