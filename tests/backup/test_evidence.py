"""Views of links are compared: nothing that a view shows is lost, and no view alone makes a deletion."""

from __future__ import annotations

from collections import Counter
from itertools import product
from random import Random

import pytest

from entra_pipeline.backup.reconcile.evidence import OwnerViews, Says, Verdict, compare_views, link_verdict

pytestmark = pytest.mark.pure
ALL = list(Says)
COMBINATIONS = 100_000


def test_no_combination_of_views_loses_a_link_that_one_of_them_shows() -> None:
    for number in range(4):
        for listed, counted, *others in product(ALL, repeat=2 + number):
            verdict = link_verdict(removed=False, listed=listed, counted=counted, others=others)
            views = [listed, *others]
            if Says.SHOWS in views:
                assert verdict is not Verdict.GONE
                assert (verdict is Verdict.DISPUTED) == (Says.HIDES in views)
            if verdict is Verdict.GONE:
                assert listed is counted is Says.HIDES
                assert not others or Says.HIDES in others


def test_a_list_that_graph_does_not_count_is_not_believed_alone() -> None:
    assert link_verdict(removed=False, listed=Says.HIDES, counted=None, others=[]) is Verdict.DISPUTED
    assert link_verdict(removed=False, listed=Says.HIDES, counted=None, others=[Says.NOTHING]) is Verdict.DISPUTED
    assert link_verdict(removed=False, listed=Says.HIDES, counted=None, others=[Says.HIDES]) is Verdict.GONE
    unseen = OwnerViews(stored={"m": "user"}, listed={}, countable=False)
    assert compare_views(unseen).disputed == ("m",)


def test_a_failed_view_is_no_evidence_of_absence() -> None:
    assert link_verdict(removed=False, listed=Says.NOTHING, counted=Says.HIDES, others=[]) is Verdict.DISPUTED
    assert link_verdict(removed=False, listed=Says.HIDES, counted=Says.NOTHING, others=[]) is Verdict.DISPUTED
    assert link_verdict(removed=False, listed=Says.HIDES, counted=Says.HIDES, others=[Says.NOTHING]) is Verdict.DISPUTED


def test_a_removal_that_delta_reports_is_believed() -> None:
    assert link_verdict(removed=True, listed=Says.HIDES, counted=Says.SHOWS, others=[Says.SHOWS]) is Verdict.GONE


def test_a_single_link_that_was_replaced_is_gone() -> None:
    compared = compare_views(OwnerViews(stored={"old": "user"}, listed={"new": "user"}, count=1, many=False))
    assert (dict(compared.kept), compared.disputed, compared.gone) == ({"new": "user"}, (), ("old",))


# --- All combinations -------------------------------------------------------------------------------------------------

BEHAVIOURS = ("tells", "hides", "fails", "lies")


def _view(random: Random, behaviour: str, truth: set[str], hidden: set[str], universe: list[str]) -> set[str] | None:
    """The links that a view shows: all, all but some, none at all, or any."""
    if behaviour == "fails":
        return None
    if behaviour == "tells":
        return set(truth)
    return truth - hidden if behaviour == "hides" else {one for one in universe if random.random() < 0.5}


def _combination(
    random: Random, behaviours: tuple[str, ...]
) -> tuple[OwnerViews, set[str], dict[str, set[str] | None]]:
    """An owner of whom delta, list, `$expand` and `$count` say something, what is true, and what each view shows."""
    universe = [f"m{number}" for number in range(random.randint(1, 6))]
    truth = {one for one in universe if random.random() < 0.6}
    # What several views hide is the same, as a rule: links of a type, or all.
    hidden = {one for one in universe if random.random() < 0.5}
    delta, listed, expanded, counted = (_view(random, one, truth, hidden, universe) for one in behaviours)
    stored = {one for one in universe if random.random() < 0.5} if delta is None else delta
    whole = random.random() < 0.8
    if expanded is not None and not whole:
        expanded = set(sorted(expanded)[:2])
    views = OwnerViews(
        stored=dict.fromkeys(stored, "user"),
        listed=None if listed is None else dict.fromkeys(listed, "user"),
        count=None if counted is None else len(counted),
        expanded=None if expanded is None else dict.fromkeys(expanded, "user"),
        whole=whole and expanded is not None,
        asked=True,
        reported=frozenset(delta or ()) if random.random() < 0.5 else frozenset(),
    )
    return views, truth, {"delta": set(views.reported), "list": listed, "$expand": expanded}


def test_a_hundred_thousand_combinations_of_views_delete_nothing_that_one_shows_and_lose_nothing_silently() -> None:
    random = Random(20260901)
    ways = list(product(BEHAVIOURS, repeat=4))
    seen: Counter[str] = Counter()
    for number in range(COMBINATIONS):
        behaviours = ways[number % len(ways)]
        views, truth, shown = _combination(random, behaviours)
        compared = compare_views(views)
        for view in shown.values():
            # A link that any view shows stays.
            assert compared.kept.keys() >= (view or set()), (behaviours, views)
        # What was stored and is dropped, a list read to its end, a count and one more view have left out.
        for target in compared.gone:
            assert views.listed is not None and target not in views.listed
            assert views.count is not None and views.count <= len(views.listed)
            assert target not in compared.kept
        # A stored link that exists, though nothing but a failure or a lie speaks against it, is kept or was left out by
        # the list, by the count and by `$expand` alike; a finished point has no link that a view disputes.
        lost = (truth & views.stored.keys()) - compared.kept.keys()
        told = bool(compared.disputed) or compared.uncounted > 0
        if lost and not told:
            assert behaviours[1] != "tells" and behaviours[2] != "tells"
            assert all(one not in (shown["list"] or ()) and one not in (shown["$expand"] or ()) for one in lost)
        for target in compared.kept.keys() & views.stored.keys():
            if views.listed is not None and target not in views.listed:
                assert target in compared.disputed
        seen["kept"] += bool(compared.kept)
        seen["gone"] += bool(compared.gone)
        seen["told"] += told
    assert len(ways) == 256
    assert min(seen.values()) > COMBINATIONS / 100
