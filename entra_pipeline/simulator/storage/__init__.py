"""Keeps the tenant in SQLite.

- An object is a row: number, type, id, alternate key, JSON, state (live, deleted, purged, hidden), and the number of
  the change that last touched it. A link is a row of kind, source and target, with such a number, too.
- One counter numbers all changes. A delta token is such a number: what has a higher one is in the next round.
- Deleting moves an object to the recycle bin and hides its parts; its links wait. Restoring brings all of it back.
  Purging leaves a tombstone for delta.
- `database` holds the file, `objects` and `links` read from it, `directory` changes it. `replica` reads an older state,
  for a tenant that lags.
"""
