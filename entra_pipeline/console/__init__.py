"""The web console: sign in, see status, back up now, browse and compare recovery points, restore.

A request passes these steps, in this order:

1. `headers` sets the security headers of the response; the host must be a known one (`app`).
2. `access_control` finds the session of the cookie, checks the role that the page names, then origin and CSRF token.
3. `pages` answers, a module per group of pages. A page sees a `RequestContext` (`routing`), and through it the
   `AppState`: configuration, stores, caches, Dagster.
4. `rendering` fills the template. An `EntraPipelineError` becomes a page with its remedy.

Pages show what the core finds, by the same functions as the command. Jobs run in Dagster (`dagster`), whose own UI is
proxied behind the same sign-in. `auth` has the two ways to sign in, roles, sessions and the login throttle; `sql` runs
each query in a process of its own.
"""
