"""Jobs, each with its schedule unless it is a backup's: backup, logs, drill, retention, old runs, restore, overview."""
