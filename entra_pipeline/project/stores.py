"""From a storage profile of the project to a store.

What belongs here: turning settings into clients, so that what a place refuses is blamed on the setting at fault, with
file and key. What does not: what the settings may be (`project`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import boto3
from botocore.client import BaseClient

from entra_pipeline.clock import Clock, system_clock
from entra_pipeline.errors import StoreError
from entra_pipeline.project import LocalStorage, Project, S3Storage, Scope
from entra_pipeline.store.backends import LocalObjectStore, ObjectStore, S3ObjectStore
from entra_pipeline.store.backends.s3 import client_config
from entra_pipeline.store.commit import complete_index
from entra_pipeline.store.recovery_points import ScopeStore


def open_store(project: Project, scope: Scope | str, clock: Clock = system_clock) -> ScopeStore:
    """The store of a scope (or of the scope of that name).

    Nothing is read or written yet; `ScopeStore.files.check` tells whether the place can be used.

    Raises:
        UsageError: There is no such scope.
        ConfigurationError: A secret cannot be found.
    """
    if isinstance(scope, str):
        scope = project.scope(scope)
    return ScopeStore(open_files(project.storage[scope.storage]), scope.name, clock, scope.retention)


def open_files(storage: LocalStorage | S3Storage, client: BaseClient | None = None) -> ObjectStore:
    """The place of a storage profile.

    Every later failure that is the fault of a setting (missing bucket, refused credentials, unreachable endpoint,
    forbidden folder) is a ConfigurationError that names file and key.

    Args:
        storage: The profile.
        client: boto3's S3 client to use; one made of the profile when None.

    Raises:
        ConfigurationError: A secret cannot be found.
    """
    if isinstance(storage, LocalStorage):
        return LocalObjectStore(storage.root, error_factory=storage.error)
    return S3ObjectStore(
        client or _client(storage),
        storage.bucket,
        storage.prefix,
        duckdb_secret=_duckdb_secret(storage),
        object_lock=storage.object_lock or "",
        error_factory=storage.error,
    )


def storages_of(project: Project, scope: str | None = None) -> dict[str, ObjectStore]:
    """The places that scopes are stored in, by the name of their profile.

    Args:
        project: The project.
        scope: Only that of this scope; UsageError when there is none of the name.
    """
    scopes = [project.scope(scope)] if scope else project.scopes.values()
    return {name: open_files(project.storage[name]) for name in sorted({one.storage for one in scopes})}


def complete_indexes(project: Project) -> Iterator[tuple[str, int, str]]:
    """Writes the indexes of recovery points that older releases did not; a place that may only be read goes without.

    Yields:
        The name of each scope, how many of its points were indexed, and what went wrong, if anything.
    """
    for name in project.scopes:
        try:
            yield name, len(complete_index(open_store(project, name))), ""
        except StoreError as error:
            yield name, 0, error.message


def _client(storage: S3Storage) -> BaseClient:
    return boto3.client(
        "s3",
        endpoint_url=storage.endpoint_url,
        region_name=storage.region,
        aws_access_key_id=storage.access_key_id.reveal() if storage.access_key_id else None,
        aws_secret_access_key=storage.secret_access_key.reveal() if storage.secret_access_key else None,
        config=client_config(path_style=bool(storage.endpoint_url)),
    )


def _duckdb_secret(storage: S3Storage) -> Mapping[str, str]:
    """DuckDB's own access: the profile's keys, or those that boto3 finds in the environment or the machine's role."""
    secret = {"REGION": storage.region}
    if storage.access_key_id and storage.secret_access_key:
        secret |= {"KEY_ID": storage.access_key_id.reveal(), "SECRET": storage.secret_access_key.reveal()}
    elif credentials := boto3.Session().get_credentials():
        found = credentials.get_frozen_credentials()
        secret |= {"KEY_ID": found.access_key, "SECRET": found.secret_key}
        if found.token:
            secret["SESSION_TOKEN"] = found.token
    if storage.endpoint_url:
        address = urlsplit(storage.endpoint_url)
        secret |= {
            "ENDPOINT": f"{address.netloc}{address.path}".rstrip("/"),
            "URL_STYLE": "path",
            "USE_SSL": str(address.scheme == "https").lower(),
        }
    return secret
