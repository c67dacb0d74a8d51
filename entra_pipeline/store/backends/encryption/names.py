"""Which files are encrypted, by their names: the name of the data key stands before the extension.

Where the values of persons are encrypted with their own keys, too, it begins with `p` in place of `g`.
"""

from __future__ import annotations

import re

ENCRYPTION = "_encryption/"
"""What the keys of the records of data keys start with."""
KEY_NAME = r"g(\d{4})-[0-9a-f]{8}"
"""Name of a data key: its generation, and what tells the keys of a store from those of others."""

_SUFFIX = re.compile(rf"\.([{KEY_NAME[0]}p])({KEY_NAME[1:]})\.parquet")
_BY_PERSON = "p"
_PARQUET = ".parquet"


def key_name_in(key: str) -> str:
    """Returns the name of the data key that a Parquet file is encrypted with; empty when it is not encrypted."""
    found = _SUFFIX.search(key, max(0, len(key) - 32))
    return f"{KEY_NAME[0]}{found[2]}" if found else ""


def is_by_person(key: str) -> bool:
    """Tells whether the values of persons in a Parquet file are encrypted with their own keys, too."""
    found = _SUFFIX.search(key, max(0, len(key) - 32))
    return found is not None and found[1] == _BY_PERSON


def with_key_name(key: str, name: str, *, by_person: bool = False) -> str:
    """Returns the name of a Parquet file that is encrypted with a data key.

    Args:
        key: Its name without encryption.
        name: Name of the data key.
        by_person: The values of persons in it are encrypted with their own keys, too.
    """
    return f"{key.removesuffix(_PARQUET)}.{_BY_PERSON + name[1:] if by_person else name}{_PARQUET}"


def plain_name(key: str) -> str:
    """Returns the name of a Parquet file without that of its data key."""
    return _SUFFIX.sub(_PARQUET, key)


def record_of(name: str) -> str:
    """Returns where the record of a data key is."""
    return f"{ENCRYPTION}{name}.json"


def generation_of(name: str) -> int:
    """Returns the place of a data key among those of its storage, from 1."""
    return int(name[1:5])


def next_generation(name: str) -> str:
    """Returns what the names of the data keys after one match, as a pattern of DuckDB's."""
    return f"g{generation_of(name) + 1:04d}-*"
