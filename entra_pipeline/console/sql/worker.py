"""What runs in the process that answers a question: one, and then it ends."""

from __future__ import annotations

import io
import resource
from multiprocessing.connection import Connection
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from entra_pipeline.analysis.sql import plain
from entra_pipeline.analysis.sql.bounded import LESS, TOO_MUCH, BoundedSession
from entra_pipeline.clock import iso, system_clock
from entra_pipeline.console.sql import bounds
from entra_pipeline.console.sql.bounds import QUERY_DECODER, Format, QueryError, QueryOutcome, QueryRequest, QueryResult
from entra_pipeline.errors import EntraPipelineError, UsageError
from entra_pipeline.project import load_project
from entra_pipeline.reports.model import Column, Report, ReportTable
from entra_pipeline.reports.rendering import FORMATS


def answer(asked: Connection) -> None:
    """Answers a `QueryRequest` that comes as bytes; what comes of it is sent as `QueryOutcome`, in bytes."""
    for limit, most in (
        (resource.RLIMIT_AS, bounds.ADDRESS_SPACE),
        (resource.RLIMIT_CPU, bounds.SECONDS * 4),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most))
    asked.send_bytes(msgspec.msgpack.encode(_outcome(QUERY_DECODER.decode(asked.recv_bytes()))))


def _outcome(question: QueryRequest) -> QueryOutcome:
    try:
        project = load_project(question.project)
        if question.visible is not None:
            project = project.narrowed(question.visible)
        with BoundedSession(project, bounds.MEMORY) as session:
            try:
                return QueryOutcome(answer=_answer(session.ask(question.query), question.format))
            except duckdb.Error as error:
                raise session.explained(error) from None
    except EntraPipelineError as error:
        return QueryOutcome(
            refusal=QueryError(message=error.message, remedy=error.remedy, asked=isinstance(error, UsageError))
        )
    except MemoryError:
        return QueryOutcome(refusal=QueryError(message=TOO_MUCH, remedy=LESS))


def _answer(found: duckdb.DuckDBPyConnection, format_: Format) -> QueryResult:
    names = _unique_names([column[0] for column in found.description])
    if not format_:
        rows = found.fetchmany(bounds.ROWS_SHOWN + 1)
        shown = [[_value(one) for one in row] for row in rows[: bounds.ROWS_SHOWN]]
        told = QueryResult(columns=names, rows=shown, more=len(rows) > len(shown), count=len(shown))
        _require_small(len(msgspec.msgpack.encode(told)))
        return told
    if format_ == "parquet":
        batches, count = [], 0
        reader = found.fetch_record_batch(10_000)
        for batch in reader:
            batches.append(batch)
            count += batch.num_rows
            _require_few(count)
        table = pa.Table.from_batches(batches, reader.schema).rename_columns(names)
        out = io.BytesIO()
        pq.write_table(table, out, compression="zstd")
        data = out.getvalue()
    else:
        rows = found.fetchmany(bounds.ROWS_IN_FILES + 1)
        _require_few(count := len(rows))
        data = FORMATS[format_](_report(names, [[_value(one) for one in row] for row in rows]))
    _require_small(len(data))
    return QueryResult(columns=names, count=count, file=data)


def _value(value: Any) -> Any:
    """A value as JSON has it; of numbers those that any reader of it knows."""
    if isinstance(value, list | tuple):
        return [_value(one) for one in value]
    if isinstance(value, dict):
        return {str(plain(key)): _value(one) for key, one in value.items()}
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        return str(value)
    return plain(value)


def _unique_names(names: list[str]) -> list[str]:
    """Names of columns, of which two may be the same: the later ones get a number."""
    found: list[str] = []
    for name in names:
        again = next(one for number in range(1, len(names) + 1) if (one := _numbered(name, number)) not in found)
        found.append(again)
    return found


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}_{number}"


def _report(names: list[str], rows: list[list[Any]]) -> Report:
    """The rows as a report, which has the formats."""
    numbers = [all(type(row[place]) in (int, float, type(None)) for row in rows) for place in range(len(names))]
    columns = [Column(name, name, "number" if number else "text") for name, number in zip(names, numbers, strict=True)]
    table = ReportTable("rows", "Rows", columns, [dict(zip(names, row, strict=True)) for row in rows], "no rows")
    return Report("sql", "Answer", "", iso(system_clock()), [table])


def _require_few(rows: int) -> None:
    if rows > bounds.ROWS_IN_FILES:
        raise UsageError(
            f"there are more than {bounds.ROWS_IN_FILES:,} rows, the limit of a file",
            remedy="Narrow the query, or use entra-pipeline sql QUERY --output FILE, which has no such limit.",
        )


def _require_small(size: int) -> None:
    if size > bounds.BYTES:
        raise UsageError(f"the answer has more than {bounds.BYTES // 1_000_000} MB", remedy=LESS)
