"""Commands that run jobs: back up, collect logs, restore, drill, prune and hold."""
