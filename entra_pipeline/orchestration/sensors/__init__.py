"""Sensors, one each for the whole project.

`notifications` sends, `unusual_change`, `repair` and `missed_ticks` ask for backups, `audit` records. `failures` keeps
what goes wrong with one scope from the others, and announces sensors that fail.
"""
