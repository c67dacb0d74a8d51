"""`init`: a project that works as it stands, or nothing at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from entra_pipeline.project import load_project
from tests.support.command import call

TENANT, CLIENT = "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "7c9e6679-7425-40de-944b-e07fc1f90ae7"
IDS = ("--tenant-id", TENANT, "--client-id", CLIENT)


def test_a_new_project_backs_up_as_it_stands(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    said = call("init", folder)
    assert said.code == 0
    file = folder / "dagster_project.toml"
    assert f"entra-pipeline --project {file} backup demo" in said.out
    assert sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file()) == [
        ".dagster/dagster.yaml",
        ".gitignore",
        "dagster_project.toml",
        "workspace.yaml",
    ]
    # Fewer, so that it is quick.
    file.write_text(file.read_text().replace("users = 200, groups = 20", "users = 5, groups = 2"))
    assert call("--project", file, "doctor").code == 0
    assert call("--project", file, "backup", "demo", "--types", "users").code == 0


@pytest.mark.parametrize(
    ("credential", "key"),
    [
        (["--managed-identity"], "managed_identity"),
        (["--workload-identity"], "workload_identity"),
        (["--client-secret-env", "SECRET"], "client_secret"),
    ],
)
def test_a_tenant_and_a_bucket(tmp_path: Path, credential: list[str], key: str) -> None:
    place = ("--bucket", "entra-backup", "--endpoint-url", "https://s3.example.net")
    assert call("init", tmp_path, "--name", "contoso", *IDS, *credential, *place).code == 0
    project = load_project(tmp_path / "dagster_project.toml")
    assert getattr(project.tenants["contoso"], key)
    secret = project.tenants["contoso"].client_secret
    assert (secret.env if secret else None) == ("SECRET" if "SECRET" in credential else None)
    assert project.scope("contoso").types()
    assert project.storage["main"].kind == "s3"


def test_a_certificate(tmp_path: Path) -> None:
    assert call("init", tmp_path, *IDS, "--certificate", 'keys/"app".pem').code == 0
    certificate = load_project(tmp_path / "dagster_project.toml").tenants["main"].certificate
    assert certificate is not None
    assert certificate.path == Path('keys/"app".pem')


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (IDS, "one credential is needed"),
        ((*IDS, "--managed-identity", "--certificate", "a.pem"), "exclude each other"),
        (("--client-id", CLIENT), "--tenant-id is missing"),
        (("--managed-identity",), "--tenant-id is missing"),
        (("--tenant-id", "contoso", "--managed-identity"), "tenants.main.tenant_id"),
        (("--endpoint-url", "https://s3.example.net"), "--endpoint-url needs --bucket"),
        (("--bucket", "B"), "storage.main.bucket"),
        (("--name", "two words"), "two words"),
        (("--name", 'a"]\nb = 1'), "is not a name"),
    ],
)
def test_what_cannot_work_is_refused_and_nothing_is_written(
    tmp_path: Path, options: tuple[str, ...], named: str
) -> None:
    said = call("init", tmp_path / "new", *options)
    assert said.code == 2
    assert named in said.err
    assert "→" in said.err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("there", ["dagster_project.toml", ".gitignore", "workspace.yaml", ".dagster/dagster.yaml"])
def test_what_exists_is_not_changed(tmp_path: Path, there: str) -> None:
    (tmp_path / ".dagster").mkdir()
    (tmp_path / there).write_text("mine")
    said = call("init", tmp_path)
    assert said.code == 2
    assert f"{tmp_path / there} exists already" in said.err
    assert [one.name for one in tmp_path.rglob("*") if one.is_file()] == [Path(there).name]
    assert (tmp_path / there).read_text() == "mine"
