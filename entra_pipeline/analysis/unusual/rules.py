"""Rules: SQL in files, each with a head that says what it needs.

```
-- title: Mass deletion
-- changes: users            the temporary table users_changes: what differs between the two points
-- before: users             the view users_before: the state at the parent
-- after: users              the view users_after: the state at the point
-- threshold: percent = 5    getvariable('percent'); a scope may set another value
SELECT …                     a row per finding; no row, no finding
```

The table `_tables` is there in any case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from entra_pipeline.errors import ConfigurationError

SHIPPED = Path(__file__).with_name("rules")
_HEAD = re.compile(r"--\s*(title|changes|before|after|threshold):\s*(.+)")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule.

    Attributes:
        name: Its name: that of the file.
        title: What people call it.
        changes, before, after: Tables of which it reads the differences, the state at the parent, that at the point.
        thresholds: Its thresholds and their values.
        sql: The query.
    """

    name: str
    title: str
    changes: Sequence[str]
    before: Sequence[str]
    after: Sequence[str]
    thresholds: Mapping[str, float]
    sql: str


def read_rule(file: Path) -> Rule:
    """The rule in a file; raises ConfigurationError when it has no title, or a threshold that is no number."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigurationError(f"cannot be read ({reason})", file=str(file), remedy="Correct the file.") from None
    heads: dict[str, list[str]] = {}
    for key, value in _HEAD.findall(text):
        heads.setdefault(key, []).append(value.strip())
    if "title" not in heads:
        raise ConfigurationError("has no title", file=str(file), remedy="Begin it with a line -- title: …")
    thresholds = {}
    for one in heads.get("threshold", []):
        name, _, value = (part.strip() for part in one.partition("="))
        try:
            thresholds[name] = float(value)
        except ValueError:
            raise ConfigurationError(
                f"threshold {name!r} is not a number", file=str(file), remedy="Write -- threshold: percent = 5"
            ) from None
    tables = {
        key: [name.strip() for line in heads.get(key, []) for name in line.split(",")]
        for key in ("changes", "before", "after")
    }
    return Rule(file.stem, heads["title"][0], **tables, thresholds=thresholds, sql=text)


def rules(own: Path | None) -> dict[str, Rule]:
    """The rules by name: those that come with entra-pipeline, and a project's own, which may take their place.

    Raises:
        ConfigurationError: A file cannot be used, or the folder is not there.
    """
    if own is not None and not own.is_dir():
        raise ConfigurationError("is not a folder", file=str(own), remedy="Correct `rules` of [unusual].")
    files = [*sorted(SHIPPED.glob("*.sql")), *(sorted(own.glob("*.sql")) if own else ())]
    return {rule.name: rule for rule in map(read_rule, files)}
