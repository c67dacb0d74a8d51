"""What a gap names stays named until Graph has answered for it: delta does not tell of it twice."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.protected import Protected, protect

Tenant = Callable[..., Protected]


def test_what_a_gap_names_is_named_again_where_graph_answers_no_batch_at_all(tenant: Tenant) -> None:
    one = tenant(protect("oauth2_permission_grants"), users=20, groups=6)
    one.backup()
    grant = one.control.dump("oauth2PermissionGrants")[0]["id"]
    one.control.patch(f"oauth2PermissionGrants/{grant}", {"scope": "User.Read Mail.Send"})
    one.control.misbehave("nested-deep", "oauth2PermissionGrants/delta", objects=[grant])
    one.control.misbehave("fails", f"oauth2PermissionGrants/{grant}", status=400)
    for batches_fail in (False, True):
        one.control.faults(float(batches_fail), ["503"], ["POST"])
        manifest = one.backup()
        assert grant in {gap.object for gap in manifest.tables["oauth2_permission_grants"].gaps}
        one.control.behave()
    one.control.faults(0.0)
    one.assert_same(one.backup())
