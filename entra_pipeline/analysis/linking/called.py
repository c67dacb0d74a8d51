"""What people call the objects that others name by their ids."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from entra_pipeline.analysis.linking.mentions import is_tie, mentioned
from entra_pipeline.analysis.linking.point_copy import NamedObject, PointCopy
from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.store.state import sql_text

_OBJECT = msgspec.json.Decoder(dict[str, Any])
# Of the objects that an assignment names, those that it is called after.
_TIED = 4


def real_objects(copy: PointCopy, texts: Iterable[str]) -> list[NamedObject]:
    """Finds which objects some ids and aliases are, in the order of the types.

    Types that show the objects of others from another side do not count.

    Args:
        copy: The recovery point.
        texts: Ids and aliases; one may be the alias of several objects.

    Raises:
        StoreError: A file cannot be read.
    """
    return copy.select_known(set(texts), [name for name in copy.objects if not _shown_elsewhere(name, copy)])


def called(copy: PointCopy, texts: Iterable[str]) -> dict[str, NamedObject]:
    """Finds what people call the objects with some ids and aliases, by text; texts that name none are left out.

    Assignments and grants are called after what they tie. Raises StoreError when a file cannot be read.
    """
    found = _first_of_each(real_objects(copy, texts))
    wanted: dict[str, set[str]] = {}
    for one in found.values():
        wanted.setdefault(one.kind, set()).add(one.id)
    ties = names_of_ties(copy, wanted)
    return {text: one._replace(name=ties.get((one.kind, one.id), one.name)) for text, one in found.items()}


def names_of_ties(
    copy: PointCopy, wanted: Mapping[str, Collection[str]], besides: Collection[str] = ()
) -> dict[tuple[str, str], str]:
    """Names assignments and grants after the other objects that they name.

    Args:
        copy: The recovery point.
        wanted: Object type → ids; of types with names of their own, none is looked for.
        besides: Ids and aliases that they are not called after: the object that somebody looks at.

    Raises:
        StoreError: A file cannot be read.
    """
    ties = {kind: ids for kind, ids in wanted.items() if ids and kind in CATALOGUE and is_tie(CATALOGUE[kind])}
    if not ties:
        return {}
    listed = ", ".join(sql_text(one) for one in sorted({one for ids in ties.values() for one in ids}))
    bodies = copy.select_objects(f"id IN ({listed})", ties)
    return names_after(copy, {(one.kind, one.id): _OBJECT.decode(one.raw) for one in bodies}, besides)


def names_after(
    copy: PointCopy, bodies: Mapping[tuple[str, str], Mapping[str, Any]], besides: Collection[str] = ()
) -> dict[tuple[str, str], str]:
    """Names objects of which the bodies are at hand after the other objects that they name, as `names_of_ties`."""
    others = {
        (kind, identifier): [
            text for _, text in mentioned(CATALOGUE[kind], body) if text != identifier and text not in besides
        ]
        for (kind, identifier), body in bodies.items()
    }
    found = _first_of_each(real_objects(copy, (text for texts in others.values() for text in texts)))
    told = {
        key: " · ".join(list(dict.fromkeys(found[text].name for text in texts if text in found))[:_TIED])
        for key, texts in others.items()
    }
    return {key: text for key, text in told.items() if text}


def _first_of_each(found: Iterable[NamedObject]) -> dict[str, NamedObject]:
    first: dict[str, NamedObject] = {}
    for one in found:
        first.setdefault(one.text, one)
    return first


def _shown_elsewhere(name: str, copy: PointCopy) -> bool:
    """Whether the objects of a type are those of another one, seen from another side."""
    entry = CATALOGUE[name]
    return bool(entry.shows and entry.shows in copy.manifest.tables and not name.startswith("deleted_"))
