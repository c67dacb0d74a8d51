"""The console: how soon its pages come, over a large tenant, on the demonstration's tenant, and to many at once."""

from __future__ import annotations

import asyncio
import random
import subprocess
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
from oidc_provider_mock import User, run_server_in_thread

from benchmarks.consoles import CSRF, Console, Visitor, console, free_port, links
from benchmarks.processes import backup, command
from benchmarks.report import Bound, Section
from benchmarks.tenant import MEMBERSHIPS_PER_USER, SCOPE, measured
from entra_pipeline.project.stores import open_store
from entra_pipeline.reports import REPORTS
from tests.restore.disasters import overwrite_attributes

_USERS, _GROUPS = 200_000, 20_000
_CHANGED = 0.001
_OVERWRITTEN = 2_000
_MOST = 0.5
_ROUNDS = 6
_READING = 30
_AT_ONCE = ("oslo", "köln", "engineer")
_PEOPLE = 50
_SECONDS = 120
_THINKING = (1.0, 5.0)
_COMING = 20.0
_MOST_OF_CROWD = 1.0
_SCOPE = "/scopes/demo"
_SIGN_IN = """
[console]
public_url = "http://127.0.0.1:{port}"
[console.oidc]
issuer = "http://localhost:{issuer}"
client_id = "console"
client_secret = {{ file = "oidc-secret" }}
[console.roles]
administrator = ["Backup.Administrator"]
"""
_COLUMNS = {"what": "page", "first": "first, ms", "median": "median, ms", "slowest": "slowest, ms"}
_POINT = rf"{_SCOPE}/points/[^/?]+"


def measure(folder: Path, scale: float) -> list[Section]:
    """Serves a console over each of the two tenants."""
    return [*_large(folder / "large", scale), *_demo(folder / "demo", scale)]


# --- A large tenant --------------------------------------------------------------------------------------------------


def _large(folder: Path, scale: float) -> list[Section]:
    folder.mkdir(exist_ok=True)
    users, groups = round(_USERS * scale), round(_GROUPS * scale)
    with measured(folder, users, groups) as tenant:
        tenant.protect(["users", "groups"])
        backup(tenant, full=True)
        tenant.change(_CHANGED)
        backup(tenant)
        point = open_store(tenant.project, SCOPE).points()[-1]
        overwrite_attributes(tenant.control, users=round(_OVERWRITTEN * scale))
        with console(tenant.project_file) as served, Visitor(served) as visitor:
            # Dagster starts meanwhile, on the same processors.
            time.sleep(_READING)
            pages = _pages(visitor, f"/scopes/{SCOPE}/points/{point}", users)
            # Whoever has opened a table mostly reads before searching; meanwhile the console copies it.
            at_once = [
                visitor.get(f"/scopes/{SCOPE}/points/{point}/users?search={quote(text)}").seconds for text in _AT_ONCE
            ]
            time.sleep(_READING)
            times = {"users, the first search": at_once}
            times |= {what: [visitor.get(path).seconds for path in paths] for what, paths in pages.items()}
            form = f"/scopes/{SCOPE}/points/{point}/restore"
            asked = {"types": "users", "search": "finance", "every": "1"}
            chosen = visitor.get(f"{form}?types=users&search=finance&every=1&ids={'0' * 36}")
            started = time.perf_counter()
            job = visitor.run(form, {**asked, "conflict": "overwrite"})
            planning = time.perf_counter() - started
            [plan] = links(job, rf"/scopes/{SCOPE}/restores/[^/]+")
            shown = [visitor.get(plan) for _ in range(_ROUNDS)]
            times["the form to restore all matches"] = [chosen.seconds]
            times["the plan"] = [one.seconds for one in shown]
    slowest = max(max(some) for some in times.values())
    return [
        Section(
            title="The console over a large tenant",
            method=f"`entra-pipeline serve` shows a point of {users:,} users and {groups:,} groups with "
            f"{users * MEMBERSHIPS_PER_USER:,} memberships, after a full and an incremental backup. Times are until "
            "the whole page has arrived over HTTP. Dagster was running. The tables had been opened half a minute "
            "before, except where stated. Each request is for another page, another text or another object.",
            columns=_COLUMNS,
            rows=[_row(what, some) for what, some in times.items()],
            bounds=[Bound(f"the slowest against {_MOST * 1000:.0f} ms", slowest / _MOST, 1)],
            after="The first search runs before the console has copied the table. "
            f"A plan for all users that match a text, about a twelfth, took {planning:.1f} seconds in Dagster. Its "
            f"form has {len(chosen.page.content) / 1000:.1f} kB and its page "
            f"{len(shown[0].page.content) / 1000:.1f} kB, however many match.",
        )
    ]


def _pages(visitor: Visitor, point: str, users: int) -> Mapping[str, Sequence[str]]:
    """What is visited, and where: addresses that differ, so that none is answered from what the last one found."""
    table = f"{point}/users"
    chance = random.Random(1)
    offsets = [chance.randrange(0, users - 50) for _ in range(_ROUNDS)]
    objects = [links(visitor.get(f"{table}?offset={one}").page, rf"{table}/object.*")[0] for one in offsets]
    people = [one.rpartition("=")[2] for one in objects]
    texts = ["finance", "stockholm", "manager", "sales", "anna", "berg"]
    conditions = [f"department = 'Sales' AND displayName LIKE '{letter}%'" for letter in "ABCDEF"]
    visitor.get(f"{point}/group_members")
    groups = links(visitor.get(f"{point}/groups").page, rf"{point}/groups/object.*")[:_ROUNDS]
    return {
        "the recovery point": [point] * _ROUNDS,
        "users": [table] * _ROUNDS,
        "users, any page": [f"{table}?offset={one}" for one in reversed(offsets)],
        "users, a text with many matches": [f"{table}?search={text}" for text in texts],
        "… its further pages": [f"{table}?search=finance&offset={50 * page}" for page in range(1, _ROUNDS + 1)],
        "users, a text with one match": [f"{table}?search={one}" for one in people],
        "users, a condition": [f"{table}?where={quote(one)}" for one in conditions],
        "a user": objects,
        "… its links": [one.replace("/object", "/links") for one in objects],
        "… its history": [one.replace("/object", "/history") for one in objects],
        "a group": groups,
        "memberships": [f"{point}/group_members?offset={one}" for one in offsets],
        "memberships of one user": [f"{point}/group_members?search={one}" for one in people],
    }


def _row(what: str, seconds: Sequence[float]) -> dict[str, object]:
    return {
        "what": what,
        "first": round(seconds[0] * 1000),
        "median": round(median(seconds) * 1000),
        "slowest": round(max(seconds) * 1000),
    }


# --- The demonstration -----------------------------------------------------------------------------------------------


def _demo(folder: Path, scale: float) -> list[Section]:
    demonstration = command("demo", "--directory", folder, "--port", free_port())
    subprocess.run(demonstration, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with console(folder / "dagster_project.toml") as served, Visitor(served) as visitor:
        job = visitor.run(f"{_SCOPE}/backup", {})
        pages = _every(visitor, job.url.path)
        times = {
            what: [visitor.get(path).seconds for path in islice(cycle(paths), _ROUNDS)]
            for what, (paths, _) in pages.items()
        }
    with _signing_in(folder / "dagster_project.toml") as port, console(folder / "dagster_project.toml", port) as served:
        visits = asyncio.run(_crowd(served, [*pages.values()], _SECONDS * min(scale, 1)))
    return [_alone(times), _together(visits)]


def _every(visitor: Visitor, job: str) -> Mapping[str, tuple[Sequence[str], int]]:
    """Every page of the console: where it is, and how often people open it; of groups, each has its own."""
    point = links(visitor.get(f"{_SCOPE}/points").page, _POINT)[0]
    groups = links(visitor.get(f"{point}/groups").page, rf"{point}/groups/object.*")
    plan = links(visitor.get("/restores").page, rf"{_SCOPE}/restores/[^/]+")[0]
    pages = {
        "dashboard": ("/", 10),
        "… its jobs, loaded separately": ("/dashboard/jobs", 20),
        "scopes": ("/scopes", 3),
        "a scope": (_SCOPE, 5),
        "its form": (f"{_SCOPE}/edit", 1),
        "recovery points": (f"{_SCOPE}/points", 8),
        "a recovery point": (point, 8),
        "users": (f"{point}/users", 8),
        "users with a text": (f"{point}/users?search=a", 5),
        "groups with a condition": (f"{point}/groups?where=securityEnabled", 2),
        "a group": (groups, 6),
        "… its links, loaded separately": ([one.replace("/object", "/links") for one in groups], 6),
        "… its history, loaded separately": ([one.replace("/object", "/history") for one in groups], 6),
        "memberships": (f"{point}/group_members", 2),
        "the form of a restore": (
            [one.replace("/groups/object?id=", "/restore?types=groups&ids=") for one in groups],
            2,
        ),
        "two points compared": (f"{_SCOPE}/compare", 4),
        "restores": ("/restores", 3),
        "a plan and its outcome": (plan, 3),
        "jobs": ("/jobs", 5),
        "a job": (job, 4),
        "… its progress, loaded separately": (f"{job}/progress", 10),
        "job records": (f"{_SCOPE}/jobs", 1),
        "reports": ("/reports", 2),
        **{f"report: {name}": (f"/reports/{name}", 1) for name in REPORTS},
        "settings": ("/settings", 2),
    }
    return {what: ([paths] if isinstance(paths, str) else paths, often) for what, (paths, often) in pages.items()}


def _alone(times: Mapping[str, Sequence[float]]) -> Section:
    slowest = max(max(some[1:]) for some in times.values())
    return Section(
        title="The console's pages",
        method=f"Every page, for the tenant of `make demo`, {_ROUNDS} times in sequence. Each request for a group is "
        "for another group.",
        columns=_COLUMNS,
        rows=[_row(what, some) for what, some in times.items()],
        bounds=[Bound(f"the slowest after the first request against {_MOST * 1000:.0f} ms", slowest / _MOST, 1)],
    )


# --- Many at once ----------------------------------------------------------------------------------------------------


class _Visit(NamedTuple):
    """A page that somebody opened: how long it took, and what was wrong with it."""

    seconds: float
    problem: str


@contextmanager
def _signing_in(project_file: Path) -> Iterator[int]:
    """Lets everybody of the crowd sign in with an account of their own; yields the port that the console has to have.

    What one person may have answered at a time is bounded.
    """
    port = free_port()
    users = [User(sub=_name(number), claims={"roles": ["Backup.Administrator"]}) for number in range(_PEOPLE)]
    with run_server_in_thread(user_claims=users) as server:
        (project_file.parent / "oidc-secret").write_text("any")
        with project_file.open("a") as file:
            file.write(_SIGN_IN.format(port=port, issuer=server.server_port))
        yield port


def _name(number: int) -> str:
    return f"person-{number}"


async def _crowd(served: Console, pages: Sequence[tuple[Sequence[str], int]], seconds: float) -> list[_Visit]:
    end = time.monotonic() + seconds
    some = await asyncio.gather(*(_person(served, pages, end, number) for number in range(_PEOPLE)))
    return [visit for visits in some for visit in visits]


async def _person(served: Console, pages: Sequence[tuple[Sequence[str], int]], end: float, number: int) -> list[_Visit]:
    """Signs in, and then opens a page, thinks, and opens the next one."""
    visits, chance = [], random.Random(number)
    paths, weights = zip(*pages, strict=True)
    async with httpx.AsyncClient(base_url=served.url, trust_env=False, timeout=60, follow_redirects=True) as client:
        await asyncio.sleep(chance.uniform(0, _COMING))
        token = CSRF.findall((await client.get("/sign-in")).text)[0]
        begun = await client.post("/sign-in", data={"csrf_token": token}, follow_redirects=False)
        agreed = await client.post(begun.headers["location"], data={"sub": _name(number)}, follow_redirects=False)
        visits.append(await _visit(client.get(agreed.headers["location"]), "sign-in"))
        while time.monotonic() < end:
            await asyncio.sleep(chance.uniform(*_THINKING))
            [some] = chance.choices(paths, weights)
            path = chance.choice(some)
            visits.append(await _visit(client.get(path), path))
    return visits


async def _visit(asked: Coroutine[Any, Any, httpx.Response], what: str) -> _Visit:
    started = time.perf_counter()
    try:
        page = await asked
    except httpx.HTTPError as error:
        return _Visit(time.perf_counter() - started, f"{what}: {type(error).__name__}")
    wrong = page.status_code != 200 or page.url.path == "/sign-in" or 'role="alert"' in page.text
    return _Visit(time.perf_counter() - started, f"{what}: {page.status_code}" if wrong else "")


def _together(visits: Sequence[_Visit]) -> Section:
    problems = [visit.problem for visit in visits if visit.problem]
    taken = [visit.seconds for visit in visits]
    late = quantiles(taken, n=20)[-1]
    return Section(
        title="Many users at once",
        method=f"{_PEOPLE} users, each with an account of a sign-in service, sign in to that console within "
        f"{_COMING:.0f} seconds and open its pages for two minutes, common pages more often. Each user pauses for "
        f"{_THINKING[0]:.0f} to {_THINKING[1]:.0f} seconds between two pages. The users, the console and Dagster "
        "share the machine.",
        columns={"visits": "pages", "median": "median, ms", "late": "95th percentile, ms", "slowest": "slowest, ms"},
        rows=[
            {
                "visits": len(visits),
                "median": round(median(taken) * 1000),
                "late": round(late * 1000),
                "slowest": round(max(taken) * 1000),
            }
        ],
        bounds=[
            Bound(f"95th percentile against {_MOST_OF_CROWD:.0f} s", late / _MOST_OF_CROWD, 1),
            Bound("pages that failed", len(problems), 0),
        ],
        after="\n".join(f"- {problem}" for problem in problems[:10]),
    )
