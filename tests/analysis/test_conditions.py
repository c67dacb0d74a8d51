"""Conditions: what they may say is parsed and written anew; everything else is refused before it runs."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from entra_pipeline.analysis.conditions import LONGEST, parsed_condition
from entra_pipeline.errors import UsageError

pytestmark = pytest.mark.pure

COLUMNS = (
    "id",
    "_raw",
    "displayName",
    "accountEnabled",
    "businessPhones",
    "conditions",
    "createdDateTime",
    "_position",
)
ROW = (
    "SELECT 'a' AS id, '{}' AS _raw, 'Adele O''Hara' AS displayName, true AS accountEnabled, ['1', '2'] AS "
    """businessPhones, '{"users":{"include":["All"]}}'::JSON AS conditions, TIMESTAMPTZ '2026-01-02' AS """
    "createdDateTime, NULL AS _position"
)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as one:
        yield one


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("displayName = 'Adele O''Hara' -- a comment", True),
        ("DISPLAYNAME LIKE 'A%' AND NOT accountEnabled", False),
        ("false OR true", True),
        ("displayName NOT LIKE 'x%' ESCAPE '$'", True),
        ("lower(displayName) || id = 'adele o''haraa'", True),
        ("conditions->>'$.users.include' LIKE '%All%'", True),
        ("(conditions->'$.users.include') = '[\"All\"]'", True),
        ("list_contains(businessPhones, '2') AND businessPhones[1] = '1'", True),
        ("createdDateTime > now() - INTERVAL 5 DAY", False),
        ("createdDateTime BETWEEN DATE '2026-01-01' AND current_date::TIMESTAMPTZ + INTERVAL 100 YEAR", True),
        ("extract(year FROM createdDateTime) IN (2025, 2026)", True),
        ("CASE WHEN accountEnabled THEN _position IS NULL ELSE false END", True),
        ("displayName ~ '.*Hara' COLLATE nocase", True),
        ("try_cast(id AS INTEGER) IS NOT DISTINCT FROM NULL", True),
    ],
)
def test_what_may_be_said_keeps_its_meaning(connection: duckdb.DuckDBPyConnection, condition: str, holds: bool) -> None:
    written = parsed_condition(connection, condition, COLUMNS)
    assert connection.execute(f"SELECT {written} AND true FROM ({ROW})").fetchall() == [(holds,)]


@pytest.mark.parametrize(
    "condition",
    [
        *("", "nonsense =", "it's", "true \0", "nme = 'a'", "COLUMNS(*) IS NULL", "rowid > 0", "users.id = 'a'"),
        *("true); SELECT (1", "true; SELECT 1", "1 = 1) GROUP BY (1", "true) UNION SELECT (1", "true) ORDER BY (1"),
        *("true) LIMIT (1", "true) QUALIFY (true"),
        *("EXISTS (SELECT 1 FROM read_text('/etc/hostname'))", "id IN (SELECT id FROM 'x.parquet')", "'1' = ANY(_raw)"),
        *("(SELECT count(*) FROM duckdb_settings()) > 0", "(FROM duckdb_secrets()) IS NULL"),
        *("current_setting('home_directory') = ''", "getenv('HOME') = ''", "getvariable('x') = ''", "$1", "?"),
        *("length(repeat(_raw, 500000)) > 0", "main.repeat(id, 9) = ''", "lpad(id, 1000000000, 'x') = ''"),
        *(
            "rpad(id, 1000000000, 'x') = ''",
            "replace(_raw, 'a', 'aaaaaaaaaaaaaaaaaaaa') = ''",
            "bar(1, 0, 2, 9999) = ''",
        ),
        *("regexp_replace(_raw, '.', 'xxxxxxxxxx', 'g') = ''", "printf('%1000000000d', 1) = ''", "len(range(9)) > 0"),
        *("len(list_transform([_raw], x -> x || x)) > 0", "len([x || x for x in [_raw]]) > 0", "error('x')"),
        *("format('{:1000000000}', id) = ''", "list_resize([_raw], 1000000000) = []", "hex(_raw) = ''", "md5(id) = ''"),
        *(
            "generate_series(1, 9) = []",
            "sum(1) OVER () > 1",
            "count(*) > 1",
            "nextval('x') > 0",
            "bitstring('1', 9) = ''",
        ),
        "||".join(["_raw"] * 18) + " = ''",
        "lower(" * 2000 + "id" + ")" * 2000 + " = 'a'",
        f"id = '{'x' * LONGEST}'",
    ],
    ids=lambda one: one[:30],
)
def test_what_may_not_be_said_is_refused(connection: duckdb.DuckDBPyConnection, condition: str) -> None:
    with pytest.raises(UsageError, match="the condition") as refusal:
        parsed_condition(connection, condition, COLUMNS)
    assert refusal.value.remedy


@pytest.mark.parametrize(
    "condition",
    [
        "_raw ILIKE '%a%a%b'",
        "_raw NOT ILIKE '%a%a%b'",
        "_raw LIKE '%a%a_b%'",
        "_raw LIKE '%a%a%b' ESCAPE '#'",
        "_raw GLOB '*a*a*b'",
        "NOT (id = 'a' OR (true AND _raw ILIKE '%a%a%b'))",
        "like_escape(_raw, '%a%a%b', '#')",
        "_raw LIKE id || '%'",
        "_raw LIKE '%a%a_b%'::VARCHAR",
        "_raw LIKE CASE WHEN true THEN '%a%a%a_b' END",
        f"_raw LIKE '{'a' * 1001}'",
    ],
)
def test_a_pattern_that_takes_for_ever_is_refused(connection: duckdb.DuckDBPyConnection, condition: str) -> None:
    """Three wildcards over a text of 3,000 characters took ten minutes and more."""
    with pytest.raises(UsageError, match="pattern"):
        parsed_condition(connection, condition, COLUMNS)


@pytest.mark.parametrize("condition", ["_raw LIKE '%a%a%a%a%a%b'", "_raw ILIKE '%ab%'", "_raw LIKE '%a_b%'"])
def test_other_patterns_are_quick(connection: duckdb.DuckDBPyConnection, condition: str) -> None:
    written = parsed_condition(connection, condition, COLUMNS)
    long = "SELECT repeat('a', 3000) AS _raw FROM range(5)"
    assert connection.execute(f"SELECT count(*) FROM ({long}) WHERE {written}").fetchall() == [(0,)]


@pytest.mark.parametrize("condition", ["like_escape()", "like_escape(id)"])
def test_a_pattern_that_is_not_there(connection: duckdb.DuckDBPyConnection, condition: str) -> None:
    """DuckDB says itself that it lacks."""
    with pytest.raises(duckdb.Error):
        connection.execute(f"SELECT {parsed_condition(connection, condition, COLUMNS)} FROM ({ROW})")


def test_a_bracket_that_closes_too_early_chooses_no_more(connection: duckdb.DuckDBPyConnection) -> None:
    written = parsed_condition(connection, "true) OR (true", COLUMNS)
    assert connection.execute(f"SELECT false AND {written}").fetchall() == [(False,)]
