"""Roles: app roles by their value, groups by their id; nobody gets one by calling a group like it."""

from __future__ import annotations

import pytest

from entra_pipeline.console.auth.roles import Grants, Role, role_of
from entra_pipeline.project.models import Roles

pytestmark = pytest.mark.pure

ID, OTHER = "11111111-1111-1111-1111-11111111111a", "22222222-2222-2222-2222-222222222222"
ROLES = Roles(viewer=["Backup.Viewer"], operator=[ID.upper()], administrator=["EntraPipeline.Administrator", OTHER])


@pytest.mark.parametrize(
    ("app_roles", "groups", "role"),
    [
        (["Backup.Viewer"], [], Role.viewer),
        (["EntraPipeline.Administrator"], [], Role.administrator),
        ([], [ID], Role.operator),
        (["Backup.Viewer"], [ID, OTHER], Role.administrator),
        ([], ["EntraPipeline.Administrator"], None),
        ([], ["EntraPipeline.Administrator", ID], None),
        ([], [OTHER, "Finance"], None),
        ([OTHER], [], None),
        ([], [], None),
    ],
)
def test_what_gives_which_role(app_roles: list[str], groups: list[str], role: Role | None) -> None:
    assert role_of(Grants(tuple(app_roles), tuple(groups)), ROLES) == role
