"""Make a restore plan, without writing to the tenant.

1. `service` provides a recovery point that shows the tenant, and calls the planner. `other_tenant` and `tenant_mapping`
   first map domains and known objects when the target is another tenant. `undo` narrows the plan to what a
   restore wrote.
2. `diff` compares both recovery points inside DuckDB and classifies every object that differs.
3. `rules` applies conflict mode, guards and the rules of the catalogue: drafts or one refusal per difference.
4. `resolver` follows the references of every draft through `id_index`; one that leads nowhere becomes a refusal.
5. `ordering` sorts the drafts topologically within their stages; `planner` numbers them and seals the plan.
6. `estimate` counts requests and seconds.
"""
