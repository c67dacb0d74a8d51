"""What S3 requests are signed with, and how it is renewed while a backup goes on.

Credentials of a role expire after hours or minutes; keys in a file are replaced by whoever rotates them. botocore
renews the former when their time is nearly over. What the service refuses all the same is looked up anew, whatever it
came from.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import botocore.session
from botocore.credentials import Credentials, ReadOnlyCredentials, RefreshableCredentials
from botocore.exceptions import CredentialRetrievalError, MetadataRetrievalError

# botocore renews from fifteen and, making everybody wait, ten minutes before the end: credentials that live no longer
# than that would be renewed for every request.
_ADVISORY, _MANDATORY = 900.0, 600.0
_AGAIN_SECONDS = 10.0


class RenewedCredentials(Credentials):  # type: ignore[misc]
    """Credentials that botocore signs with; each request asks for them.

    Args:
        find: Looks them up; returns None when there are none.
    """

    def __init__(self, find: Callable[[], Credentials | None]) -> None:
        self._find = find
        self._turn = threading.Lock()
        self._found: Credentials | None = None

    @classmethod
    def of_machine(cls) -> RenewedCredentials:
        """What boto3 finds in environment, files, the container or the machine's role."""
        return cls(lambda: botocore.session.Session().get_credentials())

    def load_credentials(self) -> RenewedCredentials | None:
        """Returns itself; None when there are no credentials. botocore asks when it makes a client."""
        return self if self._current() else None

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Returns what to sign with now; renews it when its time is nearly over.

        Raises:
            CredentialRetrievalError, MetadataRetrievalError: What gives the credentials has not given any for ten
                seconds.
        """
        deadline = time.monotonic() + _AGAIN_SECONDS
        while True:
            try:
                found = self._current()
                return found.get_frozen_credentials() if found else ReadOnlyCredentials("", "", None)
            except (CredentialRetrievalError, MetadataRetrievalError):
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.5)

    def renew(self) -> bool:
        """Looks the credentials up anew; tells whether another attempt may fare better.

        That is so when they are other ones than before, or of a kind that expires.
        """
        with self._turn:
            before = self._found.get_frozen_credentials() if self._found else None
            self._found = self._look_up()
            after = self._found.get_frozen_credentials() if self._found else None
            return after is not None and (after != before or isinstance(self._found, RefreshableCredentials))

    def origin(self) -> tuple[str, datetime | None]:
        """Returns where the credentials come from, in botocore's words, and until when they are valid (UTC)."""
        found = self._current()
        if found is None:
            return "", None
        found.get_frozen_credentials()
        until = found._expiry_time if isinstance(found, RefreshableCredentials) else None
        return str(found.method or ""), until.astimezone(UTC) if until else None

    def _current(self) -> Credentials | None:
        with self._turn:
            if self._found is None:
                self._found = self._look_up()
            return self._found

    def _look_up(self) -> Credentials | None:
        found = self._find()
        if isinstance(found, RefreshableCredentials):
            found.get_frozen_credentials()
            left = (found._expiry_time - datetime.now(UTC)).total_seconds()
            found._advisory_refresh_timeout = min(_ADVISORY, left / 3)
            found._mandatory_refresh_timeout = min(_MANDATORY, left / 6)
        return found
