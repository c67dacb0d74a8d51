"""Paging has an end, and what only looks endless is read."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

import msgspec
import pytest

from entra_pipeline.errors import GraphProtocolError
from entra_pipeline.graph.pages import PagingBound, decode_page

pytestmark = pytest.mark.pure


def pages_read(
    pages: Iterable[list[dict[str, object]]], *, is_delta: bool = False, link: str = "", counted: int | None = None
) -> int:
    """Pages until the bound ends it, or all of them; `counted` is what Graph answers when it is asked to count."""
    bound = PagingBound(is_delta)
    try:
        for number, value in enumerate(pages):
            body = {"value": value, "@odata.nextLink": link or f"https://graph/v1.0/users?$skiptoken={number}"}
            bound.add(decode_page(msgspec.json.encode(body)))
            if counted is not None and bound.wants_count:
                bound.expect(counted)
    except GraphProtocolError as error:
        assert "no end" in error.message
        return -bound.pages
    return bound.pages


def page(number: int, **extra: object) -> list[dict[str, object]]:
    return [{"id": f"{number}-{position}", **extra} for position in range(3)]


@pytest.mark.parametrize("is_delta", [False, True])
def test_pages_that_repeat_themselves_end(is_delta: bool) -> None:
    assert pages_read((page(1) for _ in count()), is_delta=is_delta) == -11
    assert pages_read((page(number % 2) for number in count()), is_delta=is_delta) == -12
    assert pages_read((page(number % 500) for number in count()), is_delta=is_delta) == -510
    assert pages_read((page(number) if number < 40 else page(7) for number in count()), is_delta=is_delta) == -50
    assert pages_read(([] for _ in count()), is_delta=is_delta) == -3000


def test_a_list_that_repeats_objects_with_other_values_ends() -> None:
    assert pages_read(page(1, seen=number) for number in count()) == -11


@pytest.mark.parametrize("is_delta", [False, True])
@pytest.mark.parametrize("length", [1, 30, 400])
def test_a_circle_of_changing_objects_ends_by_their_number(is_delta: bool, length: int) -> None:
    circle = (page(number % length, seen=number)[:: -1 if number // length % 2 else 1] for number in count())
    assert 0 < -pages_read(circle, is_delta=is_delta) <= 100 + 3 * length + 10


@pytest.mark.parametrize("is_delta", [False, True])
def test_a_circle_that_begins_late_ends_as_well(is_delta: bool) -> None:
    circle = (page(number if number < 150 else 150 + number % 30, seen=number)[::-1] for number in count())
    assert 0 < -pages_read(circle, is_delta=is_delta) <= 400 + 3 * 30 + 10


def test_a_circle_of_objects_without_an_id_ends() -> None:
    pairs = ([{"name": one % 30} for one in (number, number + number // 30)] for number in count())
    assert 0 < -pages_read(pairs, is_delta=True) <= 200


def test_a_circle_of_slices_with_changing_values_ends() -> None:
    def slices(number: int) -> list[dict[str, object]]:
        return [{"id": "group", "seen": number, "members@delta": [{"id": f"user {number % 50}", "seen": number}]}]

    assert 0 < -pages_read(map(slices, count()), is_delta=True) <= 300


def test_objects_that_are_reported_again_are_no_circle() -> None:
    rounds = (page(number if number % 3 else number // 2, seen=number) for number in range(2000))
    assert pages_read(rounds, is_delta=True) == 2000


def test_the_same_link_again_and_again_ends() -> None:
    assert pages_read((page(number) for number in count()), link="https://graph/v1.0/users?$skiptoken=x") == -4


def test_long_rounds_and_repeats_that_end_are_read() -> None:
    assert pages_read(page(number) for number in range(3000)) == 3000
    assert pages_read(page(number // 4) for number in range(3000)) == 3000
    assert (
        pages_read((page(number // 900) if number % 900 == 0 else [] for number in range(9000)), is_delta=True) == 9000
    )


def test_one_large_object_in_many_slices_is_no_repetition() -> None:
    slices = ([{"id": "group", "members@delta": [{"id": f"user {number}"}]}] for number in range(3000))
    assert pages_read(slices, is_delta=True) == 3000


def test_a_list_without_a_count_is_counted_meanwhile_and_has_an_end_by_that() -> None:
    assert pages_read((page(number) for number in count()), counted=30) == -1_001
    # Ten times as many as are counted: 1,500 pages of three.
    assert pages_read((page(number) for number in count()), counted=450) == -1_501


def test_a_wrong_count_does_not_end_a_list() -> None:
    assert pages_read((page(number) for number in range(1_000)), counted=0) == 1_000
    assert pages_read((page(number) for number in range(4_000)), is_delta=True, counted=0) == 4_000
