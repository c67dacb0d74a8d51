"""Encrypts and decrypts with the data keys of a storage.

Parquet is encrypted in the form of DuckDB (1.4), the only one that stock DuckDB reads: that of Parquet's modular
encryption with one key for footer and columns (AES-GCM), but without the additional authenticated data of the
specification. Hence PyArrow and Spark cannot read such files (duckdb/duckdb#18524), and all that is read of them here
is read by DuckDB.
"""

from __future__ import annotations

import binascii
import secrets
import tempfile
import threading
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from entra_pipeline.errors import IntegrityError, StoreError
from entra_pipeline.store.backends.duckdb_errors import remembered_failure
from entra_pipeline.store.backends.duckdb_names import literal
from entra_pipeline.store.backends.encryption.names import key_name_in, with_key_name
from entra_pipeline.store.backends.encryption.sealing import open_object

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from entra_pipeline.store.backends.encryption.data_key import DataKey
    from entra_pipeline.store.backends.encryption.person_keys import PersonKeys

ENCRYPTED_PARQUET, _PLAIN_PARQUET = b"PARE", b"PAR1"
"""What an encrypted Parquet file starts with (Parquet modular encryption, 5.1)."""

_NONCE = 12
# Of the rows of a row group, the most that a dictionary has: of ids that are chance, one with more takes more bytes
# than the column without it.
_DICTIONARY = 0.75
_CHANGED = (
    "Restore the file from a copy of the storage, and find out who wrote it; entra-pipeline verify shows what else is "
    "not as it was written."
)


class KeySource(Protocol):
    """Has the data keys of a storage (`keys.DataKeys`)."""

    @property
    def all(self) -> Mapping[str, DataKey]: ...  # noqa: D102
    @property
    def newest(self) -> DataKey: ...  # noqa: D102


class Vault:
    """Encrypts with the newest data key, and decrypts with all of them.

    Args:
        keys: Opens the data keys; called when one is needed, and again when one is named that is not known yet.
        people: The keys of persons.

    Attributes:
        people: The same.
    """

    def __init__(self, keys: Callable[[], KeySource], people: PersonKeys) -> None:
        self.people = people
        self._open = keys
        self._keys: KeySource | None = None
        self._newest: DataKey | None = None
        self._turn = threading.Lock()
        self._last = threading.local()
        # Each with the keys that it was given.
        self._idle: list[tuple[KeySource | None, duckdb.DuckDBPyConnection]] = []

    @property
    def keys(self) -> KeySource:
        """The data keys; raises ConfigurationError when they cannot be unwrapped."""
        with self._turn:
            if self._keys is None:
                self._keys = self._open()
            return self._keys

    @property
    def newest(self) -> DataKey:
        """What is written is encrypted with, the same in the life of this object; raises StoreError when there is none.

        A file is encrypted before it gets its name, which names the key.
        """
        if self._newest is None:
            self._newest = self.keys.newest
        return self._newest

    def key(self, name: str) -> DataKey:
        """Returns a data key; raises IntegrityError when the storage has none of the name."""
        if name not in self.keys.all:
            # Made since then.
            self._keys = None
        found = self.keys.all.get(name)
        if found is None:
            raise IntegrityError(f"the storage has no data key {name}", remedy=_CHANGED)
        return found

    # --- Records -----------------------------------------------------------------------------------------------------

    def seal(self, key: str, data: bytes) -> str:
        """Encrypts what belongs to a place in the store, as text: name of the data key, and Base64 after a dot.

        Args:
            key: The place. What is moved to another cannot be decrypted.
            data: Bytes.
        """
        own, nonce = self.newest, secrets.token_bytes(_NONCE)
        sealed = nonce + AESGCM(own.records).encrypt(nonce, data, _bound(key))
        return f"{own.name}.{urlsafe_b64encode(sealed).decode()}"

    def open(self, key: str, text: str) -> bytes:
        """Decrypts what `seal` encrypted; raises IntegrityError when it was changed, or belongs elsewhere."""
        name, _, sealed = text.partition(".")
        try:
            data = urlsafe_b64decode(sealed)
            return AESGCM(self.key(name).records).decrypt(data[:_NONCE], data[_NONCE:], _bound(key))
        except (InvalidTag, binascii.Error, ValueError):
            raise IntegrityError(
                f"{key} is not what was encrypted: it was changed, or belongs elsewhere", remedy=_CHANGED
            ) from None

    # --- Parquet -----------------------------------------------------------------------------------------------------

    def parquet_name(self, key: str, *, by_person: bool = False) -> str:
        """Returns the name of a Parquet file that is written now; `by_person` as for `names.with_key_name`."""
        return with_key_name(key, self.newest.name, by_person=by_person)

    def copy_option(self) -> str:
        """Returns what DuckDB's COPY says to encrypt with the newest key, with a comma before it."""
        return f", ENCRYPTION_CONFIG {{footer_key: '{self.newest.name}'}}"

    def prepare(self, connection: duckdb.DuckDBPyConnection, *, write: bool = False) -> None:
        """Gives a DuckDB the keys.

        Args:
            connection: The DuckDB.
            write: It is to encrypt, too. DuckDB (1.4) takes its randomness from httpfs, which is not downloaded here.

        Raises:
            StoreError: To encrypt, httpfs of this release of DuckDB is not installed.
        """
        import duckdb
        from duckdb.func import ARROW
        from duckdb.sqltypes import BLOB, VARCHAR

        for one in self.keys.all.values():
            connection.execute(statement(one))
        for name in {opening_function(name) for name in self.keys.all}:
            # It has it from an earlier call, or another place has the same keys. DuckDB evaluates annotations.
            with suppress(duckdb.NotImplementedException):
                connection.create_function(
                    name,
                    lambda ids, raws, sealed: self._opened(ids, raws, sealed),
                    [VARCHAR, VARCHAR, BLOB],
                    VARCHAR,
                    type=ARROW,
                )
        if write:
            connection.execute(f"LOAD '{_httpfs()}'")

    def _opened(self, identifiers: pa.Array, raws: pa.Array, envelopes: pa.Array) -> pa.Array:
        """Puts the values of persons back into objects, for DuckDB."""
        import pyarrow as pa

        # DuckDB opens the same rows several times over when a condition is on more than one part of them.
        before: dict[bytes, str] = getattr(self._last, "opened", {})
        opened: dict[bytes, str] = {}
        sealed = envelopes.to_pylist()
        with remembered_failure():
            for raw, identifier, envelope in zip(raws.to_pylist(), identifiers.to_pylist(), sealed, strict=True):
                opened[envelope] = before.get(envelope) or open_object(raw, identifier, envelope, self.people.find)
        self._last.opened = opened
        return pa.array([opened[envelope] for envelope in sealed], pa.string())

    def encrypt(self, path: Path) -> None:
        """Encrypts a local Parquet file in its place, unless it is encrypted; the order of rows stays.

        Its row groups stay as large as they were, and dictionaries may be: of links, each id is written once in a row
        group. With what DuckDB keeps by itself (1.4: row groups of 122,880 rows, dictionaries of up to a fifth of the
        rows) files of links are twice as large.
        """
        with path.open("rb") as file:
            if file.read(4) == ENCRYPTED_PARQUET:
                return
        rows = _largest_group(path)
        made = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        try:
            with self._connection() as connection:
                connection.execute(
                    f"COPY (FROM read_parquet({_text(literal(str(path)))}, hive_partitioning = false)) TO "
                    f"{_text(str(made))} (FORMAT parquet, PARQUET_VERSION V2, COMPRESSION zstd, COMPRESSION_LEVEL 6, "
                    f"ROW_GROUP_SIZE {rows}, DICTIONARY_SIZE_LIMIT {ceil(rows * _DICTIONARY)}{self.copy_option()})"
                )
            made.replace(path)
        finally:
            made.unlink(missing_ok=True)

    def encrypted(self, data: bytes) -> bytes:
        """Returns a Parquet file encrypted; as `encrypt`."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "plain.parquet")
            path.write_bytes(data)
            self.encrypt(path)
            return path.read_bytes()

    def read(self, key: str, data: bytes, columns: Sequence[str] = ()) -> pa.Table:
        """Decrypts a Parquet file.

        Args:
            key: Its place in the store, which names the data key.
            data: Its bytes.
            columns: Columns to read; all when empty.

        Raises:
            IntegrityError: It was changed.
        """
        import duckdb

        named = ", ".join(f'"{column}"' for column in columns) or "*"
        name = self.key(key_name_in(key)).name
        with tempfile.NamedTemporaryFile(suffix=".parquet") as file, self._connection() as connection:
            file.write(data)
            file.flush()
            source = f"read_parquet({_text(file.name)}, hive_partitioning = false{reading_option(name)})"
            try:
                return connection.execute(f"SELECT {named} FROM {source}").fetch_arrow_table()
            except duckdb.Error as error:
                raise IntegrityError(f"{key} cannot be decrypted: {error}", remedy=_CHANGED) from None

    @contextmanager
    def _connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Lends a DuckDB that has the keys: to open one takes longer than to encrypt a small file."""
        import duckdb

        with self._turn:
            idle = self._idle.pop() if self._idle and self._idle[-1][0] is self._keys else None
        connection = idle[1] if idle else None
        if connection is None:
            connection = duckdb.connect(
                config={"threads": "1", "autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
            )
            self.prepare(connection, write=True)
        yield connection
        with self._turn:
            self._idle.append((self._keys, connection))


def statement(key: DataKey) -> str:
    """Makes the SQL that gives a DuckDB a data key: whoever has it reads all Parquet files of the key."""
    return f"PRAGMA add_parquet_key('{key.name}', '{b64encode(key.parquet).decode()}')"


def reading_option(name: str) -> str:
    """Makes the option by which DuckDB reads files that are encrypted with a data key, with a comma before it."""
    return f", encryption_config = {{footer_key: '{name}'}}" if name else ""


def opening_function(name: str) -> str:
    """Names the function by which a DuckDB puts the values of persons back, of a storage with this data key.

    It takes the id of an object, its `_raw` and its `_sealed`, and returns the whole `_raw`.
    """
    return f"opened_{name.partition('-')[2]}"


def whole_raw(name: str) -> str:
    """Makes the SQL of the whole `_raw` over files that are encrypted by person, with this data key."""
    return f"CASE WHEN _sealed IS NULL THEN _raw ELSE {opening_function(name)}(id, _raw, _sealed) END"


def _largest_group(path: Path) -> int:
    """Returns how many rows the largest row group of a Parquet file has, and at least one."""
    import pyarrow.parquet as pq

    written = pq.read_metadata(path)
    return max((written.row_group(number).num_rows for number in range(written.num_row_groups)), default=0) or 1


def _httpfs() -> str:
    import duckdb

    found = find_spec("duckdb_extension_httpfs")
    folder = Path(str(found.origin)).parent if found else Path()
    path = folder / "extensions" / f"v{duckdb.__version__}" / "httpfs.duckdb_extension"
    if not path.is_file():
        raise StoreError(
            f"DuckDB {duckdb.__version__} cannot encrypt without its extension httpfs",
            remedy=f"Install it: pip install duckdb-extension-httpfs=={duckdb.__version__}",
        )
    return str(path).replace("'", "''")


def _bound(key: str) -> bytes:
    return f"entra-pipeline/encrypted/1\n{key}\n".encode()


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
