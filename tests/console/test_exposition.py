"""What machines ask of the console: probes and scrapers."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from entra_pipeline.console.auth import SignIn
from entra_pipeline.console.auth.local import LocalAccount
from entra_pipeline.console.dagster.client import Dagster
from tests.console.conftest import NOWHERE, PASSWORD_FILE, Served, served

TOKEN = "metrics-token-7hQz"


def ask(console: Served, path: str, **headers: str) -> httpx.Response:
    return httpx.get(console.url + path, headers={"host": "10.0.0.7:8400", **headers}, trust_env=False)


def test_a_probe_is_answered_by_any_name_and_nothing_else_is(console: Served) -> None:
    assert (ask(console, "/healthz").status_code, ask(console, "/healthz").text) == (200, "ok\n")
    assert ask(console, "/sign-in").status_code == 400


def test_without_a_token_in_the_configuration_there_are_no_metrics(console: Served) -> None:
    assert ask(console, "/metrics", authorization="Bearer x").status_code == 404


@pytest.fixture
def measured(project_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = project_file.with_name("measured.toml")
    file.write_text(project_file.read_text() + '\n[console]\nmetrics_token = { env = "CONSOLE_TEST_METRICS" }\n')
    monkeypatch.setenv("CONSOLE_TEST_METRICS", TOKEN)
    account, password = LocalAccount.open(tmp_path / PASSWORD_FILE)
    nowhere = Dagster(NOWHERE, NOWHERE)
    with served(file, sign_in=SignIn(local=account), dagster=nowhere, password=password) as one:
        yield one
    nowhere.close()


def test_a_scraper_shows_the_token_and_gets_how_every_scope_stands(measured: Served, secrets: list[str]) -> None:
    for shown in ({}, {"authorization": "Bearer x"}, {"authorization": "Bearer other"}, {"authorization": TOKEN}):
        assert ask(measured, "/metrics", **shown).status_code == 401
    answer = ask(measured, "/metrics", authorization=f"Bearer {TOKEN}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {
        (sample.name, *(value for name, value in sorted(sample.labels.items()) if name != "version")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["entra_pipeline_scope_up", "contoso", "disk", "contoso"] == 1
    assert samples["entra_pipeline_recovery_points", "contoso"] == 1
    assert samples["entra_pipeline_last_point_rows", "objects", "contoso"] > 20
    assert samples["entra_pipeline_last_point_requests", "contoso"] > 0
    # Dagster is away: what it would say is missing rather than 0.
    assert not any(name[0] == "entra_pipeline_runs" for name in samples)
    assert not any(secret in answer.text for secret in [*secrets, TOKEN])
