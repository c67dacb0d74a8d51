"""Makes the directory of a new tenant: people, groups, devices, applications, roles, conditional access.

`organization` is what every tenant has; the others are for tenants with people. `fill` of the room above calls them, so
that objects are numbered in one order: `organization`, `applications`, `people`, then their `links`.
"""
