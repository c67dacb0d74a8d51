"""The S3 client: what it sends so that services of every make understand it, and what it sends again.

A request is repeated for a time, not a number of times: an outage of half a minute costs nothing. Checksums are MD5 in
`Content-MD5`, which every service knows; the newer `x-amz-checksum-*` headers and trailers are refused by some.
"""

from __future__ import annotations

import base64
import hashlib
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import botocore.session
from boto3 import Session
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ConnectionError as NoConnection
from botocore.exceptions import HTTPClientError, SSLError
from botocore.utils import parse_timestamp

from entra_pipeline.store.backends.s3.credentials import RenewedCredentials

PATIENCE = 60.0
"""For how many seconds a request is repeated while the service is unwell, where the profile says nothing."""

# AWS API reference, "Error responses": what passes by itself. Statuses from 500 on do, too, but for these two.
_TRANSIENT = {
    "BandwidthLimitExceeded",
    "InternalError",
    "OperationAborted",
    "PriorRequestNotComplete",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
    "TooManyRequestsException",
}
_UNABLE = {501, 505}
SKEWED = {"RequestTimeTooSkewed", "RequestInTheFuture"}
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "InvalidToken", "RequestExpired", "TokenRefreshRequired"}
# A key that was replaced by another one is unknown from then on.
_REPLACED = EXPIRED | {"InvalidAccessKeyId"}
# The answer to HEAD has no body: whether a token is over it does not say.
_UNTOLD, _GUESSES = {"400", "403"}, 2
# One node of a service may have a wrong clock, and a service that was never reached may be a wrong address: these are
# repeated for a few seconds only.
_BRIEFLY = 8.0
_LONGEST_PAUSE = 5.0


def client_config(addressing: str = "") -> Config:
    """Makes the client's configuration: timeouts, and only checksums that every S3 service understands.

    Args:
        addressing: `path` has the bucket in the path of an address, as most services other than AWS want it,
            `virtual` in the host; empty: botocore decides.
    """
    return Config(
        # `_Repeats` decides.
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=32,
        s3={"addressing_style": addressing or "auto"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


def make_client(
    credentials: RenewedCredentials | None,
    *,
    region: str,
    endpoint_url: str | None = None,
    addressing: str = "",
    patience: float = PATIENCE,
) -> BaseClient:
    """Makes an S3 client.

    Args:
        credentials: What requests are signed with; what boto3 finds on this machine when None.
        region: The bucket's region.
        endpoint_url: The service; Amazon's when None.
        addressing: As for `client_config`; empty: the path, unless the service is Amazon's.
        patience: For how many seconds a request is repeated while the service is unwell.
    """
    credentials = credentials or RenewedCredentials.of_machine()
    core = botocore.session.Session()
    core.register_component("credential_provider", credentials)
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=timestamp)
    client: BaseClient = Session(botocore_session=core).client(
        "s3",
        region_name=region,
        endpoint_url=endpoint_url,
        config=client_config(addressing or ("path" if endpoint_url else "")),
    )
    client.meta.events.register("needs-retry.s3", _Repeats(credentials, patience))
    client.meta.events.register("before-call.s3", _md5_instead)
    return client


def timestamp(value: Any) -> datetime:
    """Returns a time of an answer; raises ValueError for what is none.

    botocore's own parser takes any form, and most of the time of a listing of a thousand objects: each has one.
    """
    with suppress(TypeError, ValueError):
        return datetime.fromisoformat(value)
    found: datetime = parse_timestamp(value)
    return found


def clock_difference(headers: Mapping[str, str]) -> timedelta | None:
    """Returns how far the service's clock is ahead of this machine's, by its `Date` header; None when it has none."""
    try:
        return parsedate_to_datetime(headers["date"]) - datetime.now(UTC).replace(microsecond=0)
    except (KeyError, TypeError, ValueError):
        return None


def md5(data: bytes) -> str:
    """Returns the value of `Content-MD5`."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _md5_instead(params: dict[str, Any], **_: Any) -> None:
    """Sends MD5 where an operation needs a checksum: services know it that know no other."""
    checksum = params["context"].get("checksum", {})
    if checksum.pop("request_algorithm", None):
        checksum.pop("request_algorithm_header", None)
        body = params["body"]
        params["headers"]["Content-MD5"] = md5(body.encode() if isinstance(body, str) else body)


class _Repeats:
    """Decides whether a request is sent again, and after how many seconds; botocore calls it after each attempt."""

    def __init__(self, credentials: RenewedCredentials, patience: float) -> None:
        self._credentials, self._patience = credentials, patience
        self._reached = False

    def __call__(
        self,
        response: tuple[Any, dict[str, Any]] | None,
        attempts: int,
        caught_exception: Exception | None,
        request_dict: dict[str, Any],
        **_: Any,
    ) -> float | None:
        since = request_dict["context"].setdefault("entra_pipeline_since", time.monotonic())
        lasted = time.monotonic() - since
        if response is None:
            if not isinstance(caught_exception, NoConnection | HTTPClientError) or isinstance(
                caught_exception, SSLError
            ):
                return None
            return self._pause(attempts, lasted, self._patience if self._reached else _BRIEFLY)
        self._reached = True
        http, parsed = response
        code = str(parsed.get("Error", {}).get("Code", ""))
        if code in _REPLACED or (code in _UNTOLD and attempts <= _GUESSES):
            renewed = self._credentials.renew()
            return self._pause(attempts, lasted, self._patience / 2) if renewed else None
        if code in SKEWED:
            return self._pause(attempts, lasted, _BRIEFLY)
        if (
            code in _TRANSIENT
            or http.status_code == 429
            or (http.status_code >= 500 and http.status_code not in _UNABLE)
        ):
            return self._pause(attempts, lasted, self._patience, http.headers.get("retry-after", ""))
        return None

    def _pause(self, attempts: int, lasted: float, longest: float, asked: str = "") -> float | None:
        pause = min(0.1 * 2 ** min(attempts, 10), _LONGEST_PAUSE) * random.uniform(0.5, 1)  # noqa: S311 - no secret
        if asked.isdigit():
            pause = max(pause, float(asked))
        return None if lasted + pause > min(longest, self._patience) else pause
