"""The storage of many scopes, opened at once."""

from pathlib import Path

import pytest

from entra_pipeline.errors import EntraPipelineError, UsageError
from entra_pipeline.project import Project
from entra_pipeline.store.backends import LocalObjectStore
from entra_pipeline.store.recovery_points import ScopeStore
from resources import StorageResource


def test_a_place_is_checked_once_for_all_its_scopes_and_a_bad_one_concerns_only_its_own(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.file.parent / "blocked").write_text("no folder")
    scope = '[scopes.{}]\ntenant = "contoso"\nstorage = "{}"\n'
    project.file.write_text(
        project.file.read_text()
        + '[storage.blocked]\nkind = "local"\npath = "blocked"\n'
        + "".join(scope.format(name, place) for name, place in (("one", "disk"), ("two", "blocked"), ("three", "disk")))
    )
    checked: list[Path] = []
    check = LocalObjectStore.check
    monkeypatch.setattr(LocalObjectStore, "check", lambda files: (checked.append(files.root), check(files)))
    names = ["contoso-eu", "one", "two", "gone", "three"]
    opened = dict(StorageResource(project_file=str(project.file)).open_each(names))
    assert list(opened) == names
    assert [name for name, store in opened.items() if isinstance(store, ScopeStore)] == ["contoso-eu", "one", "three"]
    assert isinstance(opened["two"], EntraPipelineError)
    assert isinstance(opened["gone"], UsageError)
    assert len(checked) == 2
