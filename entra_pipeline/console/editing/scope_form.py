"""A scope as its form shows it: presets of a schedule, a period as number and unit; and what a sent form is to write.

What belongs here: fields, and what is wrong with them. What does not: what an edit leads to (`consequences`), and how
it is saved (`pages.scope_editing`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from entra_pipeline.console.editing.form_errors import check_name
from entra_pipeline.project import Period, Project, Scope
from entra_pipeline.project.models import DEFAULT_FULL_BACKUP_FREQUENCY

WHEN = (
    ("hourly", "Every hour"),
    ("six", "Every 6 hours"),
    ("daily", "Daily at …"),
    ("weekly", "Weekly on …"),
    ("cron", "Cron expression …"),
    ("", "Not scheduled: manual backups only"),
)
"""Presets of a schedule."""
WEEKDAYS = (
    *(("1", "Monday"), ("2", "Tuesday"), ("3", "Wednesday"), ("4", "Thursday")),
    *(("5", "Friday"), ("6", "Saturday"), ("0", "Sunday")),
)
UNITS = tuple((f"{unit}s", f"{unit}s") for unit in ("day", "week", "month", "year"))
FOREVER = ("forever", "forever")
SELECTED = ("users", "groups")
FIELDS = {
    "": "full",
    "tenant": "tenant",
    "storage": "storage",
    "description": "description",
    "protect": "types",
    "select": "people",
    "schedule": "schedule",
    "timezone": "timezone",
    "retention": "keep",
    "full_backup_frequency": "full",
}
"""Settings of a scope, and the fields of its form that they come from."""

_PLAIN = (
    "name",
    "description",
    "tenant",
    "storage",
    "protect",
    "whom",
    "when",
    "at",
    "weekday",
    "schedule",
    "timezone",
)
_FIXED = {"hourly": "0 * * * *", "six": "0 */6 * * *"}
_CLOCK = re.compile(r"(\d{1,2}) (\d{1,2}) \* \* (\*|[0-7])")
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_NUMBER = re.compile(r"0*[1-9]\d{0,3}")


def new_values(given: Mapping[str, str]) -> dict[str, Any]:
    """Returns what the form of a new scope begins with; `given` fills in some of its fields."""
    return (
        _empty() | {"when": "six", "keep": "2", "keep_unit": "years"} | {key: one for key, one in given.items() if one}
    )


def _empty() -> dict[str, Any]:
    frequency = DEFAULT_FULL_BACKUP_FREQUENCY
    return {
        **dict.fromkeys(_PLAIN, ""),
        "protect": "all",
        "whom": "all",
        "at": "02:00",
        "weekday": "1",
        "timezone": "UTC",
        "types": [],
        **{kind: [] for kind in SELECTED},
        "keep": "",
        "keep_unit": "forever",
        "full": str(frequency.count),
        "full_unit": f"{frequency.unit}s",
        "approval": False,
    }


def values_of(scope: Scope) -> dict[str, Any]:
    """Returns the fields of the form as a scope has them."""
    chosen = scope.protect != "all"
    frequency = _period_fields(scope.full_backup_frequency, "full") if scope.full_backup_frequency else {}
    return {
        **_empty(),
        "name": scope.name,
        "description": scope.description,
        "tenant": scope.tenant,
        "storage": scope.storage,
        "protect": "chosen" if chosen else "all",
        "types": scope.types() if chosen else [],
        "whom": "chosen" if scope.select else "all",
        "users": scope.select.users if scope.select else [],
        "groups": scope.select.groups if scope.select else [],
        **_schedule_fields(scope.schedule or ""),
        "timezone": scope.timezone,
        **_period_fields(scope.retention, "keep"),
        **frequency,
        "approval": scope.approval,
    }


def _schedule_fields(cron: str) -> dict[str, str]:
    """The preset that a cron expression is, with its parts."""
    if not cron:
        return {"when": ""}
    for preset, known in _FIXED.items():
        if cron == known:
            return {"when": preset}
    found = _CLOCK.fullmatch(cron)
    if found is None or int(found[1]) > 59 or int(found[2]) > 23:
        return {"when": "cron", "schedule": cron}
    at = f"{int(found[2]):02}:{int(found[1]):02}"
    if found[3] == "*":
        return {"when": "daily", "at": at}
    return {"when": "weekly", "at": at, "weekday": str(int(found[3]) % 7)}


def _period_fields(period: Period, field: str) -> dict[str, str]:
    if period.forever:
        return {field: "", f"{field}_unit": "forever"}
    return {field: str(period.count), f"{field}_unit": f"{period.unit}s"}


def sent_values(form: Mapping[str, list[str]]) -> dict[str, Any]:
    """Returns the fields of a form as it was sent; of those that it does not have, what an empty form has."""
    plain = {key: form[key][0].strip() for key in (*_PLAIN, "keep", "keep_unit", "full", "full_unit") if form.get(key)}
    names = {kind: _lines(form.get(kind, [])) for kind in SELECTED}
    # What is left out by a browser is empty.
    empty = _empty() | dict.fromkeys(("when", "timezone", "keep", "keep_unit", "full"), "")
    return {**empty, **plain, **names, "types": form.get("types", []), "approval": bool(form.get("approval"))}


def _lines(sent: list[str]) -> list[str]:
    lines = (line.strip() for one in sent for line in one.splitlines())
    return list(dict.fromkeys(line for line in lines if line))


def cron_of(values: Mapping[str, Any]) -> str:
    """Returns the cron expression of the schedule in a form; empty without one, or when its time is none."""
    if values["when"] in _FIXED:
        return _FIXED[values["when"]]
    if values["when"] == "cron":
        return str(values["schedule"])
    found = _TIME.fullmatch(values["at"])
    if not values["when"] or found is None:
        return ""
    day = values["weekday"] if values["when"] == "weekly" else "*"
    return f"{int(found[2])} {int(found[1])} * * {day}"


def retention_of(values: Mapping[str, Any]) -> Period | None:
    """Returns the retention in a form; None when it has none."""
    return _period(values, "keep")


def _period(values: Mapping[str, Any], field: str) -> Period | None:
    unit = values[f"{field}_unit"]
    if unit == "forever":
        return Period.parse("forever")
    known = unit in dict(UNITS) and _NUMBER.fullmatch(values[field])
    return Period(int(values[field]), unit.removesuffix("s")) if known else None


def wrong_entries(project: Project, values: Mapping[str, Any], *, new: bool) -> dict[str, str]:
    """Returns what is wrong with the entries of a form, by field; what the configuration knows better is left to it."""
    wrong = check_name(values["name"], project.scopes, "scope") if new else {}
    if values["protect"] != "all" and not values["types"]:
        wrong["types"] = "Select at least one object type, or protect everything."
    if values["whom"] == "chosen" and not any(values[kind] for kind in SELECTED):
        wrong["people"] = "Choose at least one user or group, or protect everybody."
    if values["when"] in {"daily", "weekly"} and not cron_of(values):
        wrong["at"] = "Enter a time of day, such as 02:00."
    if values["when"] == "cron" and not values["schedule"]:
        wrong["schedule"] = "Enter a cron expression, such as 0 */6 * * * (every 6 hours)."
    retention, frequency = retention_of(values), _period(values, "full")
    if retention is None:
        wrong["keep"] = "Enter how long recovery points are kept: a number, such as 30; or choose forever."
    elif retention.in_years and frequency is None and values["full"]:
        wrong["full"] = "Enter how often everything is read in full: a number, such as 3."
    elif retention.in_years and frequency is not None and not frequency < retention:
        wrong["full"] = f"A full backup every {frequency} is too rare for a retention of {retention}."
    return wrong


def settings_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a form is to write into the file; None for what does not stand there."""
    select = {kind: values[kind] for kind in SELECTED if values[kind]} if values["whom"] == "chosen" else {}
    retention, frequency = retention_of(values), _period(values, "full")
    own = retention is not None and retention.in_years and frequency not in (None, DEFAULT_FULL_BACKUP_FREQUENCY)
    return {
        "description": values["description"] or None,
        "tenant": values["tenant"],
        "storage": values["storage"],
        "protect": "all" if values["protect"] == "all" else values["types"],
        "select": select or None,
        "schedule": cron_of(values) or None,
        "timezone": values["timezone"] or None,
        "retention": str(retention) if retention else None,
        "approval": values["approval"] or None,
        "full_backup_frequency": str(frequency) if own else None,
    }
