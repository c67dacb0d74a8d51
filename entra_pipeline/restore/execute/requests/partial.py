"""Writing an object without what Graph refuses of it: which properties a refusal is about, and which may be left out.

What belongs here: which properties are left out, and values that take the place of refused ones. What does not: the
requests (`generic`). What narrows access (`Restore.guards`) is never left out: an object without it would give more
than there was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from entra_pipeline.catalogue import ObjectType
from entra_pipeline.restore.execute.refusals import refused_properties
from entra_pipeline.restore.execute.step import RunningStep, StepRefused
from entra_pipeline.restore.objects.normalize import without
from entra_pipeline.restore.objects.texts import valid_text
from entra_pipeline.restore.records.not_taken import unknown_properties

REFUSALS = frozenset({400, 409})
"""Statuses with which Graph refuses values."""
TRIES = 8
"""Requests for one object at the most, each without something that the one before had."""


def dispensable(entry: ObjectType, names: Iterable[str], *, there: bool = False) -> set[str]:
    """Returns those of the properties without which an object may come back.

    Args:
        entry: The type.
        names: The properties.
        there: The object is there, and has what a new one demands.
    """
    rule = entry.restore
    fixed = {
        *(() if there else rule.required),
        *rule.guards,
        *rule.refers,
        *(rule.guard or ())[:1],
        entry.key,
        "passwordProfile",
    }
    return {
        name
        for name in names
        if "@" not in name
        and not {name, name.partition(".")[0]} & fixed
        and ("*" not in rule.guards or name in _DESCRIBING)
    }


def stripped(body: dict[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """Copies a body without what is at some dotted paths."""
    for path in paths:
        body = without(body, path)
    return body


def replacements(
    entry: ObjectType, identifier: str, body: Mapping[str, Any], before: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns values for required texts that Graph may take instead of those it refused.

    Args:
        entry: The type.
        identifier: Id of the object, from which a text follows that nobody has.
        body: What was sent.
        before: What has taken the place of texts already: none is tried twice.
    """
    found: dict[str, Any] = {}
    for name, rule in entry.restore.texts.items():
        value = body.get(name)
        if not rule.replaced or not isinstance(value, str):
            continue
        for candidate in (valid_text(rule, value), valid_text(rule, value, identifier)):
            if candidate not in {value, before.get(name)}:
                found[name] = candidate
                break
    return found


class LeftOut:
    """What one object is written without, because Graph refuses it.

    Args:
        work: The step; its problems name what is left out, with Graph's words.

    Attributes:
        out: Properties that are left out, by dotted path.
        untried: Those of them that Graph did not name: they are tried once the object is there.
        replaced: Texts that take the place of required ones.
    """

    def __init__(self, work: RunningStep) -> None:
        self._work = work
        self.out: set[str] = set()
        self.untried: set[str] = set()
        self.replaced: dict[str, str] = {}

    def leave_out(self, refused: StepRefused, body: dict[str, Any], *, by_name: bool = False) -> bool:
        """Decides what to try again without: what Graph names, does not know, or takes only with a permission.

        Of a new object, when Graph names nothing, everything is left out that it can be without, and tried afterwards.

        Args:
            refused: Graph's refusal.
            body: What was sent.
            by_name: Leave out only what Graph names, or may not know.
        """
        if refused.status not in REFUSALS:
            return False
        creating = self._work.step.action == "create" and not by_name
        named = refused_properties(refused.targets, refused.message, body)
        # What Graph shows and does not know is no loss of ours, whatever it does.
        unknown = self._unknown(body, creating=creating) if refused.status == 400 else set()
        less = dispensable(self._work.entry, named, there=by_name) | (named & unknown)
        if named and not less and (other := replacements(self._work.entry, self._work.step.id, body, self.replaced)):
            self._replace({name: other[name] for name in other if name in named}, body, refused)
            return bool(other.keys() & named)
        if not named:
            less = unknown
        if not less and not named and creating and refused.status == 400:
            return self._bare(refused, body)
        less -= self.out
        self.out |= less
        if less:
            self._work.problems.append(f"without {', '.join(sorted(less))}: {refused.message}")
        return bool(less)

    def _unknown(self, body: Iterable[str], *, creating: bool) -> set[str]:
        """Returns properties that Graph shows and may not take: unknown ones, and of a new object gated ones."""
        unknown = unknown_properties(self._work.entry, body)
        if creating:
            # The object is there, and others need it: that nobody has defined an attribute is no reason to lose both.
            unknown |= self._work.rule.gated.keys() & set(body)
        return unknown - {*self._work.rule.required, *self.out, self._work.entry.key, "passwordProfile"}

    def _bare(self, refused: StepRefused, body: dict[str, Any]) -> bool:
        """Leaves out of a new object all that it can be without; when that was not it, tries other required texts."""
        loose = dispensable(self._work.entry, body) - self.out
        if loose:
            self.out |= loose
            self.untried |= loose
            return True
        other = replacements(self._work.entry, self._work.step.id, body, self.replaced)
        self.out -= self.untried
        self.untried = set()
        self._replace(other, body, refused)
        return bool(other)

    def _replace(self, other: dict[str, Any], body: dict[str, Any], refused: StepRefused) -> None:
        """Puts other texts in the place of refused ones."""
        for name, value in other.items():
            own = self._work.step.body.get(name, body[name])
            self._work.problems = [one for one in self._work.problems if not one.startswith(f"{name} is ")]
            self._work.problems.append(f"{name} is {value!r} instead of {own!r}: {refused.message}")
        self.replaced |= other


# What says nothing of who may do what.
_DESCRIBING = frozenset({"description", "displayName", "notes"})
