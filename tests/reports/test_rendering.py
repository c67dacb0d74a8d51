"""The same report in every format: opened as people open it."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import openpyxl
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from entra_pipeline.reports import REPORTS, Report
from entra_pipeline.reports.model import Chart, Column, ReportTable
from entra_pipeline.reports.rendering import FORMATS
from entra_pipeline.reports.rendering.charts import lone_svg, page_svg
from entra_pipeline.reports.rendering.plain import duration, shown
from tests.reports.conftest import GAP, NOW, Site, person

NASTY = '<script>document.title = "taken over"</script>'

NASTY_REPORT = Report(
    name="jobs",
    title=f"Jobs {NASTY}",
    subtitle="",
    made="2026-11-23T12:00:00Z",
    tables=[
        ReportTable(
            "jobs",
            "Jobs",
            [
                Column("name", "name"),
                Column("at", "at", "moment"),
                Column("took", "took", "seconds"),
                Column("part", "part", "percent"),
                Column("count", "count", "number"),
                Column("nested", "nested"),
            ],
            [
                {"name": NASTY, "at": "2026-11-23T11:00:00Z", "took": 90.0, "part": 0.9999, "count": 1234567},
                {"name": "=1+1", "at": "", "took": None, "nested": {"a": [1]}},
            ],
        ),
        ReportTable("empty", "Nothing", [Column("a", "a")], [], "nothing is missing"),
    ],
    charts=[Chart(f"Chart {NASTY}", ["a$b", "c"], {NASTY: [1, 2], "_x$y$": [None, 3]}, limit=5)],
    facts={"events": 12345},
    problems=[f"problem {NASTY}"],
)


def test_json_has_every_table() -> None:
    data = json.loads(FORMATS["json"](NASTY_REPORT))
    assert (data["report"], data["facts"], data["empty"]) == ("jobs", {"events": 12345}, [])
    assert data["jobs"][0] | {"name": ""} == {
        "name": "",
        "at": "2026-11-23T11:00:00Z",
        "took": 90.0,
        "part": 0.9999,
        "count": 1234567,
        "nested": None,
    }


def test_csv_is_the_first_table_unless_the_report_names_another() -> None:
    first, second = csv.DictReader(io.StringIO(FORMATS["csv"](NASTY_REPORT).decode()))
    assert (first["name"], first["count"], second["nested"]) == (NASTY, "1234567", '{"a":[1]}')
    assert FORMATS["csv"](replace(NASTY_REPORT, csv_table="empty")) == b"a\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7260, "2 h 1 min"), (200_000, "2 d 7 h")]
)
def test_durations_are_read_easily(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_almost_all_is_never_all() -> None:
    assert (shown(0.99999, "percent"), shown(1.0, "percent")) == ("99.9 %", "100 %")


def test_a_spreadsheet_holds_numbers_dates_and_texts(tmp_path: Path) -> None:
    file = tmp_path / "report.xlsx"
    file.write_bytes(FORMATS["xlsx"](NASTY_REPORT))
    book = openpyxl.load_workbook(file)
    assert book.sheetnames == ["Summary", "Jobs", "Empty", "Charts"]
    head, first, second = book["Jobs"].values
    assert head == ("name", "at", "took", "part", "count", "nested")
    at = datetime(2026, 11, 23, 11)  # noqa: DTZ001 - Excel knows no zones
    assert first == (NASTY, at, timedelta(seconds=90), 0.9999, 1234567, None)
    assert (second[0], book["Jobs"]["A3"].data_type) == ("=1+1", "s")
    assert book["Empty"]["A2"].value == "nothing is missing"
    [chart] = book["Summary"]._charts
    assert [series.val.numRef.f for series in chart.series] == ["Charts!$B$2:$B$3", "Charts!$C$2:$C$3"]


def test_charts_are_svg_in_the_pages_colours() -> None:
    [chart] = NASTY_REPORT.charts
    for drawn in (page_svg(chart), lone_svg(chart)):
        root = ElementTree.fromstring(drawn)
        texts = "".join(root.itertext())
        assert NASTY in texts and "_x$y$" in texts and "a$b" in texts
        assert len(drawn) < 40_000
    assert "var(--text)" in page_svg(chart)
    assert "var(" not in lone_svg(chart) and "#010203" not in lone_svg(chart)


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000"):
        options.add_argument(argument)
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_reads_well_in_light_and_dark(browser: webdriver.Chrome, tmp_path: Path, scheme: str) -> None:
    file = tmp_path / "report.html"
    file.write_bytes(FORMATS["html"](NASTY_REPORT))
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    browser.get(file.as_uri())
    assert browser.title.startswith("Jobs <script>")
    assert browser.get_log("browser") == []
    page, text, label = browser.execute_script(
        "const style = (one, key) => getComputedStyle(one)[key];"
        "return [style(document.body, 'backgroundColor'), style(document.body, 'color'),"
        " style(document.querySelector('svg text'), 'fill')]"
    )
    assert _contrast(page, text) > 7
    assert _contrast(page, label) > 7
    bars = browser.execute_script(
        "return [...document.querySelectorAll('svg path')].map(one => getComputedStyle(one).fill)"
    )
    assert any(_contrast(page, bar) > 2 for bar in bars if bar.startswith("rgb"))
    width, inner = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert width <= inner


@pytest.mark.browser
def test_printing_keeps_every_column(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """On A4 in landscape, within margins of 12 mm: 273 mm are 1,032 pixels."""
    columns = [Column(f"column{number}", f"column {number}", "key") for number in range(14)]
    row = {one.key: f"{one.key}-3f2504e0-4f89-11d3-9a0c" for one in columns}
    report = Report("job", "Job", "", "2026-11-23T12:00:00Z", [ReportTable("types", "By type", columns, [row])])
    file = tmp_path / "wide.html"
    file.write_bytes(FORMATS["html"](report))
    browser.get(file.as_uri())
    metrics = {"width": 1032, "height": 700, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    ends = browser.execute_script(
        "return [...document.querySelectorAll('td')].map((one) => one.getBoundingClientRect().right)"
    )
    assert len(ends) == 14 and max(ends) <= 1032
    assert browser.execute_script("return getComputedStyle(document.querySelector('.table')).overflowX") == "visible"
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def _contrast(one: str, other: str) -> float:
    """The contrast of two colours (WCAG 2.2, "contrast ratio")."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scopes", [0, 1, 100])
def test_every_report_of_any_system_has_every_format(tmp_path: Path, scopes: int) -> None:
    names = [f"scope-{number:03d}" for number in range(scopes)]
    site = Site(tmp_path, *names)
    for number, name in enumerate(names[:5]):
        site.take(name, NOW - timedelta(hours=number), person(1), gaps=(GAP,) if number == 1 else ())
    for name, kind in REPORTS.items():
        report = kind.build(site.asked(NOW.date() - timedelta(days=max(kind.days - 1, 0))))
        assert report.problems == []
        for format_, render in FORMATS.items():
            data = render(report)
            assert len(data) < 400_000, (name, format_)
        if not scopes:
            assert all(not table.rows and table.empty for table in report.tables)
