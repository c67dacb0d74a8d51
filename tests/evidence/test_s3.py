"""Evidence of a store in a bucket: signed there, gathered there, and checked without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from entra_pipeline.audit import AuditLog
from entra_pipeline.operations.anchor import anchor_of, compare_anchor
from entra_pipeline.store.points.head import head_key
from entra_pipeline.store.verify import verify
from tests.evidence.conftest import FIRST, LAST, SIGNED, build
from tests.support.command import call
from tests.support.s3 import new_bucket
from tests.support.signing import OURS


@pytest.mark.parametrize("server", ["s3_endpoint", "moto_endpoint"])
def test_evidence_of_a_bucket_is_checked_without_it(
    server: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = new_bucket(request.getfixturevalue(server))
    monkeypatch.setenv("EVIDENCE_S3_KEY", bucket.endpoint.access_key_id)
    monkeypatch.setenv("EVIDENCE_S3_SECRET", bucket.endpoint.secret_access_key)
    place = (
        f'kind = "s3"\nbucket = "{bucket.name}"\nendpoint_url = "{bucket.endpoint.url}"\n'
        'access_key_id = { env = "EVIDENCE_S3_KEY" }\nsecret_access_key = { env = "EVIDENCE_S3_SECRET" }'
    )
    world = build(tmp_path, SIGNED, place)
    log = AuditLog(world.store.files)
    assert [one for one in verify(world.store) if not one.ok] == []
    assert list(log.verify()) == []
    anchor = anchor_of(world.store, log)
    assert compare_anchor(world.store, log, anchor) == []
    done = call("--project", world.file, "verify", "contoso", "--expect", str(anchor))
    assert done.code == 0, done.out + done.err

    bundle, script = tmp_path / "bundle.jsonl", tmp_path / "verify_evidence.py"
    made = call("--project", world.file, "evidence", "contoso", "--from", FIRST, "--to", LAST, "--output", bundle)
    assert made.code == 0, made.out + made.err
    script.write_text(call("evidence", "--script").out)

    def check() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", script, bundle, OURS.public.text]
        return subprocess.run(command, capture_output=True, text=True, env={}, check=False)

    good = check()
    assert good.returncode == 0 and "all is as it was signed" in good.stdout, good.stdout + good.stderr
    bundle.write_bytes(bundle.read_bytes().replace(b'"by":"anna"', b'"by":"zora"', 1))
    assert check().returncode != 0

    # Who may write to the bucket and has no key takes the newest point, and puts back the head of before.
    files = bucket.files()
    files.delete([f"_recovery_points/contoso/{world.store.points()[-1]}.json"])
    assert [one for one in verify(world.store) if not one.ok]
    files.delete([head_key("contoso")])
    assert compare_anchor(world.store, log, anchor)
