"""What all tests share: the S3 server, and a header that says what the report rests on."""

from __future__ import annotations

from tests import s3
from tests.s3 import s3_bucket, s3_endpoint

__all__ = ["s3_bucket", "s3_endpoint"]


def pytest_report_header() -> str:
    """Which S3 server the tests use."""
    return s3.describe()
