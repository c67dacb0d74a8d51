"""The storage of a scope; S3 through dagster-aws's S3Resource."""

from __future__ import annotations

from typing import Any

import boto3
import dagster as dg
from dagster_aws.s3 import S3Resource
from pydantic import Field

from entra_pipeline.project import LocalStorage, S3Storage, load_project
from entra_pipeline.store.files.s3 import client_config
from entra_pipeline.store.opening import open_files
from entra_pipeline.store.recovery_points import ScopeStore


class S3ProfileResource(S3Resource):
    """dagster-aws's S3Resource, with what S3 services other than AWS need: path-style addresses, older checksums."""

    def get_client(self) -> Any:
        """An S3 client; each call makes a new one."""
        return boto3.Session(profile_name=self.profile_name).client(
            "s3",
            region_name=self.region_name,
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.aws_access_key_id,
            aws_secret_access_key=self.aws_secret_access_key,
            config=client_config(path_style=bool(self.endpoint_url)),
        )


class StorageResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens the stores of a project's scopes."""

    project_file: str = Field(description="The project's dagster_project.toml.")

    def open(self, scope: str) -> ScopeStore:
        """The store of a scope; raises ConfigurationError when a setting does not work."""
        project = load_project(self.project_file)
        profile = project.storage[project.scope(scope).storage]
        client = None if isinstance(profile, LocalStorage) else _s3(profile).get_client()
        store = ScopeStore(open_files(profile, client), scope)
        store.files.check()
        return store


def _s3(profile: S3Storage) -> S3Resource:
    return S3ProfileResource(
        region_name=profile.region,
        endpoint_url=profile.endpoint_url,
        aws_access_key_id=profile.access_key_id.reveal() if profile.access_key_id else None,
        aws_secret_access_key=profile.secret_access_key.reveal() if profile.secret_access_key else None,
    )
