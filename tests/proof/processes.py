"""A process that works with the storage, what befalls it, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.store.recovery_points import ScopeStore
from tests.proof.places import Killed, Place, Trouble


@dataclass(frozen=True)
class Mishaps:
    """What befalls a process, as the options of a step say it.

    Attributes:
        dies_at: It is killed at this operation of the storage, by its number from 0; -1 = never.
        fails_at: This operation fails, and as many after it as `failures` says; -1 = none.
        failures: How many.
        done: Whether what is struck takes effect all the same.
        meanwhile: What other processes do just before operations, by their number.
        wire: The share of requests to S3 that are struck.
        wire_kinds: How, out of `program.WIRE_KINDS`.
        wire_dies_at: It is killed after this request to S3; -1 = never.
    """

    dies_at: int = -1
    fails_at: int = -1
    failures: int = 1
    done: bool = False
    meanwhile: Sequence[tuple[int, str]] = ()
    wire: float = 0.0
    wire_kinds: Sequence[str] = ()
    wire_dies_at: int = -1

    @classmethod
    def taken_from(cls, options: Mapping[str, Any]) -> tuple[Self, dict[str, Any]]:
        """Returns those among the options of a step, and the other options."""
        names = {one.name for one in fields(cls)}
        own = {name: value for name, value in options.items() if name in names}
        return cls(**own), {name: value for name, value in options.items() if name not in names}

    def trouble(self, act: Callable[[str], Callable[[], None]]) -> Trouble:
        """Returns what happens to its operations; `act` makes what another process does."""
        meanwhile = {number: act(kind) for number, kind in self.meanwhile}
        return Trouble(self.dies_at, self.fails_at, self.failures, self.done, meanwhile)


class Process:
    """A process that works with the place.

    Attributes:
        store: The scope, as it sees it.
        place: The place, as it sees it.
    """

    def __init__(self, store: ScopeStore, place: Place) -> None:
        self.store = store
        self.place = place

    @property
    def overtaken(self) -> bool:
        """Whether another one did something in the middle of its work."""
        return self.place.overtaken

    def ended(self, work: Callable[[], object]) -> BaseException | None:
        """Does work; returns how it ended, None when it did not fail."""
        try:
            work()
        except (EntraPipelineError, Killed) as end:
            return end
        except BaseExceptionGroup as several:
            if several.subgroup(Killed) is None:
                raise
            return Killed(str(several))
        return None
