"""Reads tables from Graph into staged rows.

1. `selection` resolves the chosen users and groups of a scope to ids, where it does not protect everything.
2. `extensions` finds the properties that Graph returns only when they are selected by name.
3. `reader` reads object types that stand for themselves: by delta query, by listing, or as a single object.
4. An incremental follows the parent's delta link; without a usable one, and in a full, the whole type is read.
5. `children` reads relations without delta, and child types: a `$expand` probe (`expansion`), then one request for
   each owner (`owners`).
6. A long list, or a relation with many owners, is read once a day; in between only what delta reports.

What all reads share is in `table_reader`. The outcome of each table is a `rows.result`: rows, a failure, or the reason
why Graph does not offer it.
"""
