"""Makes the tables that Dagster shows in metadata."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import dagster as dg


def metadata_table(
    rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str], *, words: Collection[str]
) -> dg.TableMetadataValue:
    """Makes a table of metadata.

    Args:
        rows: The rows.
        columns: Key → heading.
        words: Keys of columns that hold text; the others hold whole numbers.
    """
    records = [dg.TableRecord({heading: row[key] for key, heading in columns.items()}) for row in rows]
    kinds = {heading: "string" if key in words else "int" for key, heading in columns.items()}
    return dg.MetadataValue.table(
        records, dg.TableSchema(columns=[dg.TableColumn(heading, kind) for heading, kind in kinds.items()])
    )
