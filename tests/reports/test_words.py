"""Names of Graph in a report's page."""

from __future__ import annotations

import pytest

from entra_pipeline.reports.rendering.words import (
    cell_in_words,
    changes_in_words,
    plain_cell,
    properties_in_words,
    prose_in_words,
    type_in_words,
)

pytestmark = pytest.mark.pure


def test_names_of_graph_are_words_with_the_name_on_hover() -> None:
    assert type_in_words("conditional_access_policies").startswith('<span title="conditional_access_policies">C')
    assert properties_in_words("jobTitle, accountEnabled") == (
        '<span title="jobTitle">Job title</span>, <span title="accountEnabled">Account enabled</span>'
    )
    assert properties_in_words("2 links") == "2 links"
    assert properties_in_words("") == type_in_words("") == ""
    assert changes_in_words("jobTitle: <b> → B\nand 3 more properties") == (
        '<span title="jobTitle">Job title</span>: &lt;b&gt; → B\nand 3 more properties'
    )
    told = prose_in_words("jobTitle, mail: managed <elsewhere>")
    assert told == '<span title="jobTitle">Job title</span>, <span title="mail">Mail</span>: managed &lt;elsewhere&gt;'
    assert prose_in_words("it was deleted: it is managed elsewhere") == "it was deleted: it is managed elsewhere"
    told = prose_in_words("it differs in assignedLicenses, and app_role_assignments <are> not there")
    assert told == (
        'it differs in <span title="assignedLicenses">assigned licenses</span>, and '
        '<span title="app_role_assignments">app role assignments</span> &lt;are&gt; not there'
    )
    # Codes of Graph, words and addresses are none.
    for text in ("Authorization_RequestDenied: no rights", "state of the mail", "mailNickname@contoso.com: it has"):
        assert prose_in_words(text) == text
    assert cell_in_words("types", "users") == '<span title="users">Users</span>'
    assert plain_cell("prose", 'jobTitle: of <b> "A"') == 'Job title: of <b> "A"'
    assert plain_cell("text", "jobTitle: <b>") == "jobTitle: <b>"
    # Names of objects are none.
    assert changes_in_words("+ Anna: Sales, Bo") == "+ Anna: Sales, Bo"
