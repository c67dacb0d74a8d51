"""`deploy/compose` on one machine without a container engine, with runs on workers of their own, while things go wrong.

`python -m benchmarks.machines` starts what `deploy/compose/compose.yaml` names: with its commands, its settings and its
mounts, each service as a user of its own, with a file system of its own where files are written. Postgres and Ceph are
real. Two more machines are workers. They share with the services the storage, the database, and nothing else. Then
backups, a restore with two administrators, reports and prunes go on while workers, the daemon and the console are
killed. It exits with 1 when anything is lost, doubled or stuck.

Takes Linux, root, Ceph and PostgreSQL; a quarter of an hour.

`machine` is a place for processes, `composed` what compose.yaml says, `agent` starts runs on a worker and `launcher`
asks it to, `world` is what is there without us, `story` what happens, `__main__` what has to hold at the end.
"""
