"""Texts of strangers: on terminals and in spreadsheets they are only texts."""

from __future__ import annotations

import pytest

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
