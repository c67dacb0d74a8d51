"""Answers questions from stored recovery points: what they hold, what differs, what is unusual.

1. `objects` and `browse` read one point: its objects filtered by a condition or a text, counts, links of one object.
2. `changes` compares two points object by object; `equality` says which differences of form are none.
3. `change_rows` and `manifest_rows` turn both into rows with names, which `markdown` can print.
4. `paging` keeps what one page of a long table took for the next one.
5. `sql` puts views and macros over all points into DuckDB.
6. `unusual` evaluates rules on each new point against its parent.

What belongs here: reading manifests and Parquet. What does not: asking Graph (`backup`), and presentation (`reports`,
`cli`, `console`).
"""
