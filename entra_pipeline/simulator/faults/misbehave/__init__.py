"""Makes the tenant misbehave in ways that users of Graph have reported.

1. A misbehaviour is one entry of a table `MISBEHAVIOURS`: in `views` (lists, counts, expansions and delta that
   disagree), `bodies`, `refusals`, `links` or `sign_in`. The control API, the command and the table in
   docs/simulator.md follow from the entry.
2. The control API sets a `rule.MisbehaviourRule`: which one, for which paths and objects, how often, how long, with
   which probability.
3. `Misbehaviours.strike` is given each request that is admitted, as a `rule.Exchange`. Every rule that is about the
   request takes the answer of the one before it, the first that of the healthy tenant, and returns another or refuses.
4. Draws follow from the seed. An element that is struck once is struck in every answer: a hidden member stays hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from entra_pipeline.simulator.faults.misbehave import bodies, links, refusals, sign_in, views
from entra_pipeline.simulator.faults.misbehave.rule import Exchange, Misbehaviour, MisbehaviourRule
from entra_pipeline.simulator.protocol.failures import Failure
from entra_pipeline.simulator.protocol.requests import GraphResponse

MISBEHAVIOURS: dict[str, Misbehaviour] = {
    one.name: one for module in (views, refusals, bodies, links, sign_in) for one in module.MISBEHAVIOURS
}
"""All of them, by name."""


class Misbehaviours:
    """The rules that are set on one tenant."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._count = 0
        self.rules: list[MisbehaviourRule] = []

    def set(
        self,
        name: str,
        *,
        path: str = "",
        objects: tuple[str, ...] = (),
        times: int = 0,
        seconds: float = 0.0,
        probability: float = 1.0,
        only: str = "",
        **options: Any,
    ) -> None:
        """Sets a rule. Raises ValueError for a misbehaviour or option that there is not."""
        known = MISBEHAVIOURS.get(name)
        if known is None:
            raise ValueError(f"no such misbehaviour: {name}; there are {', '.join(MISBEHAVIOURS)}")
        if unknown := set(options) - set(known.options):
            raise ValueError(
                f"{name} takes {', '.join(known.options) or 'no options'}, not {', '.join(sorted(unknown))}"
            )
        if only not in {"", "batch", "single"}:
            raise ValueError("only is batch or single")
        if not 0 <= probability <= 1 or times < 0 or seconds < 0:
            raise ValueError("probability is between 0 and 1; times and seconds are not negative")
        self._count += 1
        self.rules.append(
            MisbehaviourRule(
                name,
                path.strip("/"),
                frozenset(objects),
                times,
                seconds,
                probability,
                only,
                {**known.options, **options},
                f"{self._seed}:{self._count}:{name}",
            )
        )

    def set_all(self, probability: float) -> None:
        """Sets every misbehaviour, with this probability."""
        for name in MISBEHAVIOURS:
            self.set(name, probability=probability)

    def end(self, name: str = "") -> None:
        """Ends the rules of a misbehaviour, or all."""
        self.rules = [rule for rule in self.rules if name and rule.name != name]

    def strike(self, exchange: Exchange) -> GraphResponse:
        """Returns the answer to a request, as the rules change it. Raises Failure for a refusal."""
        for rule in self._about(exchange):
            act = MISBEHAVIOURS[rule.name].act
            try:
                response = act(exchange, rule) if act else None
            except Failure as failure:
                if failure is not exchange.refused:
                    rule.struck += 1
                raise
            if response is not None:
                rule.struck += 1
                exchange = exchange.then(response)
        return exchange.healthy

    def strike_sign_in(self, healthy: Callable[[], dict[str, Any]]) -> GraphResponse | None:
        """Returns the answer to a request for a token; None = the healthy one, which `healthy` makes."""
        for rule in self.rules:
            sign_in = MISBEHAVIOURS[rule.name].sign_in
            if sign_in and not rule.over and rule.rng.random() < rule.probability:
                rule.struck += 1
                return sign_in(rule, healthy)
        return None

    def _about(self, exchange: Exchange) -> Iterator[MisbehaviourRule]:
        request, place = exchange.request, exchange.place
        for rule in list(self.rules):
            known = MISBEHAVIOURS[rule.name]
            if known.act is None or rule.over or request.method not in known.methods:
                continue
            if not known.applies(request, place):
                continue
            if rule.only and (rule.only == "batch") != request.batched:
                continue
            if not known.on_relations and not rule.is_on(request.path):
                continue
            if not known.on_elements:
                if rule.objects and place.key not in rule.objects:
                    continue
                if rule.probability < 1 and rule.rng.random() >= rule.probability:
                    continue
            yield rule
