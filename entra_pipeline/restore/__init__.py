"""Restore: compare a recovery point with the tenant, write back what differs, and check the result.

1. `plan.service` reads the tenant (or takes a recovery point of it) and calls the planner.
2. `plan.diff` finds each object of the recovery point in the tenant: under its id, under another one, or in the recycle
   bin.
3. `plan.rules` turns every difference into a step, or into a refusal with its reason.
4. `plan.planner` resolves references between steps, orders them, and seals the plan. Nothing is written so far.
5. `execute.apply` takes an undo point, then sends the steps stage by stage; `records.journal` announces every
   request that must not be sent twice.
6. `check.verify` reads the tenant back and compares it with the plan.

Imports go one way: `check` → `execute` → `plan` → `records` → `objects`.
"""
