"""A seeded proof of the engine: what one seed decides, what is compared with what (docs/proof.md).

1. `program` makes of a seed a scope and a list of steps: changes of the tenant, backups, faults, kills.
2. `virtual` is the time, the threads and the chance of a simulation. Nothing waits, and nothing depends on the machine,
   so that a seed replays bit for bit; the hash of everything that happened tells.
3. `tenant` is the simulator without sockets, `places` the storage as one process sees it, with its failures.
4. `world` carries out the steps with the real engine. After each it looks whether everything is as it has to be.
5. `model` is what has to be: the tenant after every change in plain dictionaries, and what a point may differ in.
6. `command` runs seeds, makes a failing one small (`program.shrink`), and tells how to replay it.
"""
