"""Links between objects: added and removed, whatever is there already.

A link that is there is no error, and neither is one that is gone. What a request of many refuses as a whole is sent
again one by one, so that one link that cannot be keeps no other away.
"""

from __future__ import annotations

from typing import Any

from entra_pipeline.catalogue import RELATIONS, Relation
from entra_pipeline.catalogue.restoring import LinkWrite
from entra_pipeline.graph import Write, WriteResult
from entra_pipeline.graph.client import BATCH_SIZE, query
from entra_pipeline.restore.execute.step import RunningStep, StepRefused, chunks
from entra_pipeline.restore.objects import paths

# References in one PATCH at the most (Graph doc: group-post-members).
_BOUND = 20


async def link(work: RunningStep) -> None:
    """Adds the links of a step."""
    wanted = dict(zip(work.step.targets, work.step.target_types, strict=True))
    targets = {work.session.live(target): kind for target, kind in wanted.items()}
    surplus: set[str] = set()
    if work.step.returning:
        known = {target.lower() for target in targets}
        present = await work.returned(lambda: _present(work), known.issubset)
        if work.step.whole and work.session.options.conflict == "overwrite":
            surplus = present - known
        targets = {target: kind for target, kind in targets.items() if target.lower() not in present}
    relation, rule = _rule(work)
    failures: dict[str, WriteResult] = {}
    for target in sorted(surplus):
        # It was added before the owner was deleted, and came back with it.
        written = await work.send(Write("DELETE", f"{_owner(work)}/{relation.segment}/{target}/$ref"))
        if not written.done and written.status != 404:
            failures[target] = written
    if rule.add == "bind":
        for some in chunks(targets, _BOUND):
            failures |= await _bind(work, relation, {target: targets[target] for target in some})
    else:
        for target, kind in targets.items():
            failures |= await _one(work, relation, rule, target, kind)
    _judge(work, failures, len(wanted) + len(surplus))


async def unlink(work: RunningStep) -> None:
    """Removes the links of a step."""
    relation, rule = _rule(work)
    failures: dict[str, WriteResult] = {}
    for target, kind in zip(work.step.targets, work.step.target_types, strict=True):
        live = work.session.live(target)
        below, end, _ = _ends(work, relation, rule, live, kind)
        written = await work.send(Write("DELETE", f"{below}/{end}/$ref" if relation.many else f"{below}/$ref"))
        gone = written.status == 404 or (written.status == 400 and "do not exist" in written.error().message)
        if not written.done and not gone:
            failures[live] = written
    _judge(work, failures, len(work.step.targets))


async def _bind(work: RunningStep, relation: Relation, targets: dict[str, str]) -> dict[str, WriteResult]:
    """Adds up to 20 links at once; what is refused, by target."""
    root = work.session.graph.root
    body = {
        f"{relation.segment}@odata.bind": [
            paths.reference(root, work.entry, target, kind) for target, kind in targets.items()
        ]
    }
    written = await work.send(Write("PATCH", _owner(work), body))
    if written.done:
        return {}
    if written.status not in {400, 404}:
        return dict.fromkeys(targets, written)
    # All or nothing: some are there already, or cannot be.
    present = await _present(work)
    failures: dict[str, WriteResult] = {}
    for target, kind in targets.items():
        if target.lower() not in present:
            failures |= await _one(work, relation, LinkWrite(), target, kind)
    return failures


async def _one(
    work: RunningStep, relation: Relation, rule: LinkWrite, target: str, kind: str
) -> dict[str, WriteResult]:
    """Adds a link; what is refused, by target."""
    below, _, address = _ends(work, relation, rule, target, kind)
    method: Any = "PUT" if rule.add == "put" else "POST"
    written = await work.send(Write(method, f"{below}/$ref", {"@odata.id": address}, repeatable=True))
    there = written.status == 400 and "already exist" in written.error().message
    return {} if written.done or there else {target: written}


def _ends(work: RunningStep, relation: Relation, rule: LinkWrite, target: str, kind: str) -> tuple[str, str, str]:
    """Where a link is written, the id at its other end, and the address of that."""
    root = work.session.graph.root
    if not rule.from_target:
        return f"{_owner(work)}/{relation.segment}", target, paths.reference(root, work.entry, target, kind)
    below = rule.from_target[kind].replace("{target}", target)
    return below, work.id, f"{root}/{_owner(work)}"


def _owner(work: RunningStep) -> str:
    return paths.item(work.entry, work.id, work.parent, work.owners)


def _rule(work: RunningStep) -> tuple[Relation, LinkWrite]:
    relation = RELATIONS[work.step.table][1]
    if relation.write is None:
        raise StepRefused(f"Graph offers no way to write {work.step.table}")
    return relation, relation.write


async def _present(work: RunningStep) -> set[str]:
    """Ids at the other end of the owner's links, as the tenant shows them now."""
    relation, _ = _rule(work)
    url = f"{_owner(work)}/{relation.segment}"
    if not relation.many:
        one = await work.get(query(url, select="id"))
        return {str(one["id"]).lower()} if one else set()
    return {str(one["id"]).lower() for one in await work.all(query(url, select="id", top=work.entry.page_size))}


def _judge(work: RunningStep, failures: dict[str, WriteResult], wanted: int) -> None:
    if not failures:
        return
    first = work.refused(next(iter(failures.values())))
    if len(failures) == wanted:
        raise first
    some = ", ".join(list(failures)[:BATCH_SIZE])
    work.problems.append(f"{len(failures)} of {wanted} links were refused ({some}): {first.message}")
