"""How long recovery points and days of logs stay, and what goes with them.

1. `holds` keep points or a whole scope from retention, with a reason, until somebody releases them.
2. `prune.evaluate_points` decides which points go: those past their time, but for the newest, the last good one, those
   held and those that Object Lock keeps. `prune.evaluate_days` does the same for days of logs.
3. A sealed record says what goes and is written first (`prune_log`), so that a missing point can be told from a pruned
   one.
4. The manifests go. From now on nobody names their files.
5. `sweep` removes files that nobody names, when they are older than any run takes.

Killed anywhere, what is left is a point too many or files that nobody names, and the next time takes them.
"""
