"""Examining an installation: everything that a backup or a restore rests on is tried, before or after it fails.

1. The configuration is read, and every secret it names is looked up; when it cannot be read, nothing else is tried.
2. Each tenant (`tenant_check`): clocks, sign-in and permissions of the app that reads and of the one that restores.
3. Each storage: what it can promise, as `entra-pipeline storage check` tries it.
4. The mail server: connected to and signed in to; nothing is sent.
5. Dagster (`dagster_check`): its instance, its daemon, and the schedules that are off.

Nothing is changed anywhere but in `_check/` of each storage. What belongs here: trying, and saying what to do. What
does not: how each part works, which its own package knows.
"""

from entra_pipeline.doctor.diagnosis import Diagnosis, Outcome
from entra_pipeline.doctor.examination import examine, examine_storage
from entra_pipeline.doctor.tenant_check import examine_tenant

__all__ = ["Diagnosis", "Outcome", "examine", "examine_storage", "examine_tenant"]
