"""Backs up one scope: from a lock on its store to the manifest that makes a recovery point visible.

1. `run` takes the scope's lock, reserves a recovery point and opens the latest manifest, the parent.
2. `scheduler` starts all reads that depend on nothing, and the others when the tables they need are written.
3. `read/` asks Graph: a delta round, a listing, a single object, or one request for each owner.
4. `rows/` parses each page into staged rows, merges them with the parent's state and writes Parquet.
5. `point_builder` uploads the files of each table and keeps its entry; `states` answers what parent and point hold.
6. `reconcile/` compares the tables with each other and with Graph, and writes corrections as further change files.
7. What could not be read or proven becomes a named gap of its table; the parent's rows stay.
8. `manifest_builder` writes the manifest last: until then, no reader sees anything of the run.

`jobs` records how a backup ended. `logs` backs up audit and sign-in logs, which have days instead of states.
"""
