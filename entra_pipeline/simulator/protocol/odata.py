"""OData query options: parsing, checking, and `$filter` as SQL.

What belongs here: the language (OData 4.01 URL conventions, the part of it that Graph's directory understands). What
does not: which object set is meant, and what is done with the result.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from entra_pipeline.simulator.protocol.failures import unknown_property, unsupported
from entra_pipeline.simulator.schema import EntitySet

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>'(?:[^']|'')*')
    | (?P<date>\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d))
    | (?P<guid>[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})
    | (?P<number>-?\d+(?:\.\d+)?)
    | (?P<name>[A-Za-z_@$][\w.@/]*)
    | (?P<mark>[(),:])
    )""",
    re.VERBOSE,
)
_COMPARE = {"eq": "=", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}


@dataclass(frozen=True, slots=True)
class Condition:
    """A `$filter` as SQL over `objects o`.

    Attributes:
        sql, values: The expression and its parameters.
        advanced: It needs ConsistencyLevel: eventual and $count=true (Graph doc: aad-advanced-queries).
    """

    sql: str = "1"
    values: tuple[object, ...] = ()
    advanced: bool = False


@dataclass(frozen=True, slots=True)
class Expand:
    """One item of `$expand`: the relation and the nested `$select`."""

    segment: str
    select: tuple[str, ...] | None


def split_outside(text: str, separator: str = ",") -> list[str]:
    """Splits at separators that are not inside parentheses or quotes; pieces are stripped, empty ones dropped."""
    pieces, depth, quoted, start = [], 0, False, 0
    for index, character in enumerate(text):
        if character == "'":
            quoted = not quoted
        elif not quoted and character == "(":
            depth += 1
        elif not quoted and character == ")":
            depth -= 1
        elif not quoted and depth == 0 and character == separator:
            pieces.append(text[start:index])
            start = index + 1
    pieces.append(text[start:])
    return [piece.strip() for piece in pieces if piece.strip()]


def parse_select(text: str | None) -> tuple[str, ...] | None:
    """Returns the names of `$select`; None when it is absent, empty or `*`."""
    names = tuple(split_outside(text or ""))
    return None if not names or names == ("*",) else names


def parse_expand(text: str) -> list[Expand]:
    """Returns the items of `$expand`. Raises Failure when it cannot be read."""
    found = []
    for item in split_outside(text):
        matched = re.fullmatch(r"([\w]+)(?:\((.*)\))?", item)
        if not matched:
            raise unsupported("Invalid $expand.")
        options = dict(option.split("=", 1) for option in split_outside(matched[2] or "", ";") if "=" in option)
        if unknown := set(options) - {"$select", "$expand"}:
            raise unsupported(f"Query option '{min(unknown)}' is not supported inside $expand.")
        found.append(Expand(matched[1], parse_select(options.get("$select"))))
    return found


def check_select(
    entry: EntitySet, names: tuple[str, ...] | None, extensions: Mapping[str, object], also: tuple[str, ...] = ()
) -> None:
    """Raises Failure (400) for a name that is neither a property, nor a registered extension, nor among `also`."""
    known = entry.properties()
    for name in names or ():
        if name not in known and name not in extensions and name not in also and not name.startswith("@odata."):
            raise unknown_property(name, entry.name)


def compile_filter(entry: EntitySet, text: str, extensions: Mapping[str, object]) -> Condition:
    """Returns `$filter` as SQL. Raises Failure (400) for what Graph does not understand."""
    return _Parser(entry, text, extensions).parse()


_ID = "o.id"


class _Parser:
    """Recursive descent over `or`, `and`, `not`, comparison, function, lambda."""

    def __init__(self, entry: EntitySet, text: str, extensions: Mapping[str, object]) -> None:
        self.entry = entry
        self.extensions = extensions
        self.values: list[object] = []
        self.advanced = False
        self.variables: dict[str, str] = {}
        self.tokens: list[tuple[str, str]] = []
        position = 0
        text = text.rstrip()
        while position < len(text):
            matched = _TOKEN.match(text, position)
            if not matched or not matched.lastgroup:
                raise self._invalid()
            self.tokens.append((matched.lastgroup, matched[matched.lastgroup]))
            position = matched.end()
        self.at = 0

    def parse(self) -> Condition:
        sql = self._or()
        if self.at != len(self.tokens):
            raise self._invalid()
        return Condition(sql, tuple(self.values), self.advanced)

    @staticmethod
    def _invalid() -> Exception:
        return unsupported("Invalid filter clause: Syntax error.")

    def _peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def _take(self, *wanted: str) -> str:
        if self.at >= len(self.tokens) or (wanted and self._peek() not in wanted):
            raise self._invalid()
        self.at += 1
        return self.tokens[self.at - 1][1]

    def _or(self) -> str:
        parts = [self._and()]
        while self._peek() == "or":
            self._take()
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else f"({' OR '.join(parts)})"

    def _and(self) -> str:
        parts = [self._not()]
        while self._peek() == "and":
            self._take()
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else f"({' AND '.join(parts)})"

    def _not(self) -> str:
        if self._peek() == "not":
            self._take()
            self.advanced = True
            return f"NOT coalesce({self._not()}, 0)"
        if self._peek() == "(":
            self._take()
            inner = self._or()
            self._take(")")
            return inner
        return self._comparison()

    def _comparison(self) -> str:
        name = self._take()
        function = _FUNCTIONS.get(name.lower())
        if function and self._peek() == "(":
            self._take("(")
            sql = function(self)
            self._take(")")
            return sql
        if name.lower().endswith("/any") and self._peek() == "(":
            return self._any(name[:-4])
        field = self._field(name)
        operator = self._take()
        if operator == "in":
            self._take("(")
            wanted = [self._literal()]
            while self._peek() == ",":
                self._take()
                wanted.append(self._literal())
            self._take(")")
            self.values.extend(wanted)
            return f"{field}{_collation(field)} IN ({','.join('?' * len(wanted))})"
        value = self._literal()
        if operator == "ne":
            self.advanced = True
            if value is None:
                return f"{field} IS NOT NULL"
            self.values.append(value)
            return f"{field}{_collation(field)} IS NOT ?"
        if operator not in _COMPARE:
            raise self._invalid()
        if value is None:
            return f"{field} IS NULL"
        self.values.append(value)
        return f"{field}{_collation(field)} {_COMPARE[operator]} ?"

    def _any(self, collection: str) -> str:
        field = self._field(collection)
        self._take("(")
        if self._peek() == ")":
            self._take()
            return f"json_array_length({field}) > 0"
        variable = self._take()
        self._take(":")
        alias = f"j{len(self.variables)}"
        self.variables[variable] = alias
        inner = self._or()
        self._take(")")
        del self.variables[variable]
        return f"EXISTS (SELECT 1 FROM json_each({field}) {alias} WHERE {inner})"

    def _field(self, name: str) -> str:
        head, _, rest = name.partition("/")
        if head in self.variables:
            alias = self.variables[head]
            return f"json_extract({alias}.value, '$.{rest.replace('/', '.')}')" if rest else f"{alias}.value"
        if name == "id":
            return _ID
        if head not in self.entry.properties() and head not in self.extensions:
            raise unknown_property(head, self.entry.name)
        return f"json_extract(o.json, '$.{name.replace('/', '.')}')"

    def _literal(self) -> str | int | float | None:
        if self.at >= len(self.tokens):
            raise self._invalid()
        kind, text = self.tokens[self.at]
        self.at += 1
        if kind == "string":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return float(text) if "." in text else int(text)
        if kind in {"date", "guid"}:
            return text
        if text in {"true", "false"}:
            return int(text == "true")
        if text == "null":
            return None
        raise self._invalid()

    def _match(self, pattern: str) -> str:
        field = self._field(self._take())
        self._take(",")
        value = str(self._literal())
        for special in "\\%_":
            value = value.replace(special, f"\\{special}")
        self.values.append(pattern.format(value))
        return f"{field} LIKE ? ESCAPE '\\'"

    def starts_with(self) -> str:
        return self._match("{}%")

    def ends_with(self) -> str:
        self.advanced = True
        return self._match("%{}")

    def is_of(self) -> str:
        self.values.append(str(self._literal()).removeprefix("microsoft.graph."))
        return "o.type = ?"


def _collation(field: str) -> str:
    """Returns how a field is compared: text whatever its case; ids as they are, which their index can answer."""
    return "" if field == _ID else " COLLATE NOCASE"


_FUNCTIONS: dict[str, Callable[[_Parser], str]] = {
    "startswith": _Parser.starts_with,
    "endswith": _Parser.ends_with,
    "isof": _Parser.is_of,
}
