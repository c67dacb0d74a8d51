"""When two values of Graph say the same, though they are written differently.

What belongs here: the rules, with the facts behind them. What does not: which objects are compared (`changes`).

- **Null, absent and the empty list are the same**, at any depth. Delta leaves out what was never set and gives null for
  what was cleared, lists show the same as null or `[]` (Graph doc: delta-query-overview); and a collection in OData is
  never null, it is empty (OData 4.01, part 1). An object without members, `{}`, is a value.
- **Lists have no order**, at any depth: a collection in OData has none unless its schema declares one (term `Ordered`),
  and attributes of the directory with many values are sets (proxyAddresses, assignedLicenses, servicePrincipalNames,
  keyCredentials …). `ORDERED` names those in which the place itself says something.
- **Annotations** (`@odata.etag`, `roles@odata.type` …) say how something was answered. Only the `@odata.type` of a
  nested value counts: it is all that tells `internalSponsors` from `externalSponsors`.
- The `id` of the object itself is its key, not a property of it.

`restore.objects.written` names the other two comparisons of values, and what sets them apart.
"""

from __future__ import annotations

from typing import Any

import msgspec

from entra_pipeline.catalogue import CATALOGUE

ORDERED = frozenset({"approvalStages", "stages", "userAttributeValues"})
"""Lists whose order means something: stages of an approval come one after the other, choices stand as listed (Graph
doc: unifiedApprovalRequest settings, accessPackageApprovalStage, userAttributeValuesItem)."""

_TYPE = "@odata.type"

Values = dict[str, tuple[Any, Any]]
"""Property → its value before and after."""


def differences(table: str, before: dict[str, Any], after: dict[str, Any]) -> tuple[Values, Values]:
    """The properties of an object that differ, and apart from them those that Graph computes by itself.

    Args:
        table: The object type; its entry says which properties are volatile.
        before: The object.
        after: The same object later, or its like in another tenant.

    Returns:
        Both by name, with the values as they are; None where there is none.
    """
    entry = CATALOGUE.get(table)
    volatile = entry.restore.volatile if entry else frozenset()
    told: Values = {}
    computed: Values = {}
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was == now or name == "id" or "@" in name or same(was, now, name):
            continue
        (computed if name in volatile else told)[name] = was, now
    return told, computed


def same(before: Any, after: Any, name: str = "") -> bool:
    """Whether two values of a property say the same."""
    return bool(normal(before, name) == normal(after, name))


def normal(value: Any, name: str = "") -> Any:
    """A value in the one form that all of its spellings have; None for what says nothing.

    Args:
        value: Decoded JSON; it is not changed.
        name: Of the property that has it.
    """
    if isinstance(value, dict):
        members = ((key, normal(item, key)) for key, item in value.items() if "@" not in key or key == _TYPE)
        return {key: item for key, item in members if item is not None}
    if isinstance(value, list):
        if not value:
            return None
        items = [normal(item, name) for item in value]
        return items if name in ORDERED else sorted(items, key=_written)
    return value


def _written(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")
