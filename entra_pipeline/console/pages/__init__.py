"""The pages: a module per group, each with its routes in `PAGES`. They are put together here, and nowhere else."""

from entra_pipeline.console.pages import dashboard, sign_in

PAGES = (*sign_in.PAGES, *dashboard.PAGES)
"""Every page of the console."""
