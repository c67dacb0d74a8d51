"""Turns pages of Graph into the rows of a recovery point.

1. `page_parser` splits a page into objects, and takes the links out of a delta page, without decoding the rest.
2. `staging` keeps the rows in the order of arrival, in Arrow files on local disk; `result` says what a read brought.
3. `segment_writer` types and writes complete segments of a new base in a thread while later pages are read.
4. `hashes` tells whether segments that were written as they came are a valid state, and what differs from the parent.
5. `merge` folds all other rows: partial updates over the parent's object, repeats, deletions, complete listings.
6. `parquet` writes objects with a column for each property of the catalogue and `_raw`, and edges as pairs of ids.
7. `memory` retries a query with a higher DuckDB memory limit when it runs out.
"""
