"""Says what a misbehaviour is, when a rule of the control API applies, and what both work on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from hashlib import blake2b
from random import Random
from typing import Any

import msgspec

from entra_pipeline.simulator.protocol.failures import Failure
from entra_pipeline.simulator.protocol.paths import ResourcePath
from entra_pipeline.simulator.protocol.requests import GraphRequest, GraphResponse
from entra_pipeline.simulator.protocol.tokens import Caller
from entra_pipeline.simulator.storage.links import DirectoryReader


class Exchange:
    """A request that is about to be answered.

    Attributes:
        place: What the path leads to.
        caller: Who asks.
        directory: The tenant.
        continue_after: Makes a link to the rest of a relation's list, from its path and an object's sequence number.
        refused: The refusal of the healthy tenant, once it is known.
    """

    def __init__(
        self,
        request: GraphRequest,
        place: ResourcePath,
        caller: Caller,
        directory: DirectoryReader,
        answer: Callable[[], GraphResponse],
        continue_after: Callable[[str, int], str],
    ) -> None:
        self.request = request
        self.place = place
        self.caller = caller
        self.directory = directory
        self.continue_after = continue_after
        self.refused: Failure | None = None
        self._answer = answer

    @cached_property
    def healthy(self) -> GraphResponse:
        """The answer without this misbehaviour. Raises Failure for a refusal."""
        try:
            return self._answer()
        except Failure as failure:
            self.refused = failure
            raise

    def then(self, response: GraphResponse) -> Exchange:
        """Returns the same exchange with another answer, for the next misbehaviour."""
        return Exchange(self.request, self.place, self.caller, self.directory, lambda: response, self.continue_after)

    def body(self) -> dict[str, Any] | None:
        """Returns the body of the healthy answer; None unless it is a 200 with a JSON object."""
        response = self.healthy
        if response.status != 200 or "json" not in response.headers.get("Content-Type", ""):
            return None
        try:
            body = msgspec.json.decode(response.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # An earlier misbehaviour has spoilt it.
            return None
        return body if isinstance(body, dict) else None

    def lists(self, body: dict[str, Any], within: str) -> list[list[Any]]:
        """Returns the elements of a page, as one list; with `within`, those of that property of each object."""
        page = body.get("value")
        if not isinstance(page, list):
            page = [body] if within else None
        if page is None:
            return []
        if not within:
            return [page]
        return [one[within] for one in page if isinstance(one, dict) and isinstance(one.get(within), list)]

    def elements(self, rule: MisbehaviourRule) -> tuple[dict[str, Any], list[tuple[list[Any], int]]] | None:
        """Returns the body of a page, and the elements that the rule strikes as (the list they are in, index).

        Those are the objects that the rule names. A rule that names none strikes elements by its probability; with
        probability 1, the first of each list. None: nothing is struck.
        """
        body = self.body()
        if body is None:
            return None
        chosen: list[tuple[list[Any], int]] = []
        for held in self.lists(body, str(rule.options.get("within", ""))):
            ids = [(index, one["id"]) for index, one in enumerate(held) if isinstance(one, dict) and "id" in one]
            if rule.objects:
                ids = [(index, identifier) for index, identifier in ids if identifier in rule.objects]
            elif rule.probability < 1:
                ids = [(index, identifier) for index, identifier in ids if rule.draws(str(identifier))]
            else:
                ids = ids[:1]
            chosen += [(held, index) for index, _ in ids]
        return (body, chosen) if chosen else None

    def replaced(self, body: object) -> GraphResponse:
        """Returns the answer with another body."""
        return GraphResponse(self.healthy.status, msgspec.json.encode(body), self.healthy.headers)


@dataclass(slots=True)
class MisbehaviourRule:
    """One misbehaviour as the control API sets it.

    Attributes:
        name: Of the misbehaviour.
        path: Paths below `/v1.0` it strikes; `*` stands for anything, empty for every path it can strike.
        objects: Ids of the objects or owners it strikes; empty = any.
        times: How many answers it strikes; 0 = for ever.
        seconds: How long it strikes; 0 = for ever.
        probability: Share of requests it strikes, or of elements where a misbehaviour is about elements.
        only: `batch` = parts of batches only; `single` = requests of their own only; empty = both.
        options: What else the misbehaviour takes.
        seed: What its draws follow from.
        struck: How many answers it has struck.
    """

    name: str
    path: str = ""
    objects: frozenset[str] = frozenset()
    times: int = 0
    seconds: float = 0.0
    probability: float = 1.0
    only: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: str = ""
    struck: int = 0
    since: float = field(default_factory=time.monotonic)
    rng: Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)  # noqa: S311 - reproducible on purpose, and no secret

    @property
    def over(self) -> bool:
        """Whether it has struck as often, or as long, as it should."""
        spent = bool(self.times) and self.struck >= self.times
        return spent or (self.seconds > 0 and time.monotonic() - self.since > self.seconds)

    def is_on(self, path: str) -> bool:
        """Returns whether the rule is about the path."""
        return not self.path or fnmatchcase(path.lower(), self.path.strip("/").lower())

    def draws(self, key: str) -> bool:
        """Returns whether the element is among those struck: the same every time."""
        digest = blake2b(f"{self.seed}:{key}".encode(), digest_size=4).digest()
        return int.from_bytes(digest) < self.probability * 2**32


Strike = Callable[[Exchange, MisbehaviourRule], GraphResponse | None]
"""Returns the answer instead of the healthy one; None when this request is not struck. Raises Failure for a refusal."""


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """A way in which Graph is known to misbehave.

    Attributes:
        name: As the control API knows it.
        summary: What a client sees.
        act: Makes the answer to a request.
        sign_in: Makes the answer to a request for a token, from what makes the healthy one.
        options: Names and defaults of what it takes besides what every rule has.
        methods: Of the requests that can be struck.
        applies: Whether a request can be struck at all.
        on_relations: The rule's path names a relation or a set (`groups/*/members`), in whichever view it is read.
        on_elements: Probability is that of an element, not of a request.
    """

    name: str
    summary: str
    act: Strike | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    methods: frozenset[str] = frozenset({"GET"})
    applies: Callable[[GraphRequest, ResourcePath], bool] = lambda request, place: True
    on_relations: bool = False
    on_elements: bool = False
    sign_in: Callable[[MisbehaviourRule, Callable[[], dict[str, Any]]], GraphResponse] | None = None
