"""Erasing one person: their values become unreadable in every recovery point, and no file of these is written anew.

1. `persons` finds whom a name means, in which parts that person's values are, and which records name them.
2. `erase` writes the record of it (`record`), which names nobody but by id, and destroys the keys
   (`backends.encryption.person_keys`), unless a hold forbids it.

docs/erasure.md says what is erased, and what is not.
"""
