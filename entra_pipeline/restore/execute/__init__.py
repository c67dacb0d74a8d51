"""Carry out a restore plan.

1. `apply` takes a lock per tenant, opens the journal, and takes the undo point unless the journal names one.
2. It compares the undo point with the plan: objects that changed since are left alone, or stop the restore.
3. It runs the stages in order, the steps of a stage concurrently; a step waits for the steps that make what it
   refers to.
4. `requests` turns a step into requests to Graph; `step` sends them, and repeats what replication has not reached yet.
5. A request that creates something is announced in the journal first. When its answer is lost, `lost_write` looks for
   the object in the tenant before the request is sent again.
6. `reinstated` removes links that came back from the recycle bin with their object and are not in the recovery point.
"""
