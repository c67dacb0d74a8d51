"""One use case, one module: what the command, the console's jobs and Dagster do with a scope, assembled once.

Each operation goes the same way:

1. open the scope's store, and check that the place can be used;
2. open the tenant, for reading or also for writing;
3. run, inside a job record that tells how it ended;
4. watch: evaluate the rules for what is unusual in a new recovery point.

`environment` says how stores and tenants are opened, which differs between the command and Dagster's resources. What
belongs here: the order of these steps. What does not: how a backup or a restore is done (`backup`, `restore`), and how
it is shown (`cli`, `orchestration`).
"""
