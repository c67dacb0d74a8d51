"""The console's design as docs/design.md promises it: tokens for colours, icons that exist, versions that are true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from entra_pipeline.console.display.icons import icon, icon_names

pytestmark = pytest.mark.pure

ROOT = Path(__file__).parents[2]
CONSOLE = ROOT / "entra_pipeline" / "console"
STATIC, TEMPLATES = CONSOLE / "static", CONSOLE / "templates"
PAGE = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
CSS = (STATIC / "console.css").read_text(encoding="utf-8")


def test_colours_are_tokens() -> None:
    """After the tokens there is no colour but shades of black behind what floats."""
    rules = CSS[CSS.index("/* Elements */") :]
    assert [one for one in re.findall(r"#[0-9a-f]{3,8}\b(?=[^{}]*;)|rgb\([^)]*\)", rules) if "8 14 22" not in one] == []


def test_every_token_that_is_used_is_defined_and_told() -> None:
    defined = set(re.findall(r"(--[\w-]+):", CSS))
    assert set(re.findall(r"var\((--[\w-]+)\)", CSS)) <= defined
    told = set(re.findall(r"`(--[\w-]+)`", PAGE))
    assert told <= defined


def test_pages_have_no_styles_of_their_own() -> None:
    """The content security policy refuses them."""
    assert [
        file.name
        for file in TEMPLATES.glob("*.html")
        if re.search(r"<style|\sstyle=|<script(?! src)", file.read_text())
    ] == []


def test_every_icon_is_used_and_there() -> None:
    texts = [file.read_text() for file in (*TEMPLATES.glob("*.html"), *CONSOLE.rglob("*.py"))]
    used = {name for text in texts for name in re.findall(r'"([a-z][a-z0-9-]*)"', text)}
    assert icon_names() <= used
    asked = {name for text in texts for name in re.findall(r'\bicon\("([^"]+)"\)', text)}
    assert asked <= icon_names()
    with pytest.raises(KeyError):
        icon("no-such-icon")


def test_versions_are_those_of_the_files() -> None:
    versions = dict(re.findall(r"^\| [^|]+ \| `([^`]+)` \| ([\d.]+) \|", PAGE, re.MULTILINE))
    assert f"lucide-static {versions['lucide-static']}" in (STATIC / "vendor" / "icons.svg").read_text()
    assert f'version:"{versions["htmx.org"]}"' in (STATIC / "vendor" / "htmx.min.js").read_text()
    names = {name.rpartition("/")[2].removesuffix(".org") for name in versions}
    scripts = {file.name.split(".")[0] for file in (STATIC / "vendor").glob("*.js")}
    assert scripts <= names
    for script in scripts:
        assert (STATIC / "vendor" / f"{script}.LICENSE").is_file()
