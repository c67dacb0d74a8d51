"""Conditions that people give over the columns of a table: parsed, held against a list, and written anew.

A condition comes from whoever may look at a recovery point. DuckDB parses it; each node of the tree has to be a kind of
expression, a column or a function that is listed here; and what runs is written from the tree, not from the text. So a
condition reads columns of its row and nothing else: no file, setting, variable, other table or query within; and
nothing in it makes large texts out of small ones.

What belongs here: what a condition may say. What does not: how long it may take and how much memory, which the process
decides that runs it (`console.sql`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import duckdb
import msgspec

from entra_pipeline.errors import UsageError
from entra_pipeline.store.state import sql_text
from entra_pipeline.text import did_you_mean

LONGEST = 20_000
"""Characters of a condition at the most: some hundred ids."""

# Each `||` copies what it joins: so many of them make no large text of a small one.
_MOST_JOINS = 16
_JOINS = {"||", "concat", "concat_ws"}
# DuckDB (1.4) matches a pattern by trying every place for every wildcard: three of them take minutes for a text of some
# thousand characters. LIKE alone, with no wildcard but `%`, takes one pass.
_PATTERNS = {
    **dict.fromkeys(("~~", "!~~", "~~*", "!~~*", "like_escape", "not_like_escape", "ilike_escape"), "%"),
    **{"not_ilike_escape": "%", "~~~": "*"},
}
_LINEAR = {"~~", "!~~"}
_MOST_WILDCARDS = 2
_LONGEST_PATTERN = 1_000
# `->` of JSON is written as the arrow of a lambda. No function here takes one, so it is never that.
_CLASSES = {
    *("COLUMN_REF", "CONSTANT", "FUNCTION", "COMPARISON", "CONJUNCTION", "OPERATOR", "CAST", "CASE", "BETWEEN"),
    *("COLLATE", "LAMBDA"),
}
_MOMENTS = {"current_date", "current_timestamp", "localtimestamp"}
FUNCTIONS = {
    *("+", "-", "*", "/", "//", "%", "~~", "!~~", "~~*", "!~~*", "~~~", "^@", "->", "->>", "@>", "<@", "&&"),
    *_JOINS,
    # Texts.
    *("lower", "upper", "lcase", "ucase", "trim", "ltrim", "rtrim", "length", "len", "strlen", "char_length"),
    *("substring", "substr", "left", "right", "contains", "starts_with", "prefix", "ends_with", "suffix", "instr"),
    *("position", "strpos", "split_part", "strip_accents", "like_escape", "not_like_escape", "ilike_escape"),
    *("not_ilike_escape", "regexp_matches", "regexp_full_match", "regexp_extract", "string_split", "split"),
    *("levenshtein", "jaro_winkler_similarity"),
    # JSON.
    *(
        "json_extract",
        "json_extract_string",
        "json_extract_path",
        "json_extract_path_text",
        "json_exists",
        "json_valid",
    ),
    *("json_contains", "json_array_length", "json_keys", "json_type", "json_value", "json"),
    # Lists.
    *("list_contains", "list_has", "array_contains", "array_has", "list_has_any", "array_has_any", "list_has_all"),
    *("array_has_all", "list_position", "array_position", "list_distinct", "list_sort", "array_length", "list_value"),
    *("list_extract", "list_element", "array_extract", "list_any_value", "list_min", "list_max", "list_count"),
    # Numbers.
    *("abs", "round", "floor", "ceil", "ceiling", "sign", "trunc", "mod", "greatest", "least"),
    # Times.
    *("now", "today", "get_current_timestamp", "transaction_timestamp", "date_trunc", "datetrunc", "date_part"),
    *("datepart", "date_diff", "datediff", "date_sub", "datesub", "date_add", "age", "epoch", "epoch_ms", "year"),
    *("quarter", "month", "week", "day", "dayofweek", "isodow", "dayofyear", "hour", "minute", "second", "dayname"),
    *("monthname", "last_day", "make_date", "make_timestamp", "strftime", "strptime", "try_strptime", "to_timestamp"),
    *(f"to_{unit}" for unit in ("years", "months", "weeks", "days", "hours", "minutes", "seconds", "milliseconds")),
    # What is there, and what is not.
    *("coalesce", "ifnull", "nullif", "if", "typeof"),
}
"""Functions and operators that a condition may call, as DuckDB's parser names them."""
_EXAMPLE = "Give a DuckDB condition over the columns, for example: displayName LIKE 'A%'."


def parsed_condition(connection: duckdb.DuckDBPyConnection, condition: str, columns: Collection[str]) -> str:
    """Parses a condition and writes it anew, as SQL that stands in brackets wherever it is put.

    Args:
        connection: Parses it; nothing is read.
        condition: The condition, in DuckDB's dialect.
        columns: The columns that it may name.

    Raises:
        UsageError: It is no condition, or says what a condition may not.
    """
    if len(condition) > LONGEST:
        raise UsageError("the condition is too long", remedy=f"It may have {LONGEST:,} characters.")
    tree = _parsed(connection, condition)
    [where] = [one["node"]["where_clause"] for one in tree["statements"]]
    _require_allowed(where, {name.lower() for name in columns})
    written = msgspec.json.encode(tree).decode()
    [(text,)] = connection.execute(f"SELECT json_deserialize_sql({sql_text(written)})").fetchall()
    return f"({str(text).removeprefix(_BEFORE)})"


_BEFORE = "SELECT 1 WHERE "


def _parsed(connection: duckdb.DuckDBPyConnection, condition: str) -> Any:
    """The tree of a statement that is nothing but the condition.

    Raises:
        UsageError: It is not understood, or more than a condition.
    """
    if "\0" in condition:
        raise UsageError("the condition is not text", remedy=_EXAMPLE)
    # The line break ends a comment. As a literal: a parameter would have DuckDB import pandas.
    query = f"{_BEFORE}({condition}\n)"
    try:
        [(text,)] = connection.execute(f"SELECT json_serialize_sql({sql_text(query)})").fetchall()
        tree = msgspec.json.decode(text)
    except (duckdb.Error, msgspec.DecodeError, RecursionError) as error:
        raise UsageError(f"the condition is not understood: {str(error).splitlines()[0]}", remedy=_EXAMPLE) from None
    if tree["error"]:
        more = tree["error_type"] != "parser"
        told = "holds more than a condition" if more else f"is not understood: {tree['error_message'].splitlines()[0]}"
        raise UsageError(f"the condition {told}", remedy=_EXAMPLE)
    [empty] = msgspec.json.decode(
        connection.execute(f"SELECT json_serialize_sql({sql_text(f'{_BEFORE}true')})").fetchall()[0][0]
    )["statements"]
    given = [
        {**one, "node": {**one.get("node", {}), "where_clause": empty["node"]["where_clause"]}}
        for one in tree["statements"]
    ]
    # Nothing around it: no second statement, no GROUP BY, no UNION that follows a bracket closed too early.
    if given != [empty]:
        raise UsageError("the condition holds more than a condition", remedy="Give one SQL condition.")
    return tree


def _require_allowed(where: Any, columns: set[str]) -> None:
    """Refuses what is not listed."""
    joins = 0
    for node in _expressions(where):
        kind = node["class"]
        if kind not in _CLASSES:
            named = {"SUBQUERY": "a query within it", "WINDOW": "a window", "PARAMETER": "a parameter"}
            raise UsageError(
                f"the condition has {named.get(kind, kind.lower())}, which is not allowed",
                remedy="Compare columns of the row; for lists, list_contains(column, 'value').",
            )
        if kind == "COLUMN_REF":
            name = str(node["column_names"][0])
            if name.lower() not in columns | _MOMENTS:
                raise UsageError(
                    f"the condition is not understood: there is no column {name!r}{did_you_mean(name, columns)}",
                    remedy=_EXAMPLE,
                )
        if kind == "FUNCTION":
            name = str(node["function_name"]).lower()
            if name not in FUNCTIONS or node["schema"] not in ("", "main") or node["catalog"]:
                raise UsageError(
                    f"the condition calls {name}, which is not allowed",
                    remedy="entra-pipeline sql has no such limit; docs/command.md lists the functions of conditions.",
                )
            joins += name in _JOINS
            if name in _PATTERNS:
                for pattern in node["children"][1:2]:
                    _require_bounded(name, pattern)
    if joins > _MOST_JOINS:
        raise UsageError(
            f"the condition joins texts {joins} times", remedy=f"It may do so {_MOST_JOINS} times; compare them singly."
        )


def _require_bounded(name: str, pattern: dict[str, Any]) -> None:
    """Refuses a pattern that takes long to match: long, with many wildcards, or made of columns."""
    if pattern["class"] != "CONSTANT":
        raise UsageError(
            "the condition has a pattern that is not a plain text",
            remedy="Write the pattern in quotes; to compare columns, use starts_with, ends_with or contains.",
        )
    text, wildcard = str(pattern["value"].get("value", "")), _PATTERNS[name]
    one_pass = name in _LINEAR and "_" not in text
    if len(text) > _LONGEST_PATTERN or (text.count(wildcard) > _MOST_WILDCARDS and not one_pass):
        raise UsageError(
            f"the condition has a pattern that is too costly to match: {text[:40]!r}",
            remedy=f"It may have {_MOST_WILDCARDS} {wildcard} and {_LONGEST_PATTERN:,} characters; LIKE without _ may "
            "have more. Join conditions with AND: contains(lower(column), 'text').",
        )


def _expressions(tree: Any) -> Iterator[dict[str, Any]]:
    """Every expression in a tree, that is every object with a class."""
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if "class" in one:
                yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
