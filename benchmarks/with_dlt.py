"""(b) The same extract with dlt's rest_api source.

`python -m benchmarks.with_dlt as-installed PROJECT URL …` prints JSON.

The same queries with the same properties and pages, links followed by the paginator, memberships and sponsors in tables
of their own, as dlt does with all lists. `tuned` is what somebody makes of it who knows dlt well: two workers to
normalise, large buffers, and lists and objects kept as JSON.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.plain import token

# Read by dlt from the environment (dlt doc: performance), before it is imported.
_QUIET = {"RUNTIME__LOG_LEVEL": "ERROR", "RUNTIME__DLTHUB_TELEMETRY": "false"}
_TUNED = {"NORMALIZE__WORKERS": "2", "DATA_WRITER__BUFFER_MAX_ITEMS": "50000"}


class Extract(msgspec.Struct, kw_only=True):
    """What the extract took: seconds from the first request to the last Parquet file, and rows by table."""

    seconds: float
    rows: dict[str, int]


def extract(project_file: Path, urls: list[str], *, tuned: bool) -> Extract:
    """Runs the extract of the given queries."""
    os.environ.update(_QUIET | _TUNED if tuned else _QUIET)
    import dlt
    from dlt.sources.rest_api import rest_api_source

    root, access = token(project_file)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DESTINATION__FILESYSTEM__BUCKET_URL"] = Path(folder, "out").as_uri()
        resources: list[Any] = [
            {
                "name": _name(url),
                **({"max_table_nesting": 1 if "members" in url or "$expand" in url else 0} if tuned else {}),
                "endpoint": {
                    "path": url,
                    "data_selector": "value",
                    "paginator": {"type": "json_link", "next_url_path": "['@odata.nextLink']"},
                },
            }
            for url in urls
        ]
        source = rest_api_source(
            {
                "client": {"base_url": f"{root}/", "auth": {"type": "bearer", "token": access}},
                "resources": resources,
            }
        )
        pipeline = dlt.pipeline(
            "extract", destination="filesystem", dataset_name="tenant", pipelines_dir=str(Path(folder, "work"))
        )
        started = time.perf_counter()
        pipeline.run(source, loader_file_format="parquet")
        seconds = time.perf_counter() - started
        counts = pipeline.last_trace.last_normalize_info.row_counts
    return Extract(seconds=seconds, rows={name: rows for name, rows in counts.items() if not name.startswith("_dlt")})


def _name(url: str) -> str:
    """`users/delta?…` → `users`, `users?$select=id&$expand=sponsors(…)` → `users_sponsors`."""
    path, _, relation = url.partition("$expand=")
    return "_".join(filter(None, (path.partition("?")[0].partition("/")[0], relation.partition("(")[0])))


if __name__ == "__main__":
    how, project, *queries = sys.argv[1:]
    sys.stdout.buffer.write(msgspec.json.encode(extract(Path(project), queries, tuned=how == "tuned")))
