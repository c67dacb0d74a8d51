"""S3 through dagster-aws's S3Resource: imported where storage is S3, as dagster-aws takes half a second to import."""

from __future__ import annotations

from typing import Any

from dagster_aws.s3 import S3Resource
from pydantic import PrivateAttr

from entra_pipeline.store.backends import S3Storage


class S3ProfileResource(S3Resource):
    """dagster-aws's S3Resource for a storage profile: its client is that of the command and the console."""

    _profile: S3Storage = PrivateAttr()

    @classmethod
    def of(cls, profile: S3Storage) -> S3ProfileResource:
        """The resource of a profile."""
        resource = cls(region_name=profile.region, endpoint_url=profile.endpoint_url)
        resource._profile = profile
        return resource

    def get_client(self) -> Any:
        """An S3 client; each call makes a new one."""
        return self._profile.client()


def s3_client(profile: S3Storage) -> Any:
    """A client for a storage profile."""
    return S3ProfileResource.of(profile).get_client()
