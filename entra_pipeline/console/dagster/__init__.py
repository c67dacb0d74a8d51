"""All that the console knows of Dagster: its processes, its API, and the way to its own UI."""
