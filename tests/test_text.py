"""Texts of strangers: on terminals and in spreadsheets they are only texts."""

from __future__ import annotations

from pathlib import Path

import pytest

import entra_pipeline
from entra_pipeline.reports.model import Column, Report, ReportTable
from entra_pipeline.reports.rendering.plain import as_csv
from entra_pipeline.text import printable, spreadsheet_text

pytestmark = pytest.mark.pure


def test_nothing_commands_a_terminal() -> None:
    assert printable("Ådele\tVärde\n日本") == "Ådele\tVärde\n日本"
    assert printable("\x1b]0;x\x07a\x9b2J\r\u202eb\u2066c\x7f") == (
        "\\u001b]0;x\\u0007a\\u009b2J\\u000d\\u202eb\\u2066c\\u007f"
    )


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3+cmd", "@SUM(A1)", "\t=1", " =1", "\r=1", "＝1", "|x"]
)
def test_no_cell_begins_a_formula(text: str) -> None:
    assert spreadsheet_text(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "Adele", "-5", "+46 70 123 45 67", "-1.5", "a=b", "2026-11-23T05-00-00Z"])
def test_other_cells_stay(text: str) -> None:
    assert spreadsheet_text(text) == text


def test_headings_are_cells_too() -> None:
    """Those of an answer are what the one who asked called them."""
    name = "=HYPERLINK(1)"
    table = ReportTable("rows", "Rows", [Column(name, name)], [{name: "@x"}, {name: ["=x"]}])
    assert as_csv(Report("sql", "Answer", "", "", [table])) == '\'=HYPERLINK(1)\n\'@x\n"[""=x""]"\n'


def test_whatever_writes_csv_guards_its_cells() -> None:
    root = Path(entra_pipeline.__file__).parent
    writing = {one: text for one in root.rglob("*.py") if "csv.writer(" in (text := one.read_text())}
    assert writing
    assert [one for one, text in writing.items() if "csv_cell(" not in text and "spreadsheet_text(" not in text] == []
