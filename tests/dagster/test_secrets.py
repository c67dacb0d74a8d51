"""What a run has of the secrets of a project, and what it shows of them."""

import json
import logging
import os
from typing import Any
from urllib.parse import quote

import dagster as dg
import pytest

from entra_pipeline.definitions import build_job_definitions
from entra_pipeline.errors import StoreError
from entra_pipeline.operations.backup import TakenPoint, run_backup
from entra_pipeline.orchestration.errors import explained, in_scope
from entra_pipeline.orchestration.jobs import backup
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.secrets import needs_of_restore, secret_values, withheld
from entra_pipeline.project.stores import open_store
from entra_pipeline.settings.scrubbing import scrub

OWN, OTHER, MAIL = "TENANT_OF_CONTOSO", "TENANT_OF_FABRIKAM", "MAIL_OF_THE_PROJECT"
VALUE = 'mail "secret"/+% of the environment'
MORE = f"""
[tenants.fabrikam]
tenant_id = "11111111-2222-4333-8444-555555555555"
client_id = "11111111-2222-4333-8444-666666666666"
client_secret = {{ env = "{OTHER}" }}

[scopes.fabrikam]
tenant = "fabrikam"
storage = "disk"

[mail]
host = "127.0.0.1"
port = 9
from = "entra-pipeline@example.com"
username = "console"
password = {{ env = "{MAIL}" }}
"""


@pytest.fixture
def two_tenants(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project with its tenant's secret in the environment, another tenant's, and one of mail."""
    monkeypatch.setenv(OWN, (project.file.parent / "secret").read_text())
    monkeypatch.setenv(OTHER, "secret of another tenant")
    monkeypatch.setenv(MAIL, VALUE)
    text = project.file.read_text().replace('{ file = "secret" }', f'{{ env = "{OWN}" }}')
    project.file.write_text(text + MORE)
    return load_project(project.file)


def test_a_run_of_a_scope_has_no_secret_of_another(
    two_tenants: Project, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []

    async def observed(*given: Any, **named: Any) -> TakenPoint:
        seen.append({OWN, OTHER, MAIL} & os.environ.keys())
        return await run_backup(*given, **named)

    monkeypatch.setattr(backup, "run_backup", observed)
    definitions = build_job_definitions(two_tenants, "backup_now_contoso_eu")
    assert definitions is not None
    result = definitions.resolve_job_def("backup_now_contoso_eu").execute_in_process(instance=instance)
    assert result.success
    assert seen == [{OWN}]
    assert open_store(two_tenants, "contoso-eu").points()
    # The process is what it was: only the work went without.
    assert {OWN, OTHER, MAIL} <= os.environ.keys()


def test_a_restore_to_another_tenant_has_the_secrets_of_both(two_tenants: Project) -> None:
    with withheld(two_tenants, needs_of_restore(two_tenants, "contoso-eu", "fabrikam")):
        assert {OWN, OTHER, MAIL} & os.environ.keys() == {OWN, OTHER}
    with withheld(two_tenants, needs_of_restore(two_tenants, "contoso-eu", "")):
        assert {OWN, OTHER, MAIL} & os.environ.keys() == {OWN}


@pytest.mark.parametrize("error", [StoreError, RuntimeError, dg.Failure])
def test_a_run_shows_no_secret(two_tenants: Project, instance: dg.DagsterInstance, error: type[Exception]) -> None:
    @dg.op
    def tell(context: dg.OpExecutionContext) -> None:
        with explained(context, str(two_tenants.file), in_scope("contoso-eu")):
            context.log.info(f"signed in with {VALUE}")
            logging.getLogger("dagster.anything").warning("signed in with %s", VALUE)
            try:
                raise ValueError(VALUE)
            except ValueError:
                context.log.exception(f"asked /?password={quote(VALUE)}")
            try:
                raise ValueError(VALUE)
            except ValueError as cause:
                raise error(f"refused: {VALUE} {json.dumps(VALUE)}") from cause

    @dg.job
    def telling() -> None:
        tell()

    result = telling.execute_in_process(instance=instance, raise_on_error=False)
    assert not result.success
    kept = "\n".join(dg.serialize_value(one) for one in instance.all_logs(result.run_id))
    assert "signed in with [secret]" in kept and "asked /?password=[secret]" in kept
    assert "refused: [secret]" in kept
    assert scrub(kept, secret_values(two_tenants)) == kept
    assert "of the environment" not in kept
