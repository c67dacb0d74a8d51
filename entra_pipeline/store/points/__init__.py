"""What a recovery point is made of beside its manifest: keys, what is staged of it, and its rows in the index.

1. `keys` says what a point is called, by its moment, and where what belongs to it is kept.
2. `staging` keeps a point in the making: files that will be its own, and what a repeated run need not do again.
3. `index` puts what SQL needs of many manifests into a few Parquet files. It is made of manifests, and can be again.

When a point becomes visible is decided in `commit`, one floor above.
"""
