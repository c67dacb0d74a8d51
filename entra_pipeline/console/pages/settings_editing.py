"""Creating, editing, testing and deleting storage profiles, tenants and the mail server.

Where a secret is, is shown and chosen; the secret itself stays on the machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from starlette.responses import Response

from entra_pipeline.console.auditing import record
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.editing import settings_form
from entra_pipeline.console.editing.consequences import Consequence, not_agreed
from entra_pipeline.console.editing.form_errors import InvalidEntries, check_name
from entra_pipeline.console.editing.saving import reloaded
from entra_pipeline.console.editing.secret_rules import RefusedChange, accept
from entra_pipeline.console.editing.settings_table import MAIL, STORAGE, TENANTS, SettingsTable, tested
from entra_pipeline.console.routing import Page, RequestContext, address
from entra_pipeline.doctor import Diagnosis
from entra_pipeline.errors import EntraPipelineError, UsageError
from entra_pipeline.project import Project
from entra_pipeline.project.editing import delete_table, foresee_table, save_table
from entra_pipeline.settings.section import Section


class _Edit:
    """One form: of a table that there is, or of a new one.

    Args:
        context: The visit.
        table: Which table.
        new: Whether it is to be made.
    """

    def __init__(self, context: RequestContext, table: SettingsTable, *, new: bool) -> None:
        self.context, self.table = context, table
        self.name = context.field("name") if new else context.path(table.parameter) if table.named else ""
        self.current: Section | None = None if new else table.of(context.project, self.name)
        if table.named and not new and self.current is None:
            raise UsageError(
                f"there is no {table.noun} {self.name[:100]!r}", remedy="See Settings for the existing ones."
            )
        self.new = self.current is None
        kind = context.field("kind") or context.query("kind")
        self.kind, self.model = table.definition(self.current, kind)
        self.key = ".".join(table.keys(self.name))

    @property
    def action(self) -> str:
        """What the audit log calls it."""
        return f"{self.table.noun} {'create' if self.new else 'edit'}"

    def page(
        self,
        values: Mapping[str, Any],
        error: EntraPipelineError | None = None,
        *,
        found: Sequence[Diagnosis] | None = None,
        consequences: Sequence[Consequence] = (),
    ) -> Response:
        """Shows the form."""
        context, table = self.context, self.table
        base = ("settings", table.section, *([self.name] if table.named else []))
        return context.form_page(
            "settings_form.html",
            error,
            title=f"New {table.noun}" if self.new else f"Edit {table.subject(self.name)}",
            back=table.back,
            new=self.new,
            named=table.named,
            name=self.name,
            kind=self.kind,
            kinds=table.kinds(),
            entries=settings_form.entries(self.model, values),
            found=found,
            consequences=consequences,
            agreed=context.form.get("agreed", []),
            action=address("settings", table.section, "new") if self.new and table.named else address(*base, "edit"),
            delete=address(*base, "delete"),
            subject=table.subject(self.name),
            used="" if self.new else table.users(context.project, self.name),
            after_deletion=table.deleted,
        )

    def show(self) -> Response:
        """Shows the form as the table is."""
        return self.page(settings_form.as_written(self.current) if self.current is not None else {})

    def save(self) -> Response:
        """Saves what was sent, or tries it."""
        context, table = self.context, self.table
        values = settings_form.sent_values(self.model, context.form)
        try:
            wrong = check_name(self.name, getattr(context.project, table.section), table.noun) if self._names() else {}
            if wrong := wrong | settings_form.unanswered(self.model, values):
                raise InvalidEntries(wrong)
            before = settings_form.as_written(self.current) if self.current is not None else {}
            changes = settings_form.changes(before, values)
            if self.new and self.kind:
                changes = {"kind": self.kind, **changes}
            accepted = partial(accept, table=self.key)
            foreseen = foresee_table(context.state.file, table.keys(self.name), changes, accept=accepted)
            if context.field("act") == "test":
                return self.page(values, found=self._tested(foreseen))
            asked = [] if self.new else table.consequences(context.project, foreseen, self.name)
            if not_agreed(asked, context.form.get("agreed", [])):
                question = UsageError(
                    "please confirm", remedy="Nothing has been saved yet. Agree to what follows, and save again."
                )
                return self.page(values, question, consequences=asked)
            with context.state.changing(context.field("version")) as file:
                if asked:
                    # The log may be in the place that is left.
                    self.record(self.action, "started")
                save_table(file, table.keys(self.name), changes, new=self.new, accept=accepted)
        except EntraPipelineError as error:
            if isinstance(error, RefusedChange):
                self.record(self.action, "refused", error=error.message)
            return self.page(values, settings_form.at_entries(error, self.key, self.model))
        told = {key: value for key, value in changes.items() if value is not None}
        self.record(self.action, "finished", **told)
        text = f"{table.subject(self.name)} has been saved. {table.saved}"
        return context.go(table.back[1], f"{text[:1].upper()}{text[1:]}{reloaded(context.state)}")

    def _names(self) -> bool:
        return self.new and self.table.named

    def _tested(self, project: Project) -> list[Diagnosis]:
        found = tested(self.table, project, self.name, self.context.state.clock)
        bad = next((one for one in found if one.outcome == "failed"), None)
        self.record(f"{self.table.noun} test", "failed" if bad else "finished", **({"error": bad.told} if bad else {}))
        return found

    def delete(self) -> Response:
        """Deletes the table, unless something uses it."""
        context, table = self.context, self.table
        values = settings_form.as_written(self.current) if self.current is not None else {}
        if used := table.users(context.project, self.name):
            text = f"{table.subject(self.name)} cannot be deleted: {used}"
            return self.page(values, UsageError(text, remedy="Choose another one there first."))
        try:
            with context.state.changing(context.field("version")) as file:
                self.record(f"{table.noun} delete", "finished")
                delete_table(file, table.keys(self.name), accept=partial(accept, table=self.key))
        except EntraPipelineError as error:
            return self.page(values, settings_form.at_entries(error, self.key, self.model))
        text = f"{table.subject(self.name)} has been deleted."
        return context.go(table.back[1], f"{text[:1].upper()}{text[1:]}{reloaded(context.state)}")

    def record(self, action: str, result: str, **details: Any) -> None:
        """Writes into the audit log what was done to it."""
        context = self.context
        subject = self.name[:200]
        record(context.state, context.user, context.request, action=action, subject=subject, result=result, **details)


def _pages(table: SettingsTable) -> tuple[Page, ...]:
    def new(context: RequestContext) -> Response:
        return _Edit(context, table, new=True).show()

    def save_new(context: RequestContext) -> Response:
        return _Edit(context, table, new=True).save()

    def edit(context: RequestContext) -> Response:
        return _Edit(context, table, new=False).show()

    def save(context: RequestContext) -> Response:
        return _Edit(context, table, new=False).save()

    def delete(context: RequestContext) -> Response:
        return _Edit(context, table, new=False).delete()

    root = f"/settings/{table.section}"
    one = f"{root}/{{{table.parameter}}}" if table.named else root
    some = (
        Page(f"{one}/edit", edit, Role.administrator),
        Page(f"{one}/edit", save, Role.administrator, ("POST",)),
        Page(f"{one}/delete", delete, Role.administrator, ("POST",)),
    )
    if not table.named:
        return some
    return (
        *some,
        Page(f"{root}/new", new, Role.administrator),
        Page(f"{root}/new", save_new, Role.administrator, ("POST",)),
    )


PAGES = (*_pages(STORAGE), *_pages(TENANTS), *_pages(MAIL))
