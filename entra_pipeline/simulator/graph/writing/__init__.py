"""Carries out POST, PATCH, PUT and DELETE, or refuses them as Graph does.

`writer.WriteHandler.answer` works in one transaction, so a refused write changes nothing:

1. `privileged`: whether the caller may change this target at all.
2. The path says what the write is about: an object (`objects`), a reference (`references`), an action (`actions`).
3. `checks`: names and kinds of properties against msgraph-sdk's models; required, read-only and immutable ones.
4. `rules`: references that have to exist, combinations, what may still be changed, per type.
5. `creation`: what Graph makes up for a new object, and the links that it gets.
6. The storage changes; bound references are added.

`scheduling` (privileged identity management) and `entitlement` (access packages) carry out requests instead of creating
objects.
"""
