"""Unusual change: what a recovery point shows of its parent that nobody does on an ordinary day.

Rules are SQL in files (`rules`, and a folder of the project's own); `watch` evaluates them for a new point, holds the
point before from retention, and leaves an event for notifications. docs/unusual-change.md is for people.
"""

from entra_pipeline.analysis.unusual.evaluate import UnusualFinding, UnusualVerdict, verdict_of, verdicts, watch

__all__ = ["UnusualFinding", "UnusualVerdict", "verdict_of", "verdicts", "watch"]
