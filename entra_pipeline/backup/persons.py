"""The values of persons in a recovery point in the making: the catalogue says whose they are, and which.

What belongs here: which rows have whose values. What does not: how an object is encrypted (`encryption.sealing`), and
where keys are (`encryption.person_keys`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

import duckdb
import pyarrow as pa
from duckdb.func import ARROW
from duckdb.sqltypes import BLOB, VARCHAR

from entra_pipeline.catalogue import ObjectType
from entra_pipeline.errors import DeleteRefused
from entra_pipeline.project import Scope
from entra_pipeline.store.backends.encryption.person_keys import ScopeKeys
from entra_pipeline.store.backends.encryption.sealing import seal_object
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import sql_text
from entra_pipeline.surrogates import replaced_sql

_FUNCTION = "seal_row"


def keys_to_write(scope: Scope, store: ScopeStore) -> ScopeKeys | None:
    """Returns what encrypts the values of persons in a scope; None when nothing does. The caller holds the scope.

    Begins with it where the scope asks for it, and has no recovery point yet.

    Raises:
        ConfigurationError: The scope asks for something else than what its recovery points have.
    """
    vault = store.files.vault
    keys = vault.people.of(store.scope) if vault else None
    if keys is not None:
        keys.reload()
    begun = keys is not None and keys.exist
    if scope.erasure is None and begun:
        raise scope.error(
            "erasure",
            "is not set, and the recovery points of the scope have values that are encrypted by person",
            remedy='Set erasure = "per-person" again; what is backed up without it can never be erased.',
        )
    if scope.erasure is None:
        return None
    if keys is None:
        raise scope.error(
            "erasure", f"needs encryption in [storage.{scope.storage}]", remedy="docs/erasure.md says how to set it."
        )
    if not begun:
        if store.points() or store.staging.points():
            raise scope.error(
                "erasure",
                "is set, and the scope has recovery points from before: nobody could be erased from these",
                remedy="Set it in a scope with another name, and remove this one when the new recovery points go back "
                "far enough.",
            )
        keys.begin()
    else:
        # Whoever may not delete any more can back up still: `verify` and `erasures` tell of what is left.
        with suppress(DeleteRefused):
            keys.settle()
    return keys


@contextmanager
def sealing(connection: duckdb.DuckDBPyConnection, entry: ObjectType, keys: ScopeKeys) -> Iterator[str]:
    """Teaches a DuckDB to take the values of persons out of objects of a type.

    Args:
        connection: The DuckDB.
        entry: The type; it is `personal`.
        keys: Whose keys are used. New ones have to be saved before the rows are stored.

    Yields:
        SQL over rows `id, parent_id, raw`: a struct of `raw`, and `envelope`, null where nobody's values are.
    """
    personal = entry.personal
    if personal is None:
        raise ValueError(f"{entry.name} has nobody's values")

    def seal(identifiers: pa.Array, persons: pa.Array, raws: pa.Array) -> pa.Array:
        rows = zip(raws.to_pylist(), identifiers.to_pylist(), persons.to_pylist(), strict=True)
        done = [seal_object(raw, one, partial(keys.key, person), personal.members) for raw, one, person in rows]
        texts = pa.array([one.raw for one in done], pa.string())
        return pa.StructArray.from_arrays(
            [texts, pa.array([one.envelope for one in done], pa.binary())], names=["raw", "envelope"]
        )

    body = replaced_sql("raw")
    property_, value = personal.where
    condition = (
        f"json_extract_string({body}, {sql_text(f'$.{property_}')}) = {sql_text(value)}" if property_ else "true"
    )
    own = {"id": "id", "_parent_id": "parent_id"}
    person = own.get(personal.whose, f"json_extract_string({body}, {sql_text(f'$.{personal.whose}')})")
    kinds = duckdb.struct_type({"raw": VARCHAR, "envelope": BLOB})
    connection.create_function(_FUNCTION, seal, [VARCHAR, VARCHAR, VARCHAR], kinds, type=ARROW)
    try:
        yield (
            f"CASE WHEN raw IS NOT NULL AND {person} IS NOT NULL AND {condition} THEN {_FUNCTION}(id, {person}, raw) "
            "ELSE {'raw': raw, 'envelope': NULL::BLOB} END"
        )
    finally:
        connection.remove_function(_FUNCTION)
