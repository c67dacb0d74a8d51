"""Check what a restore achieved.

- `verify`: reads every restored object back from the tenant, repeats until replication has had its time, and reports
  the properties that still differ.
- `drill`: restores a recovery point into an empty simulated tenant, takes a recovery point of that, and compares.
- `fidelity`: compares two recovery points object by object and scores every table.
"""
