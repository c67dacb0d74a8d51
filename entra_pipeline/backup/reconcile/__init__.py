"""Compares what the tables, each read for itself, say together, and corrects or names what differs.

Types are read concurrently while the tenant changes, and delta queries are known to miss changes. So after the reads:

1. Chosen objects enter and leave the scope; edges of objects that are gone are dropped.
2. Objects that a listing no longer has are requested by id before they count as deleted (`removed_objects`); those that
   it shows without a property that they had are requested, too (`unread`).
3. Owners that a probe has passed over are requested. Links of delta relations are compared with `$expand` and
   `$count`; links that a whole read no longer has are looked for in the other views (`removed_links`). What is gone and
   what is disputed follows from `evidence`.
4. The number of objects is compared with Graph's count; a difference is traced to its objects.
5. Objects that came back bring their links, and the endpoints of new edges are looked up.
6. Steps 4 and 5 repeat until they change nothing.
7. Child objects that are no longer shown are looked for in their owner's list and by their ids (`children`).

Corrections are written as further change files. What Graph counts and does not show is a gap.
"""
