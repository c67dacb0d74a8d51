"""`catalogue`: what can be protected, and which permissions that takes."""

from __future__ import annotations

import click

from entra_pipeline.analysis.markdown import markdown_table
from entra_pipeline.catalogue import (
    CATALOGUE,
    EVERYTHING,
    ObjectType,
    delegated_permissions_for,
    permissions_for,
    restore_permissions_for,
)
from entra_pipeline.cli.context import as_table, echo, print_json, print_rows
from entra_pipeline.errors import UsageError


@click.command()
@click.option("--permissions", is_flag=True, help="Only the least-privileged application permissions to grant.")
@click.option(
    "--restore", is_flag=True, help="For the restore app registration; with --markdown: the table of docs/restore.md."
)
@click.option(
    "--delegated",
    is_flag=True,
    help="With --permissions --restore: only the delegated permissions that --sign-in takes.",
)
@click.option("--markdown", is_flag=True, help="The table of docs/catalogue.md.")
@as_table
def catalogue(permissions: bool, restore: bool, delegated: bool, markdown: bool, json_: bool, csv_: bool) -> None:
    """Show the object types that can be protected, and the permissions they need."""
    if permissions and markdown:
        raise UsageError("--permissions and --markdown exclude each other", remedy="Choose one.")
    if restore and not permissions and not markdown:
        raise UsageError("--restore selects the permissions to show.", remedy="Add --permissions.")
    if delegated and not (restore and permissions):
        raise UsageError("--delegated selects permissions for restoring.", remedy="Add --permissions --restore.")
    if permissions:
        by_person = delegated_permissions_for(CATALOGUE) if restore else []
        needed = (
            by_person
            if delegated
            else restore_permissions_for(list(CATALOGUE))
            if restore
            else permissions_for(EVERYTHING)
        )
        if json_:
            print_json(needed)
        else:
            besides = [] if delegated else [f"{name} (delegated, for restore --sign-in)" for name in by_person]
            echo("\n".join([*needed, *besides]))
        return
    if markdown:
        echo(lost_markdown() if restore else catalogue_markdown())
        return
    rows = [
        {
            "type": entry.name,
            "title": entry.title,
            "category": entry.category.value,
            "path": path_of(entry),
            "delta": entry.delta,
            "relations": [relation.name for relation in entry.relations],
            "permissions": list(entry.permissions),
            "identity": list(entry.identity),
            "restorable": entry.restore.possible,
            "restore": entry.restore.how,
            "availability": availability(entry),
        }
        for entry in CATALOGUE.values()
    ]
    columns = {"type": "type", "category": "category", "path": "Graph path", "delta": "delta", "relations": "relations"}
    print_rows(rows, columns, json_=json_, csv_=csv_)


def path_of(entry: ObjectType) -> str:
    """The Graph path of a type, with `{id}` where a child type has its owner's."""
    if entry.parent is None:
        return f"/{entry.path}"
    if entry.parent.path:
        return f"/{entry.parent.path}"
    return f"{path_of(CATALOGUE[entry.parent.type])}/{{id}}/{entry.parent.segment}"


def availability(entry: ObjectType) -> str:
    """What keeps Graph from offering a type; empty when every tenant and application can have it."""
    if entry.delegated:
        return "signed-in users only"
    if entry.optional:
        return "when granted"
    if entry.on_demand:
        return "when named in `protect`"
    return entry.licence


def catalogue_markdown() -> str:
    """The catalogue as a Markdown table."""
    columns = {
        "type": "object type",
        "category": "category",
        "path": "Graph path",
        "how": "read by",
        "relations": "relations",
        "permission": "least permission",
        "identity": "known by",
        "restored": "restored",
    }
    return markdown_table([_markdown_row(entry) for entry in CATALOGUE.values()], columns)


def lost_markdown() -> str:
    """What does not come back with an object that is made anew, as a Markdown table."""
    rows = [
        {
            "type": f"`{entry.name}`",
            "lost": ", ".join(entry.restore.lost),
            "random": ", ".join(f"`{name}`" for name in entry.restore.secrets),
            "kept": ", ".join(f"`{name}`" for name in sorted(entry.restore.create_only)),
        }
        for entry in CATALOGUE.values()
        if entry.restore.possible and (entry.restore.lost or entry.restore.secrets or entry.restore.create_only)
    ]
    columns = {"type": "object type", "lost": "lost", "random": "random, to be set", "kept": "cannot be set back"}
    return markdown_table(rows, columns)


def _markdown_row(entry: ObjectType) -> dict[str, str]:
    gated = [f"`{name}`: {permission}" for name, permission in sorted(entry.gated.items())]
    needs = f" ({needed})" if (needed := availability(entry)) else ""
    return {
        "type": f"`{entry.name}`",
        "category": entry.category.value,
        "path": f"`{path_of(entry)}`",
        "how": "delta" if entry.delta else "list",
        "relations": ", ".join(f"`{relation.name}`" for relation in entry.relations),
        "permission": "; ".join([f"{entry.permissions[0]}{needs}", *gated]),
        "identity": ", ".join(f"`{name}`" for name in entry.identity),
        "restored": entry.restore.how if entry.restore.possible else f"**no**: {entry.restore.how}",
    }
