"""Evaluating the rules for a new recovery point, and what follows when one of them finds something."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import datetime

import duckdb
import msgspec
import pyarrow as pa

from entra_pipeline.analysis.changes import bases, differing, reading
from entra_pipeline.analysis.unusual.rules import Rule, rules
from entra_pipeline.clock import iso
from entra_pipeline.errors import EntraPipelineError, NotInStore
from entra_pipeline.project import Project, Scope
from entra_pipeline.store.events import announce
from entra_pipeline.store.manifest import Manifest, canonical
from entra_pipeline.store.parallel import in_parallel
from entra_pipeline.store.points.keys import key_of
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.holds import hold
from entra_pipeline.store.state import KEYS, state_query
from entra_pipeline.text import did_you_mean

SHOWN = 100
"""Rows of a finding that are kept."""

_log = logging.getLogger(__name__)


class UnusualFinding(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule found.

    Attributes:
        rule: Name of the rule.
        title: What people call it.
        columns: Names of the columns.
        rows: The first rows, as text and numbers.
        total: How many rows there are.
    """

    rule: str
    title: str
    columns: list[str]
    rows: list[list[str | int | float | None]]
    total: int


class UnusualVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules say of a recovery point.

    Attributes:
        scope: The scope.
        recovery_point: The point.
        parent: The point before it, with which it was compared.
        findings: What is unusual.
        problems: What could not be evaluated, and why.
        held: Whether the point before was held from retention.
    """

    scope: str
    recovery_point: str
    parent: str
    findings: list[UnusualFinding]
    problems: list[str]
    held: bool = False


_VERDICT_DECODER = msgspec.json.Decoder(UnusualVerdict)


def watch(project: Project, scope: Scope, store: ScopeStore, manifest: Manifest) -> UnusualVerdict:
    """Evaluates the rules for a point that was just committed.

    When something is unusual, the point before is held from retention, and an event is left for notifications. Nothing
    that goes wrong here is an error: the point stands, and the verdict says what could not be done.
    """
    verdict = UnusualVerdict(
        scope=store.scope, recovery_point=manifest.recovery_point, parent=manifest.parent, findings=[], problems=[]
    )
    if not manifest.parent:
        return verdict
    try:
        findings, problems = _evaluate(project, scope, store, store.manifest(manifest.parent), manifest)
        held = bool(findings) and _held(store, manifest.parent, findings, problems)
        verdict = msgspec.structs.replace(verdict, findings=findings, problems=problems, held=held)
        if findings or problems:
            store.files.replace(_key(store, manifest.recovery_point), canonical(verdict))
        if findings:
            announce(store, _event(store, manifest, verdict))
    except EntraPipelineError as error:
        verdict.problems.append(error.message)
    for problem in verdict.problems:
        _log.warning("unusual change of %s is not known: %s", manifest.recovery_point, problem)
    return verdict


def verdict_of(store: ScopeStore, point: str) -> UnusualVerdict | None:
    """What was found of a point; None when nothing was."""
    try:
        return _VERDICT_DECODER.decode(store.files.read(_key(store, point)))
    except NotInStore:
        return None


def verdicts(store: ScopeStore, since: datetime) -> list[UnusualVerdict]:
    """What was found of the points since a moment, oldest first; points of which there is nothing are left out."""
    first = _key(store, key_of(since))
    keys = [file.key for file in store.files.list(f"_unusual/{store.scope}/") if file.key >= first]
    return [_VERDICT_DECODER.decode(data) for data in in_parallel(store.files.read, keys)]


def _key(store: ScopeStore, point: str) -> str:
    return f"_unusual/{store.scope}/{point}.json"


def _held(store: ScopeStore, parent: str, findings: list[UnusualFinding], problems: list[str]) -> bool:
    reason = f"unusual change after it: {', '.join(one.title for one in findings)}"
    try:
        hold(store, parent, reason=reason, by="unusual change")
    except EntraPipelineError as error:
        problems.append(f"{parent} could not be held from retention: {error.message}")
        return False
    return True


def _event(store: ScopeStore, manifest: Manifest, verdict: UnusualVerdict) -> dict[str, object]:
    return {
        "id": f"unusual-{manifest.recovery_point}",
        "type": "unusual",
        "scope": store.scope,
        "status": "unusual",
        "recovery_point": manifest.recovery_point,
        "parent": manifest.parent if verdict.held else "",
        "finished": iso(store.clock()),
        "findings": msgspec.to_builtins(verdict.findings),
    }


# --- Evaluating ------------------------------------------------------------------------------------------------------


def _evaluate(
    project: Project, scope: Scope, store: ScopeStore, before: Manifest, after: Manifest
) -> tuple[list[UnusualFinding], list[str]]:
    known = rules(project.unusual.rules_folder if project.unusual else None)
    problems = [
        str(scope.error(f"unusual.{name}", f"there is no rule {name!r}{did_you_mean(name, known)}"))
        for name in scope.unusual
        if name not in known
    ]
    findings = []
    with reading(store) as connection:
        comparable = {table for table, basis in bases(before, after).items() if basis.comparable}
        _tables(connection, before, after, comparable)
        made: set[str] = set()
        for rule in known.values():
            set_to = scope.unusual.get(rule.name, {})
            if set_to is False:
                continue
            missing = sorted({*rule.changes, *rule.before, *rule.after} - comparable)
            # What a scope does not protect cannot be watched; that is no problem of the point.
            if missing:
                continue
            thresholds = {**rule.thresholds, **(set_to if isinstance(set_to, Mapping) else {})}
            if unknown := sorted(thresholds.keys() - rule.thresholds.keys()):
                problems.append(
                    str(scope.error(f"unusual.{rule.name}", f"the rule has no threshold {', '.join(unknown)}"))
                )
            try:
                _prepare(connection, store, before, after, rule, made)
                found = _run(connection, rule, thresholds)
            except duckdb.Error as error:
                problems.append(f"rule {rule.name}: {str(error).splitlines()[0]}")
                continue
            if found is not None:
                findings.append(found)
    return findings, problems


def _tables(connection: duckdb.DuckDBPyConnection, before: Manifest, after: Manifest, comparable: set[str]) -> None:
    """`_tables`: what the manifests say of every table that was read at both points in the same way."""
    rows = []
    for name in sorted(comparable):
        then, now = before.tables[name], after.tables[name]
        same = then.signature == now.signature and before.selection == after.selection
        if same and now.read != "carried" and not now.gaps and not then.gaps:
            rows.append((name, now.kind, then.live, now.live, now.added, now.changed, now.deleted))
    connection.execute(
        'CREATE TEMP TABLE _tables ("table" VARCHAR, kind VARCHAR, before BIGINT, after BIGINT, added BIGINT, '
        "changed BIGINT, deleted BIGINT)"
    )
    if rows:
        connection.executemany("INSERT INTO _tables VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


def _prepare(
    connection: duckdb.DuckDBPyConnection,
    store: ScopeStore,
    before: Manifest,
    after: Manifest,
    rule: Rule,
    made: set[str],
) -> None:
    """The tables and views that a rule reads; views cost nothing until they are read."""
    for suffix, tables, manifest in (("before", rule.before, before), ("after", rule.after, after)):
        for table in tables:
            if (name := f"{table}_{suffix}") not in made:
                connection.execute(f'CREATE TEMP VIEW "{name}" AS {state_query(store.files, manifest.tables[table])}')
                made.add(name)
    for table in rule.changes:
        if (name := f"{table}_changes") not in made:
            _changes(connection, store, before, after, table, name)
            made.add(name)


def _changes(
    connection: duckdb.DuckDBPyConnection, store: ScopeStore, before: Manifest, after: Manifest, table: str, name: str
) -> None:
    keys = KEYS[after.tables[table].kind]
    columns: dict[str, list[str | None]] = {key: [] for key in (*keys, "change", "before", "after")}
    for row in differing(store, before, store, after, table, connection=connection):
        for key, value in zip(keys, row.key, strict=True):
            columns[key].append(value)
        columns["change"].append("added" if row.before is None else "removed" if row.after is None else "modified")
        columns["before"].append(row.before)
        columns["after"].append(row.after)
    rows = pa.table({key: pa.array(values, pa.string()) for key, values in columns.items()})
    connection.register("_rows", rows)
    listed = ", ".join([*keys, "change", "before::JSON AS before", "after::JSON AS after"])
    connection.execute(f'CREATE TEMP TABLE "{name}" AS SELECT {listed} FROM _rows')
    connection.unregister("_rows")


def _run(connection: duckdb.DuckDBPyConnection, rule: Rule, thresholds: Mapping[str, float]) -> UnusualFinding | None:
    for name, value in thresholds.items():
        connection.execute(f'SET VARIABLE "{name}" = {float(value)}')
    result = connection.execute(rule.sql)
    columns = [str(one[0]) for one in result.description or ()]
    rows = result.fetchall()
    if not rows:
        return None
    return UnusualFinding(
        rule=rule.name,
        title=rule.title,
        columns=columns,
        rows=[list(_plain(row)) for row in rows[:SHOWN]],
        total=len(rows),
    )


def _plain(row: tuple[object, ...]) -> Iterator[str | int | float | None]:
    for value in row:
        yield value if isinstance(value, str | int | float | None) else str(value)
