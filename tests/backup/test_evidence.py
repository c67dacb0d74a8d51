"""Links are weighed: nothing that a view shows is lost, and no view alone makes a deletion."""

from __future__ import annotations

from itertools import product

from entra_pipeline.backup.reconcile.evidence import Says, Verdict, judge

ALL = list(Says)


def test_no_combination_of_views_loses_a_link_that_one_of_them_shows() -> None:
    for listed, counted, *others in product(ALL, repeat=5):
        verdict = judge(removed=False, listed=listed, counted=counted, others=others)
        views = [listed, *others]
        if Says.SHOWS in views:
            assert verdict is not Verdict.GONE
            assert (verdict is Verdict.DISPUTED) == (Says.HIDES in views)
        if verdict is Verdict.GONE:
            assert listed is counted is Says.HIDES


def test_a_failed_view_is_no_evidence_of_absence() -> None:
    assert judge(removed=False, listed=Says.NOTHING, counted=Says.HIDES, others=[]) is Verdict.DISPUTED
    assert judge(removed=False, listed=Says.HIDES, counted=Says.NOTHING, others=[]) is Verdict.DISPUTED


def test_a_removal_that_delta_reports_is_believed() -> None:
    assert judge(removed=True, listed=Says.HIDES, counted=Says.SHOWS, others=[Says.SHOWS]) is Verdict.GONE
