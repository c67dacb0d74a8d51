"""Scopes by folder: files of `scopes.d`, what tables have in common, and what one broken file takes with it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from entra_pipeline.errors import ConfigurationError, UsageError
from entra_pipeline.project import create_scope, delete_scope, edit_scope, load_project, watching
from entra_pipeline.project.editing import save_table
from entra_pipeline.project.folder import folder_of
from entra_pipeline.project.watching import WatchedProject

pytestmark = pytest.mark.pure

MAIN = """\
# The provider's.
[storage.main]
kind = "local"
path = "backup"

[tenant_defaults]
client_id = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
certificate = { path = "secrets/{name}.pem" }

[scope_defaults]
tenant = "{name}"
storage = "main"
schedule = "0 */6 * * *"
retention = "2 years"

[scopes.own]
tenant = "own"

[tenants.own]
simulator = { users = 5 }
"""
ID = "3f2504e0-4f89-11d3-9a0c-0305e82c330{}"
CUSTOMER = """\
[tenants.{name}]
tenant_id = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"

[scopes.{name}]
"""

CONTOSO = CUSTOMER.format(name="contoso")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "dagster_project.toml"
    file.write_text(MAIN)
    (tmp_path / "scopes.d").mkdir()
    for name in ("contoso", "fabrikam"):
        write(file, name, CUSTOMER.format(name=name))
    return file


def write(file: Path, name: str, text: str) -> Path:
    path = folder_of(file) / f"{name}.toml"
    path.write_text(text)
    return path


def test_a_customer_is_a_file_with_an_id(file: Path) -> None:
    project = load_project(file)
    assert project.problems == ()
    assert set(project.scopes) == {"own", "contoso", "fabrikam"}
    scope, tenant = project.scope("contoso"), project.tenants["contoso"]
    assert (scope.name, scope.tenant, scope.schedule, str(scope.retention)) == (
        "contoso",
        "contoso",
        "0 */6 * * *",
        "2 years",
    )
    assert tenant.certificate is not None
    # Relative to the configuration file, wherever the table stands.
    assert tenant.resolve(tenant.certificate.path) == file.parent.resolve() / "secrets" / "contoso.pem"
    assert scope.setting("retention") == (folder_of(file) / "contoso.toml", "scopes.contoso.retention")


def test_a_tenant_that_signs_in_in_its_own_way_takes_no_credential_from_the_defaults(file: Path) -> None:
    write(
        file, "northwind", CUSTOMER.format(name="northwind") + '[tenants.northwind.client_secret]\nenv = "NORTHWIND"\n'
    )
    tenant = load_project(file).tenants["northwind"]
    assert tenant.certificate is None
    assert tenant.client_secret is not None
    assert tenant.client_id == "7c9e6679-7425-40de-944b-e07fc1f90ae7"


def test_files_are_read_anew_without_a_restart(file: Path) -> None:
    assert "later" not in load_project(file).scopes
    path = write(file, "later", CUSTOMER.format(name="later"))
    assert "later" in load_project(file).scopes
    path.write_text(path.read_text() + 'schedule = "0 1 * * *"\n')
    assert load_project(file).scope("later").schedule == "0 1 * * *"
    path.unlink()
    assert "later" not in load_project(file).scopes
    # An editor's file, and one in the making.
    (folder_of(file) / ".later.toml").write_text("[[[")
    (folder_of(file) / "notes.txt").write_text("[[[")
    assert load_project(file).problems == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[scopes.contoso]\nretention = \n", "line 2"),
        (
            CONTOSO + 'retention = "2 yeers"\n',
            "scopes.contoso.retention: '2 yeers' is not a period",
        ),
        (CONTOSO + "retentoin = 1\n", "scopes.contoso.retentoin: is not a setting"),
        (
            CONTOSO + '[storage.x]\nkind = "local"\npath = "x"\n',
            "storage: is not a table of a file",
        ),
        (CONTOSO + 'storage = "man"\n', "scopes.contoso.storage: there is no [storage.man]"),
        ('[scopes.contoso]\ntenant = "contos"\n', "scopes.contoso.tenant: there is no [tenants.contos]"),
        ("[tenants.contoso]\n[scopes.contoso]\n", "tenants.contoso: tenant_id is missing"),
    ],
)
def test_a_broken_file_disables_its_own_scopes_only(file: Path, text: str, said: str) -> None:
    path = write(file, "contoso", text)
    project = load_project(file)
    assert set(project.scopes) == {"own", "fabrikam"}
    [problem] = project.problems
    assert (problem.file, problem.scopes) == (path, ("contoso",))
    assert f"{path}: " in problem.error.message
    assert said in problem.error.message
    assert problem.error.remedy
    with pytest.raises(ConfigurationError, match=r"contoso\.toml"):
        project.scope("contoso")
    with pytest.raises(UsageError, match="there is no scope 'nobody'"):
        project.scope("nobody")
    write(file, "contoso", CONTOSO)
    assert load_project(file).problems == ()


def test_bytes_that_are_no_text_are_a_broken_file(file: Path) -> None:
    (folder_of(file) / "fabrikam.toml").write_bytes(b"[scopes.fabrikam]\ndescription = '\xff'\n")
    [problem] = load_project(file).problems
    assert (problem.scopes, problem.error.what) == (("fabrikam",), "is not UTF-8 text")


def test_two_files_with_the_same_scope_are_both_named_and_neither_is_used(file: Path) -> None:
    twice = write(file, "copy", "[scopes.contoso]\n[scopes.more]\ntenant = 'contoso'\n")
    project = load_project(file)
    assert set(project.scopes) == {"own", "fabrikam", "more"}
    assert {problem.file for problem in project.problems} == {twice, folder_of(file) / "contoso.toml"}
    for problem in project.problems:
        assert "copy.toml" in problem.error.message
        assert "contoso.toml" in problem.error.message
        assert problem.scopes == ("contoso",)


def test_what_stands_in_the_main_file_holds(file: Path) -> None:
    write(file, "own", '[scopes.own]\ntenant = "contoso"\n')
    project = load_project(file)
    assert project.scope("own").tenant == "own"
    [problem] = project.problems
    assert problem.scopes == ()
    assert "dagster_project.toml" in problem.error.message


def test_a_scope_of_the_main_file_waits_for_a_tenant_in_a_broken_one(file: Path) -> None:
    file.write_text(MAIN + '[scopes.second]\ntenant = "contoso"\n')
    assert "second" in load_project(file).scopes
    write(file, "contoso", "[tenants.contoso")
    project = load_project(file)
    assert set(project.scopes) == {"own", "fabrikam"}
    assert {name for problem in project.problems for name in problem.scopes} == {"contoso", "second"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('retention = "2 years"', 'retention = "2 yeers"', "scope_defaults.retention: '2 yeers' is not a period"),
        (
            'retention = "2 years"',
            'retenton = "2 years"',
            "scope_defaults.retenton: is not a setting; did you mean 'retention'?",
        ),
        ("certificate = {", "certificat = {", "tenant_defaults.certificat: is not a setting"),
        (
            'client_id = "7c9e',
            'client_secret = { env = "X" }\nclient_id = "7c9e',
            "tenant_defaults: has certificate and client_secret",
        ),
    ],
)
def test_what_is_wrong_with_the_defaults_is_said_of_them(file: Path, old: str, new: str, said: str) -> None:
    file.write_text(MAIN.replace(old, new))
    with pytest.raises(ConfigurationError) as raised:
        load_project(file)
    assert said in raised.value.message
    assert raised.value.message.startswith(f"{file}: ")


def test_a_scope_that_is_made_gets_a_file_of_its_own(file: Path) -> None:
    save_table(file, ("tenants", "northwind"), {"tenant_id": ID.format(2)}, new=True)
    path = folder_of(file) / "northwind.toml"
    made = create_scope(
        file, "northwind", {"tenant": "northwind", "storage": "main", "retention": "1 year", "description": None}
    )
    assert str(made.retention) == "1 year"
    # What all have in common is not repeated.
    assert tomllib.loads(path.read_text()) == {
        "tenants": {"northwind": {"tenant_id": ID.format(2)}},
        "scopes": {"northwind": {"retention": "1 year"}},
    }
    assert file.read_text() == MAIN
    with pytest.raises(UsageError, match=r"there is a scope 'northwind' in .*northwind\.toml"):
        create_scope(file, "northwind", {})


def test_a_scope_is_changed_and_deleted_where_it_stands(file: Path) -> None:
    path = folder_of(file) / "contoso.toml"
    path.write_text("# Since 2024.\n" + path.read_text())
    edit_scope(file, "contoso", {"schedule": "0 1 * * *", "retention": "2 years"})
    assert path.read_text() == "# Since 2024.\n" + CONTOSO + 'schedule = "0 1 * * *"\n'
    edit_scope(file, "contoso", {"schedule": None})
    assert load_project(file).scope("contoso").schedule == "0 */6 * * *"
    before = path.read_text()
    with pytest.raises(ConfigurationError, match="yeers"):
        edit_scope(file, "contoso", {"retention": "2 yeers"})
    assert path.read_text() == before
    delete_scope(file, "contoso")
    assert path.exists()
    assert "contoso" in load_project(file).tenants
    edit_scope(file, "own", {"schedule": "0 1 * * *"})
    assert file.read_text() == MAIN.replace(
        '[scopes.own]\ntenant = "own"\n', '[scopes.own]\ntenant = "own"\nschedule = "0 1 * * *"\n'
    )
    write(file, "alone", '[scopes.alone]\ntenant = "own"\n')
    delete_scope(file, "alone")
    assert not (folder_of(file) / "alone.toml").exists()


def test_a_change_is_made_although_another_file_is_broken(file: Path) -> None:
    write(file, "fabrikam", "[scopes.fabrikam")
    edit_scope(file, "contoso", {"schedule": "0 1 * * *"})
    assert load_project(file).scope("contoso").schedule == "0 1 * * *"


def test_without_the_folder_everything_stays_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "dagster_project.toml"
    file.write_text(MAIN)
    create_scope(file, "more", {"tenant": "own"})
    assert "[scopes.more]" in file.read_text()
    assert not folder_of(file).exists()


# --- For whoever asks all the time -----------------------------------------------------------------------------------


def test_a_project_that_is_watched_changes_with_its_files(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that come, go or take the place of others count at once; one that is written over, at the next look."""
    watched = WatchedProject(file)
    first = watched.load()
    assert watched.load() is first
    write(file, "third", CUSTOMER.format(name="third"))
    assert "third" in watched.load().scopes
    (folder_of(file) / "third.toml").unlink()
    assert "third" not in watched.load().scopes
    path = write(file, "contoso", f'{CONTOSO}retention = "3 years"\n')
    watched.changed()
    assert str(watched.load().scope("contoso").retention) == "3 years"
    path.write_text(f'{CONTOSO}retention = "4 years"\n')
    monkeypatch.setattr(watching, "LOOK", -1.0)
    assert str(watched.load().scope("contoso").retention) == "4 years"
    file.write_text("[")
    for _ in range(2):
        with pytest.raises(ConfigurationError):
            watched.load()
    file.write_text(MAIN)
    assert "own" in watched.load().scopes


def test_only_files_that_have_changed_are_parsed_again(file: Path) -> None:
    """And all of them when what they have in common has changed."""
    before = load_project(file)
    write(file, "contoso", f'{CONTOSO}retention = "3 years"\n')
    after = load_project(file)
    assert after.scope("fabrikam") is before.scope("fabrikam")
    assert after.scope("contoso") is not before.scope("contoso")
    file.write_text(MAIN.replace('retention = "2 years"', 'retention = "5 years"'))
    assert str(load_project(file).scope("fabrikam").retention) == "5 years"
