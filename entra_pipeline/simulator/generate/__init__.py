"""Makes the contents of a new tenant from a seed: the same seed gives the same tenant, name by name and id by id.

1. `plan`: how large the tenant is, who it is, random numbers and ids. An id is a hash of seed, kind and number, so a
   reference needs no table of what was made before.
2. `loader`: writes objects in batches, numbered on, and links as pairs of numbers.
3. `fill` writes the directory first (`directory`), then the other families: `policies`, `tenant`, `identity`,
   `governance`, `details`. What an object refers to is written before it.
4. `builtin`: what Microsoft puts into every tenant, with the published ids.
5. The storage builds its indexes once, at the end.
"""
