"""S3 through dagster-aws's S3Resource: imported where storage is S3, as dagster-aws takes half a second to import."""

from __future__ import annotations

from typing import Any

import boto3
from dagster_aws.s3 import S3Resource

from entra_pipeline.store.backends import S3Storage
from entra_pipeline.store.backends.s3.objects import client_config


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


def s3_client(profile: S3Storage) -> Any:
    """A client for a storage profile."""
    resource = S3ProfileResource(
        region_name=profile.region,
        endpoint_url=profile.endpoint_url,
        aws_access_key_id=profile.access_key_id.reveal() if profile.access_key_id else None,
        aws_secret_access_key=profile.secret_access_key.reveal() if profile.secret_access_key else None,
    )
    return resource.get_client()
