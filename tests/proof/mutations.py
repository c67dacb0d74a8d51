"""Mended faults, turned back on one at a time: the proof has to find each.

A mutation changes the engine within this process only. `make prove MUTATION=NAME` runs seeds until one fails that does
not fail without it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import msgspec

from entra_pipeline.backup.read import reader, singles
from entra_pipeline.backup.read.child_tables import UnansweredOwners
from entra_pipeline.backup.read.owners import OwnerReader
from entra_pipeline.backup.reconcile import evidence
from entra_pipeline.backup.reconcile.evidence import Says, Verdict
from entra_pipeline.backup.rows import page_parser
from entra_pipeline.graph import client, pages, urls
from entra_pipeline.graph.retry import Attempts
from entra_pipeline.store.retention import prune as pruning
from tests.proof.program import Program
from tests.proof.troubles import UNANSWERED

_Found = TypeVar("_Found", page_parser.ReadItems, pages.GraphPage)


class Mutation(NamedTuple):
    """A fault.

    Attributes:
        about: What the engine does wrong.
        apply: Turns it on.
        shown_by: Misbehaviours, or kinds of steps, without which nothing shows it.
    """

    about: str
    apply: Callable[[], None]
    shown_by: frozenset[str]

    def may_show_in(self, program: Program) -> bool:
        """Tells whether what happens in a simulation may show it."""
        happens = {step.kind for step in program.steps}
        happens |= {rule["name"] for step in program.steps for rule in step.options.get("misbehave", ())}
        return bool(happens & self.shown_by)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Turns it on for as long as the context lasts."""
        try:
            self.apply()
            yield
        finally:
            while _replaced:
                setattr(*_replaced.pop())


_replaced: list[tuple[Any, str, Any]] = []


def _believe_the_list() -> None:
    def link_verdict(*, removed: bool, listed: Says, counted: Says, others: Iterable[Says]) -> Verdict:
        return Verdict.EXISTS if listed is Says.SHOWS and not removed else Verdict.GONE

    _replace(evidence, "link_verdict", link_verdict)


def _nobody_exists() -> None:
    async def existing(self: OwnerReader, *arguments: Any) -> list[str]:
        return []

    _replace(OwnerReader, "existing", existing)


def _take_anything_for_an_object() -> None:
    def without_context(body: bytes) -> bytes:
        members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        return msgspec.json.encode({name: value for name, value in members.items() if name != "@odata.context"})

    def identify(raw: bytes | msgspec.Raw, key: str = "id", *, otherwise: str = "") -> str:
        return page_parser.identify(raw, key, otherwise=otherwise or "whatever it is")

    _replace_everywhere(singles.without_context, without_context)
    _replace_everywhere(singles.check_single, lambda *arguments: None)
    _replace(reader, "identify", identify)


def _end_at_another_shape() -> None:
    lenient_items, lenient_page = page_parser.read_items, pages.decode_page

    def read_items(elements: Sequence[msgspec.Raw], key: str = "id") -> page_parser.ReadItems:
        return _strictly(lenient_items(elements, key))

    def decode_page(body: bytes) -> pages.GraphPage:
        return _strictly(lenient_page(body))

    _replace_everywhere(lenient_items, read_items)
    _replace_everywhere(lenient_page, decode_page)


def _strictly(found: _Found) -> _Found:
    if found.unreadable:
        raise TypeError(f"no object: {found.unreadable[0].raw!r}")
    return found


def _one_owner_costs_all() -> None:
    def refuse(self: UnansweredOwners, owner: str, error: Exception, *, of: int) -> None:
        raise error

    _replace(UnansweredOwners, "refuse", refuse)


def _count_tries() -> None:
    patient = Attempts.failed

    def failed(self: Attempts, *arguments: Any, **options: Any) -> float | None:
        return patient(self, *arguments, **options) if self.count < 7 else None

    _replace(Attempts, "failed", failed)


def _never_begin_anew() -> None:
    async def begun_anew(self: client.Graph, read: Callable[[], Any]) -> Any:
        return await read()

    class Never(Exception):
        """Nothing is one."""

    _replace(client.Graph, "begun_anew", begun_anew)
    _replace(reader, "RoundExpired", Never)
    _replace(reader, "DeltaLinkExpired", Never)


def _page_for_ever() -> None:
    def add(self: pages.PagingBound, page: pages.GraphPage) -> None:
        self.pages += 1

    _replace(pages.PagingBound, "add", add)


def _follow_any_link() -> None:
    _replace(urls, "leads_to_graph", lambda link, root: True)


def _follow_a_link_to_another_set() -> None:
    _replace(urls, "_segments", lambda url, root: ())


def _prune_what_is_held() -> None:
    _replace(pruning, "retention_holds", lambda store: {})


_UNANSWERED = frozenset(UNANSWERED)
MUTATIONS: dict[str, Mutation] = {
    "R1": Mutation(
        "a link that the owner's list leaves out is deleted, whatever other views show",
        _believe_the_list,
        frozenset({"members-hidden", "expand-null", "expand-cut"}),
    ),
    "R2": Mutation("an owner whose links are answered 404 is taken for gone", _nobody_exists, _UNANSWERED),
    "R3": Mutation(
        "the body of an error with status 200 is taken for the object",
        _take_anything_for_an_object,
        frozenset({"error-body", "wrong-body"}),
    ),
    "R4": Mutation(
        "an element that is no object ends the run",
        _end_at_another_shape,
        frozenset({"element-null", "element-not-object", "element-without-id"}),
    ),
    "R5": Mutation("one owner that is refused costs the table", _one_owner_costs_all, _UNANSWERED),
    "R6": Mutation("patience ends after seven tries", _count_tries, frozenset({"throttled"})),
    "R7": Mutation(
        "a round that Graph breaks off is not begun anew", _never_begin_anew, frozenset({"page-token-expired"})
    ),
    "R8": Mutation("pages that repeat are read for ever", _page_for_ever, frozenset({"endless-pages"})),
    "R9": Mutation("a link to another host is followed, with the token", _follow_any_link, frozenset({"foreign-link"})),
    "sets": Mutation(
        "a link to another set is followed",
        _follow_a_link_to_another_set,
        frozenset({"other-set-link", "redirected"}),
    ),
    "holds": Mutation("prune takes points that are held", _prune_what_is_held, frozenset({"hold"})),
}


def _replace_everywhere(function: Callable[..., Any], with_: Callable[..., Any]) -> None:
    """Replaces a function in each module of the engine that has imported it."""
    for name, module in list(sys.modules.items()):
        if name.startswith("entra_pipeline.") and vars(module).get(function.__name__) is function:
            _replace(module, function.__name__, with_)


def _replace(where: Any, name: str, with_: Any) -> None:
    if not hasattr(where, name):
        raise AttributeError(f"{where} has no {name} any more: the mutation has to follow the engine")
    _replaced.append((where, name, getattr(where, name)))
    setattr(where, name, with_)
