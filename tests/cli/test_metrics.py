"""`metrics`: what it says of scopes, good and bad."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.support.command import Place


def samples(text: str) -> dict[tuple[str, ...], float]:
    return {
        (
            sample.name.removeprefix("entra_pipeline_"),
            *(value for _, value in sorted(sample.labels.items())),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_are_what_the_points_and_job_records_say(backed_up: Place, tmp_path: Path) -> None:
    file = tmp_path / "entra.prom"
    assert backed_up.call("metrics", "--output", file).code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["entra.prom"]
    found = samples(file.read_text())
    store = backed_up.store()
    newest = store.manifest(store.points()[-1])
    assert found["recovery_points", "all"] == len(store.points())
    assert found["last_point_gaps", "all"] == sum(len(entry.gaps) for entry in newest.tables.values())
    assert found["last_point_requests", "all"] == sum(entry.requests for entry in newest.tables.values()) > 0
    assert found["jobs_24h", "all", "finished", "backup"] == 2
    assert found["scope_state", "few", "never backed up"] == 1
    assert ("last_point_timestamp_seconds", "few") not in found


def test_a_scope_whose_store_cannot_be_read_is_down_and_the_others_are_told(place: Place) -> None:
    away = (
        '[storage.away]\nkind = "s3"\nbucket = "entra-backup"\naccess_key_id = { env = "NO_SUCH_KEY" }\n'
        'secret_access_key = { env = "NO_SUCH_KEY" }\n'
        '[scopes.away]\ntenant = "contoso"\nstorage = "away"\nprotect = "all"\n'
    )
    place.file.write_text(place.file.read_text() + away)
    result = place.call("metrics")
    assert result.code == 0, result.err
    up = {key[1]: value for key, value in samples(result.out).items() if key[0] == "scope_up"}
    assert up == {"all": 1, "few": 1, "away": 0}
