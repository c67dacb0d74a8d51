"""Reads the query options of a request to list or get: what they mean for a set, and what Graph refuses.

Raises Failure (400, 403, 501).
"""

from __future__ import annotations

from entra_pipeline.simulator.protocol.failures import (
    Failure,
    bad_request,
    denied,
    unsupported,
)
from entra_pipeline.simulator.protocol.odata import (
    Condition,
    check_select,
    compile_filter,
    parse_select,
    split_outside,
)
from entra_pipeline.simulator.protocol.requests import GraphRequest
from entra_pipeline.simulator.protocol.tokens import Caller
from entra_pipeline.simulator.schema import DIRECTORY_OBJECTS, EntitySet
from entra_pipeline.simulator.storage.links import DirectoryReader


def select_of(
    directory: DirectoryReader, request: GraphRequest, entry: EntitySet, caller: Caller, *, listing: bool = False
) -> tuple[str, ...] | None:
    """Returns the properties of `$select` without relations; None = what Graph returns by default."""
    select = parse_select(request.options.get("$select"))
    check_select(entry, select, directory.extensions(), tuple(r.name for r in entry.relations))
    if select is None:
        return None
    select = tuple(name for name in select if not entry.relation(name))
    if listing and entry.single_only.intersection(select):
        raise Failure(501, "NotImplemented", "Not Implemented")
    for name, permission in entry.gated:
        if name in select and permission not in caller.roles:
            raise denied()
    return select


def filter_of(directory: DirectoryReader, request: GraphRequest, entry: EntitySet) -> Condition:
    """Returns the condition of `$filter`."""
    if "$search" in request.options:
        raise unsupported("$search is not supported by the simulated tenant.")
    if "$skip" in request.options and entry.name in DIRECTORY_OBJECTS:
        raise bad_request("'$skip' is not supported by the service.")
    text = request.options.get("$filter")
    if not text:
        return Condition()
    if entry.derived_from:
        raise unsupported(f"$filter on {entry.path} is not supported by the simulated tenant.")
    condition = compile_filter(entry, text, directory.extensions())
    if (condition.advanced or "$orderby" in request.options) and entry.name in DIRECTORY_OBJECTS and not request.counts:
        raise unsupported(
            "Operator or combination of options is not supported without the ConsistencyLevel:eventual header and "
            "$count=true."
        )
    return condition


def order_of(directory: DirectoryReader, request: GraphRequest, entry: EntitySet) -> str:
    """Returns `$orderby` as SQL; empty without one."""
    text = request.options.get("$orderby")
    if not text:
        return ""
    terms = []
    for term in split_outside(text):
        name, _, direction = term.partition(" ")
        check_select(entry, (name.partition("/")[0],), directory.extensions())
        if direction.strip().lower() not in {"", "asc", "desc"}:
            raise unsupported("Invalid $orderby.")
        terms.append(f"json_extract(o.json, '$.{name.replace('/', '.')}') COLLATE NOCASE {direction}")
    return ", ".join([*terms, "o.seq"])


def page_size(request: GraphRequest, entry: EntitySet, select: tuple[str, ...] | None) -> int:
    """Returns how many objects a page holds; 0 = all at once."""
    text = request.options.get("$top")
    largest = entry.largest_page
    if entry.name == "user" and (
        "signInActivity" in (select or ()) or "signInActivity" in request.options.get("$filter", "")
    ):
        largest = 500
    if text is None or not entry.page:
        return entry.page
    if not text.isdigit() or not 1 <= int(text) <= largest:
        raise bad_request(f"Invalid page size specified: '{text}'. Must be between 1 and {largest} inclusive.")
    return int(text)
