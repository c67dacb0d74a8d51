"""A report as a workbook: a sheet with what it says in short and its charts, and one per table."""

from __future__ import annotations

import io
from typing import Any

import xlsxwriter
from xlsxwriter.utility import xl_col_to_name

from entra_pipeline.clock import parse_iso
from entra_pipeline.reports.model import Chart, ColumnKind, Report, ReportTable
from entra_pipeline.reports.rendering.charts import MEANING, PALETTE
from entra_pipeline.reports.rendering.plain import scalar, shown, shown_fact
from entra_pipeline.reports.rendering.words import plain_cell

_KINDS = {"stacked": ("column", "stacked"), "bars": ("column", None), "lines": ("line", None)}
# What Excel takes in a cell.
_LONGEST = 32_767
_WIDEST = 60


def as_xlsx(report: Report) -> bytes:
    """The workbook. Texts stay texts: one that starts with `=` is no formula."""
    out = io.BytesIO()
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False, "in_memory": True}
    with xlsxwriter.Workbook(out, options) as book:
        formats = {
            "head": book.add_format({"bold": True, "bottom": 1}),
            "title": book.add_format({"bold": True, "font_size": 16}),
            "number": book.add_format({"num_format": "#,##0"}),
            "percent": book.add_format({"num_format": "0.0 %"}),
            "seconds": book.add_format({"num_format": "[h]:mm:ss"}),
            "moment": book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
        }
        sheet = book.add_worksheet("Summary")
        sheet.set_column(0, 0, 26)
        sheet.set_column(1, 1, 40)
        sheet.write_string(0, 0, report.title, formats["title"])
        sheet.write_string(1, 0, report.subtitle)
        row = 3
        for problem in report.problems:
            sheet.write_string(row, 0, f"! {problem}"[:_LONGEST])
            row += 1
        for name, value in report.facts.items():
            sheet.write_string(row, 0, name)
            if name == "duration" or not isinstance(value, int | float):
                sheet.write_string(row, 1, shown_fact(name, value)[:_LONGEST])
            else:
                _write(sheet, row, 1, value, "number", formats)
            row += 1
        for table in report.tables:
            _table(book.add_worksheet(table.key.capitalize()[:31]), table, formats)
        if report.charts:
            data = book.add_worksheet("Charts")
            column = 0
            for number, chart in enumerate(report.charts):
                sheet.insert_chart(row + 1 + 20 * number, 0, _chart(book, data, column, chart))
                column += len(chart.series) + 2
        for sheet in book.worksheets():
            # Who prints it gets whole rows and whole charts.
            sheet.set_landscape()
            sheet.fit_to_pages(1, 1 if sheet.get_name() == "Summary" else 0)
    return out.getvalue()


def _table(sheet: Any, table: ReportTable, formats: dict[str, Any]) -> None:
    for number, column in enumerate(table.columns):
        sheet.write_string(0, number, column.heading, formats["head"])
        texts = (shown(row.get(column.key), column.kind) for row in table.rows[:1000])
        sheet.set_column(number, number, min(max(len(column.heading), *map(len, texts), 6) + 2, _WIDEST))
    for place, row in enumerate(table.rows, start=1):
        for number, column in enumerate(table.columns):
            _write(sheet, place, number, row.get(column.key), column.kind, formats)
    sheet.freeze_panes(1, 0)
    if table.rows:
        sheet.autofilter(0, 0, len(table.rows), len(table.columns) - 1)
    else:
        sheet.write_string(1, 0, table.empty)


def _write(sheet: Any, row: int, column: int, value: Any, kind: ColumnKind, formats: dict[str, Any]) -> None:
    if value is None or value == "":
        return
    if kind == "moment":
        sheet.write_datetime(row, column, parse_iso(value).replace(tzinfo=None), formats["moment"])
    elif kind == "seconds":
        # Excel counts in days.
        sheet.write_number(row, column, value / 86_400, formats["seconds"])
    elif kind in ("number", "percent"):
        sheet.write_number(row, column, value, formats[kind])
    else:
        sheet.write_string(row, column, plain_cell(kind, str(scalar(value)))[:_LONGEST])


def _chart(book: Any, data: Any, column: int, chart: Chart) -> Any:
    """A chart of the workbook's own, and its numbers in a sheet."""
    kind, subtype = _KINDS[chart.kind]
    drawn = book.add_chart({"type": kind, **({"subtype": subtype} if subtype else {})})
    data.write_string(0, column, chart.title)
    rows = len(chart.labels)
    data.write_column(1, column, chart.labels)
    labels = f"=Charts!${xl_col_to_name(column)}$2:${xl_col_to_name(column)}${rows + 1}"
    for number, (name, values) in enumerate(chart.series.items(), start=1):
        colour = MEANING[chart.colours[name]] if name in chart.colours else PALETTE[(number - 1) % len(PALETTE)]
        letter = xl_col_to_name(column + number)
        data.write_string(0, column + number, name)
        for place, value in enumerate(values, start=1):
            if value is not None:
                data.write_number(place, column + number, value)
        drawn.add_series(
            {
                "name": f"=Charts!${letter}$1",
                "categories": labels,
                "values": f"=Charts!${letter}$2:${letter}${rows + 1}",
                "fill": {"color": colour},
                "line": {"color": colour},
            }
        )
    drawn.set_title({"name": chart.title, "name_font": {"size": 11}})
    drawn.set_size({"width": 900, "height": 360})
    return drawn
