"""Make a restore plan, without writing to the tenant.

1. `service` provides a recovery point that shows the tenant, and calls the planner. `other_tenant` and `tenant_mapping`
   first map domains and known objects when the target is another tenant. `undo` narrows the plan to what a
   restore wrote.
2. `diff` compares both recovery points inside DuckDB and classifies every object that differs.
3. `drafts` applies conflict mode, guards and the rules of the catalogue: one draft or one refusal per difference.
4. `planner` follows the references of every draft through `id_index`; a reference that leads nowhere becomes a refusal.
   It then sorts the drafts topologically within their stages.
5. `pim` and `extensions` drop what would give more access than before, or what the tenant does not accept.
6. `estimate` counts requests and seconds.
"""
