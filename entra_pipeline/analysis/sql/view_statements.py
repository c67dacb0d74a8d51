"""The SQL of views that rest on several tables of recovery points, and what they say of tables that a point lacks.

What belongs here: how a view's own SQL (`views`) becomes a view, a macro or a history, and the error in place of rows
that nobody could know. What does not: the SQL of the tables themselves (`statements`).

A table that a point does not have would look like one without rows, and an answer with fewer rows than there are would
look whole. So each view has a branch without rows that fails for every scope without a needed table. Conditions of a
query on `scope` are met before that, so that they leave such a scope out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from entra_pipeline.analysis.sql.statements import AT_PARAMETERS, MOMENT_PARAMETER
from entra_pipeline.analysis.sql.views import HISTORY, View, data, histories, views
from entra_pipeline.store.state import sql_text

AT = "_at"
POINT_TABLES = "_tables"
"""What the newest points have of each table; with `_at` those of a moment, with `_history` all points together."""
INCOMPLETE = "incomplete"
_INCOMPLETE_COMMENT = (
    "Tables that the answer rests on and that the recovery point has with gaps, or, where they give names only, not at "
    "all; empty: it has them all. recovery_point_tables shows the gaps."
)


class ViewForm(NamedTuple):
    """A view in one of its forms.

    Attributes:
        view: The view.
        suffix: Empty for the newest state, `_at` for the macro of a moment, `_history` for the history.
    """

    view: View
    suffix: str

    @property
    def name(self) -> str:
        """What it is asked for by."""
        return self.view.name.removesuffix(HISTORY) + self.suffix

    @property
    def columns(self) -> list[str]:
        """Its columns, in their order."""
        return [*self.view.columns, INCOMPLETE]

    @property
    def needs(self) -> list[str]:
        """The views and macros that its SQL asks for."""
        return [POINT_TABLES + self.suffix, *(self._name(one) for one in self.view.asked)]

    @property
    def statement(self) -> str:
        """The statement that defines it."""
        if self.suffix == AT:
            return f'CREATE OR REPLACE MACRO "{self.name}" ({AT_PARAMETERS}) AS TABLE {self._sql}'
        return f'CREATE OR REPLACE VIEW "{self.name}" AS {self._sql}'

    @property
    def comments(self) -> list[str]:
        """The statements that say what it and its columns mean."""
        if self.suffix == AT:
            return [f'COMMENT ON MACRO TABLE "{self.name}" IS {sql_text(self.view.comment)}']
        columns = {**self.view.columns, INCOMPLETE: _INCOMPLETE_COMMENT}
        return [
            f'COMMENT ON VIEW "{self.name}" IS {sql_text(self.view.comment)}',
            *(f'COMMENT ON COLUMN "{self.name}"."{name}" IS {sql_text(said)}' for name, said in columns.items()),
        ]

    @property
    def _sql(self) -> str:
        tables = self._called(POINT_TABLES + self.suffix)
        body = self.view.body_with({one: self._called(self._name(one)) for one in self.view.asked})
        lists = (
            'SELECT scope, coalesce(list("table") FILTER (readable), []) AS readable, '
            f'coalesce(list("table") FILTER (has_gaps), []) AS with_gaps FROM {tables} GROUP BY scope'
        )
        rests_on = ", ".join(map(sql_text, self.view.tables))
        incomplete = (
            f"SELECT scope, list_filter([{rests_on}], lambda t: list_contains(with_gaps, t) OR NOT "
            f"list_contains(readable, t)) AS {INCOMPLETE} FROM ({lists})"
        )
        chosen = ", ".join(f'b."{name}"' for name in self.view.columns)
        rows = f"SELECT {chosen}, p.{INCOMPLETE} FROM ({body}) b JOIN ({incomplete}) p ON p.scope = b.scope"
        return " UNION ALL ".join([rows, *self._failures(lists)])

    def _failures(self, lists: str) -> Iterator[str]:
        """Branches without rows that fail for scopes without a table."""
        where = {
            "": "at its newest recovery point",
            AT: f"at its recovery point of ', {MOMENT_PARAMETER}::VARCHAR, '",
            HISTORY: "at any recovery point",
        }[self.suffix]
        leave_out = "" if self.suffix == AT else "; WHERE scope <> ''', scope, ''' leaves it out"
        needed = self.view.needed
        kinds: list[tuple[Sequence[str], str, str]] = [(needed, "", "")] if needed else []
        kinds += [([table], column, value) for table, (column, value) in self.view.parts.items()]
        for tables, column, value in kinds:
            without = f"; WHERE {column} <> {value.replace(chr(39), chr(39) * 2)} asks for the others" if column else ""
            fail = (
                f"error(concat('{self.name} needs ', lacking[1], ', which scope ', scope, ' does not have {where}: it "
                f"was not protected, or could not be read{leave_out}{without}'))"
            )
            columns = ", ".join(
                f'{name if name == "scope" else value if name == column else "NULL"} AS "{name}"'
                for name in self.columns
            )
            listed = ", ".join(map(sql_text, tables))
            lacking = (
                f"SELECT scope, list_filter([{listed}], lambda t: NOT list_contains(readable, t)) AS lacking "
                f"FROM ({lists})"
            )
            yield f"SELECT {columns} FROM ({lacking}) WHERE CASE WHEN len(lacking) > 0 THEN {fail} END"

    def _name(self, asked: str) -> str:
        """The view or macro that gives what the SQL calls by a plain name."""
        if self.suffix != AT or asked in data():
            return asked
        # What a scope may do without fails here, or is null, and not in the macro of the table.
        optional = asked in self.view.naming or asked in self.view.parts
        return f"{'_' if optional else ''}{asked}{AT}"

    def _called(self, name: str) -> str:
        return f"{name}({AT_PARAMETERS})" if name.endswith(AT) else name


def view_form(name: str) -> ViewForm | None:
    """The view of a name, in the form that the name says; None when there is none."""
    if name in views():
        return ViewForm(views()[name], "")
    if name.endswith(AT) and name.removesuffix(AT) in views():
        return ViewForm(views()[name.removesuffix(AT)], AT)
    if name.endswith(HISTORY) and name.removesuffix(HISTORY) in histories():
        return ViewForm(histories()[name.removesuffix(HISTORY)], HISTORY)
    return None


def form_names() -> list[str]:
    """Names of the views in all of their forms, in the order in which a list shows them."""
    return [one for name in views() for one in (name, name + AT, *([name + HISTORY] if name in histories() else []))]


def data_statement(name: str) -> str:
    """The statement that defines the data of a name (`_permission_tiers`)."""
    columns, *rows = data()[name]
    values = ", ".join(f"({', '.join(map(sql_text, row))})" for row in rows)
    return f'CREATE OR REPLACE VIEW "{name}" AS SELECT * FROM (VALUES {values}) AS rows({", ".join(columns)})'
