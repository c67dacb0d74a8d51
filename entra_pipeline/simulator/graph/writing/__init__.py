"""Carries out POST, PATCH, PUT and DELETE, or refuses them as Graph does.

`writer.Writer.answer` works in one transaction, so a refused write changes nothing:

1. `privileged`: whether the caller may change this target at all.
2. Names and kinds of properties, against msgraph-sdk's models; required, read-only and immutable ones.
3. `rules`: references that have to exist, combinations, what may still be changed, per type.
4. `creation`: what Graph makes up for a new object, and the links that it gets.
5. The storage changes; bound references are added.

`scheduling` (privileged identity management) and `entitlement` (access packages) carry out requests instead of creating
objects.
"""
