"""Reading back: what is as it was written, what is not, and what only takes its time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from entra_pipeline.errors import GraphUnavailable
from entra_pipeline.graph import Graph
from entra_pipeline.graph.factory import open_graph
from entra_pipeline.restore.check.verify import verify
from entra_pipeline.restore.execute.apply import RestoreTarget
from entra_pipeline.restore.objects.model import RestorePlan
from entra_pipeline.restore.records.jobs import restore_job
from entra_pipeline.restore.records.passwords import Passwords, key_of
from entra_pipeline.restore.records.report import RestoreReport, exceptions, read_report, rows
from tests.restore.applying.conftest import Damaged, bad, links, step
from tests.restore.applying.test_faults import many

Start = Callable[..., Damaged]


def read_back(site: Damaged, plan: RestorePlan, report: RestoreReport, patience: float = 0.5) -> RestoreReport:
    async def run() -> RestoreReport:
        tenant = site.project.tenants["simulated"]
        async with Graph(tenant) as reading, open_graph(tenant, writing=True) as writing:
            target = RestoreTarget(scope=site.scope, store=site.store, reading=reading, writing=writing)
            return await verify(
                plan,
                report,
                store=site.store,
                target=target,
                passwords=Passwords(site.store.files, plan, lambda: key_of(tenant)),
                passwords_file=site.passwords,
                patience=patience,
                clock=site.clock,
            )

    return asyncio.run(run())


def test_what_is_as_it_was_written_is_restored(damaged: Start) -> None:
    site = damaged("users", "groups")
    steps, _ = many(site)
    plan = site.plan(*steps)
    report = site.apply(plan)
    verified = read_back(site, plan, report)
    assert bad(verified) == []
    assert verified.verified and not report.verified
    assert verified.status == "finished"
    assert read_report(site.store, "job") == verified
    assert {row["type"]: row["steps"] for row in rows(verified)} == {"users": 20, "groups": 3, "group_members": 3}


def test_what_differs_after_all_is_told(damaged: Start) -> None:
    site = damaged("users", "groups")
    users = [user["id"] for user in site.control.dump("users") if not user["onPremisesSyncEnabled"]][:4]
    one, other, third, fourth = users
    group = next(g["id"] for g in site.control.dump("groups") if not g["groupTypes"] and not g["onPremisesSyncEnabled"])
    held = {target for source, target, _ in site.control.edges("groups", "members") if source == group}
    site.control.remove_link(f"groups/{group}/members", *(held & {one, other, fourth}))
    plan = site.plan(
        step("update", "users", one, body={"city": "Umeå", "jobTitle": "Chef"}),
        step("update", "users", other, body={"city": "Umeå"}),
        step("delete", "users", fourth),
        links("link", "group_members", group, one, other),
        links("unlink", "group_members", group, third),
    )
    report = site.apply(plan)
    assert bad(report) == []
    site.control.patch(f"users/{one}", {"city": "Luleå"})
    site.control.remove_link(f"groups/{group}/members", other)
    site.control.add_link(f"groups/{group}/members", third)
    site.control.restore(fourth)
    verified = read_back(site, plan, report)
    assert verified.status == "finished with exception"
    found = {outcome.number: outcome.differences for outcome in verified.outcomes if outcome.differences}
    assert found == {
        1: {"city": ("Umeå", "Luleå")},
        3: {"id": (None, fourth)},
        4: {"members": ([other], None)},
        5: {"members": (None, [third])},
    }
    assert {one["result"] for one in exceptions(verified)} == {"restored with differences"}


def test_what_delta_has_not_told_yet_is_asked_for_once_more(damaged: Start) -> None:
    site = damaged("users", "groups")
    steps, _ = many(site)
    plan = site.plan(*steps)
    report = site.apply(plan)
    site.control.hide(objects=[outcome.live_id for outcome in report.outcomes])
    assert bad(read_back(site, plan, report)) == []


def test_what_belongs_to_an_object_with_a_new_id_is_asked_for_there(damaged: Start) -> None:
    site = damaged("applications", "federated_identity_credentials")
    app = next(one for one in site.control.dump("applications") if "futureSetting" not in one)
    site.control.purge(app["id"])
    says = {
        "name": "ci",
        "issuer": "https://ci.example",
        "subject": "repo",
        "audiences": ["api://AzureADTokenExchange"],
    }
    plan = site.plan(
        step("create", "applications", app["id"], body={"displayName": app["displayName"]}),
        step(
            *("create", "federated_identity_credentials", "11111111-0000-4000-8000-000000000000"),
            stage="parts",
            parent=app["id"],
            needs=(app["id"],),
            body=says,
        ),
    )
    report = site.apply(plan)
    assert bad(report) == []
    # Lists do not show it yet: it is asked for by itself.
    site.control.hide(objects=[one.live_id.rpartition("/")[2] for one in report.outcomes], in_lists=True)
    assert bad(read_back(site, plan, report)) == []


def test_a_job_record_says_how_it_ended(damaged: Start) -> None:
    site = damaged("users")
    user = next(user["id"] for user in site.control.dump("users") if not user["onPremisesSyncEnabled"])
    plan = site.plan(step("update", "users", user, body={"city": "Umeå"}))
    with restore_job(site.store, plan, trigger="command") as job:
        job.report = site.apply(plan)
    with pytest.raises(GraphUnavailable), restore_job(site.store, site.plan(job="second"), trigger="command"):
        raise GraphUnavailable("Graph is away")
    first, second = sorted((one for one in site.store.jobs.all() if one.type == "restore"), key=lambda one: one.id)
    assert (first.status, first.details["writes"], first.details["restored"]) == ("finished", 1, 1)
    assert (second.status, second.error) == ("failed", "Graph is away")
