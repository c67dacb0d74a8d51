"""SQL over time: views and macros over everything that is stored, in DuckDB.

For every object type and relation `users` is the latest state of all scopes, `users_at(scope, moment)` the state of one
scope at a moment, and `users_history` every version with the time in which it was valid; `recovery_points`, `jobs`,
`audit_events` and the logs are views too (docs/sql.md).
"""

from entra_pipeline.analysis.sql.relations import Relations
from entra_pipeline.analysis.sql.session import SqlSession, plain
from entra_pipeline.analysis.sql.writing import write_catalog

__all__ = ["Relations", "SqlSession", "plain", "write_catalog"]
