"""Listing a bucket, on services that page in their own ways.

1. ListObjectsV2 is asked; a service that does not have it is asked for ListObjects.
2. A page that says there are more and does not say how to go on is followed by what comes after its last key.
3. A page that does not get further ends the listing with an error: an incomplete listing would lose objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from botocore.client import BaseClient
from botocore.exceptions import ClientError

from entra_pipeline.errors import StoreError
from entra_pipeline.store.backends.s3.errors import is_unknown_here


class Listing:
    """Lists the objects of a bucket.

    Args:
        client: boto3's S3 client.
        bucket: Name of the bucket.
    """

    def __init__(self, client: BaseClient, bucket: str) -> None:
        self._client, self._bucket = client, bucket
        self._second = True

    def pages(self, prefix: str, delimiter: str = "") -> Iterator[dict[str, Any]]:
        """Yields the pages of a listing, each as botocore gives it (`Contents`, `CommonPrefixes`), in order.

        Raises:
            ClientError, BotoCoreError: The service refuses or cannot be reached.
            StoreError: The pages do not lead to an end.
        """
        asked: dict[str, Any] = {"Bucket": self._bucket, "Prefix": prefix}
        if delimiter:
            asked["Delimiter"] = delimiter
        last = token = ""
        while True:
            page = self._page(asked)
            names = _names(page)
            if names and min(names) <= last:
                raise self._endless(prefix, last)
            yield page
            if not page.get("IsTruncated"):
                return
            before, token = token, str(page.get("NextContinuationToken") or "")
            if token == before and not names:
                raise self._endless(prefix, last)
            last = max((last, *names))
            asked.pop("ContinuationToken", None)
            if token:
                asked["ContinuationToken"] = token
            elif self._second:
                asked["StartAfter"] = last
            else:
                asked["Marker"] = page.get("NextMarker") or last

    def _endless(self, prefix: str, last: str) -> StoreError:
        return StoreError(
            f"the listing of s3://{self._bucket}/{prefix} says that there is more and does not go on after {last!r}",
            remedy="Use a service whose listings are in the order of keys and end.",
        )

    def _page(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self._second:
            try:
                page: dict[str, Any] = self._client.list_objects_v2(**asked)
            except ClientError as error:
                if not is_unknown_here(error):
                    raise
            else:
                if not (page.get("IsTruncated") and "KeyCount" not in page and "NextContinuationToken" not in page):
                    return page
                # It has answered as ListObjects does, and would do so again.
            self._second = False
            if "StartAfter" in asked:
                asked["Marker"] = asked.pop("StartAfter")
            asked.pop("ContinuationToken", None)
        answer: dict[str, Any] = self._client.list_objects(**asked)
        return answer


def _names(page: dict[str, Any]) -> list[str]:
    return [one["Key"] for one in page.get("Contents", ())] + [one["Prefix"] for one in page.get("CommonPrefixes", ())]


def every_page(ask: Callable[..., dict[str, Any]], prefix: str, **asked: Any) -> Iterator[dict[str, Any]]:
    """Yields the pages of ListObjectVersions or ListMultipartUploads.

    Args:
        ask: The client's method.
        prefix: What keys start with.
        asked: What else it takes.
    """
    markers: dict[str, str] = {}
    while True:
        page = ask(Prefix=prefix, **asked, **markers)
        yield page
        following = {
            name.removeprefix("Next"): page[name]
            for name in ("NextKeyMarker", "NextVersionIdMarker", "NextUploadIdMarker")
            if page.get(name)
        }
        if not page.get("IsTruncated") or not following or following == markers:
            return
        markers = following
