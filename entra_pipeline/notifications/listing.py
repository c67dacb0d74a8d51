"""Notification profiles as rows: whom they reach, for which events, and what waits to be sent."""

from __future__ import annotations

from typing import Any

from entra_pipeline.channels import CHANNELS
from entra_pipeline.notifications import outbox
from entra_pipeline.notifications.dispatch import places
from entra_pipeline.project import Project


def profile_rows(project: Project) -> list[dict[str, Any]]:
    """Makes a row per profile, with the notices that wait and the last problem.

    Raises:
        StoreError: A place cannot be read.
    """
    waiting: dict[str, list[outbox.Notice]] = {name: [] for name in project.notifications}
    for _, open_place in places(project):
        files = open_place()
        for _, notice in outbox.notices(files, [one.key for one in outbox.waiting(files)]):
            waiting.setdefault(notice.profile, []).append(notice)
    return [
        {
            "profile": name,
            **{channel.setting: channel.shown(profile) for channel in CHANNELS.values()},
            "backup": profile.backup,
            "restore": profile.restore,
            "prune": profile.prune,
            "drill": profile.drill,
            "unusual": profile.unusual,
            "digest": f"{profile.digest} at {profile.digest_at} ({profile.timezone})" if profile.digest else "",
            "waiting": len(waiting[name]),
            "problem": next((notice.problem for notice in waiting[name] if notice.problem), ""),
        }
        for name, profile in project.notifications.items()
    ]
