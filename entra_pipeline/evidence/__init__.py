"""Evidence: one file that shows an auditor what was backed up, tested, restored and deleted in a period.

1. `proofs` reads a record of the storage with what proves it: its key, SHA-256 and stored signature.
2. `scope` tells what a scope has: recovery points, drills, restores, holds. `coverage` tells what it lacks. `events`
   has the audit log's chain.
3. `bundle` writes the items as lines of JSON, and a signed manifest of their SHA-256s as the last line.
4. `verify_evidence` checks all of it elsewhere, with Python and `cryptography` alone.

What belongs here: which facts are evidence, and how they are proven. What does not: names and values of the tenant's
objects. The format is public: docs/evidence.md.
"""
