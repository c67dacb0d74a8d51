"""The web console: sign in, see, back up now, browse a moment, restore.

What belongs here: sessions, roles, pages, and Dagster's own UI behind the same sign-in. What does not: the work itself.
Pages show what the core finds, by the same functions as the command; jobs run in Dagster.

Where what is: `app` answers requests and holds every rule that all pages share (session, role, CSRF, headers);
`routing` is what a page sees; `pages` has a module per group of pages; `signing_in` the two ways to sign in; `dagster`
all that knows Dagster.
"""
