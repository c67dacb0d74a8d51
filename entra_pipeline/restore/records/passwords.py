"""First passwords of users that come back: random, to be changed at the first sign-in, for the operator alone.

All passwords of a restore follow from one random secret. The secret is stored encrypted before the first user is made,
and deleted when the passwords are handed over. So a restore that was killed hands over every password, also when it is
another machine that goes on with it, and the store gets no request for each user.

1. `prepare` stores the secret, or reads the one that an earlier run stored.
2. `of` gives the password of a user, the same in every run.
3. `hand_over` writes the passwords of the users that were made to a file; `forget` deletes the secret.

The key that encrypts the secret is not in the store: see `key_of`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import secrets
import stat
import string
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from entra_pipeline.errors import AlreadyExists, IntegrityError, NotInStore, UsageError
from entra_pipeline.project import Tenant
from entra_pipeline.restore.objects.model import RestorePlan, RestoreStep
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.manifest import canonical
from entra_pipeline.text import spreadsheet_text

KEY_FILE = Path(".restore-passwords.key")
"""Made beside the configuration when none is configured."""

_FORMAT = "entra-pipeline/restore-passwords"
_VERSION = 2
_LENGTH = 24
_SIGNS = "!#$%*+-=?@_"
_CLASSES = (string.ascii_lowercase, string.ascii_uppercase, string.digits, _SIGNS)
_HEADER = ("userPrincipalName", "password")
# A key is random text rather than a word: 20 characters are the least that `openssl rand -base64 16` gives.
_LEAST_KEY = 20
# The recommendation of RFC 7914 for interactive use: 16 MiB, some 50 ms.
_COST: dict[str, int] = {"n": 2**14, "r": 8, "p": 1}


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """The stored secret of a restore.

    Attributes:
        salt: Of the key's derivation by scrypt (RFC 7914).
        nonce: Of AES-256-GCM (NIST SP 800-38D).
        secret: The encrypted secret; the id of the job is authenticated with it.
        unknown: Steps whose users were made before the secret was, by one that is gone.
        format: Of this file.
        version: How passwords follow from the secret: those of 1 may begin with a sign.
    """

    salt: bytes
    nonce: bytes
    secret: bytes
    unknown: tuple[int, ...] = ()
    format: str = _FORMAT
    version: int = _VERSION


_DECODER = msgspec.json.Decoder(Sealed)


class PasswordsLocked(UsageError):
    """The stored first passwords of a restore cannot be decrypted with this machine's key."""


class Passwords:
    """The first passwords of the users that a plan makes.

    Args:
        files: The store's place.
        plan: The plan that is carried out.
        key: Gives the text that encrypts the stored secret; called when there is something to encrypt or decrypt.
    """

    def __init__(self, files: ObjectStore, plan: RestorePlan, key: Callable[[], str]) -> None:
        self._files = files
        self._job = plan.id
        self._stored_at = f"_restore/{plan.id}/passwords.json"
        self._key = key
        self._steps = {step.number: step for step in plan.steps if _takes_one(step)}
        self._unknown: frozenset[int] = frozenset()
        self._secret = b""
        self._version = _VERSION

    def prepare(self, made: Collection[int]) -> None:
        """Stores the secret, or reads the one that an earlier run stored; does nothing when the plan makes no user.

        Args:
            made: Numbers of the steps that earlier runs have carried out.

        Raises:
            PasswordsLocked: The secret was stored with another key.
            ConfigurationError: The key cannot be read, or is too short.
            IntegrityError: The stored secret is damaged.
            StoreError: It cannot be stored: no user must be made.
        """
        if not self._steps or self._secret or self._read():
            return
        secret, salt, nonce = secrets.token_bytes(32), secrets.token_bytes(16), secrets.token_bytes(12)
        unknown = tuple(sorted(self._steps.keys() & set(made)))
        sealed = self._cipher(salt).encrypt(nonce, secret, self._bound(unknown))
        stored = Sealed(salt=salt, nonce=nonce, secret=sealed, unknown=unknown)
        try:
            self._files.create(self._stored_at, canonical(stored))
        except AlreadyExists:
            self._read()
            return
        self._secret, self._unknown = secret, frozenset(unknown)

    def of(self, step: RestoreStep) -> str:
        """The password of the user that a step makes, always the same: 24 letters, digits and signs of all kinds.

        It begins with a letter or digit: in a spreadsheet, a cell that begins with `=`, `+`, `-` or `@` is a formula,
        and what marks it as text would become a part of the password.
        """
        if not self._secret:
            raise RuntimeError("passwords are prepared before the first user is made")
        chance = _Stream(self._secret, step.id)
        signs = [chance.choice(one) for one in _CLASSES]
        signs += [chance.choice("".join(_CLASSES)) for _ in range(_LENGTH - len(signs))]
        for last in range(len(signs) - 1, 0, -1):
            other = chance.below(last + 1)
            signs[last], signs[other] = signs[other], signs[last]
        if self._version > 1:
            first = next(place for place, sign in enumerate(signs) if sign.isalnum())
            signs[0], signs[first] = signs[first], signs[0]
        return "".join(signs)

    def of_made(self, made: Collection[int]) -> list[tuple[str, str]]:
        """User principal name, as text to a spreadsheet, and password of every user that the steps have made."""
        return [
            (spreadsheet_text(str(step.body["userPrincipalName"])), self.of(step))
            for number, step in self._steps.items()
            if number in made and number not in self._unknown
        ]

    def hand_over(self, made: Collection[int], file: Path) -> int:
        """Writes the passwords of the users that the steps have made to a CSV file that only its owner can read.

        A password that is in the file already is not written again.

        Args:
            made: Numbers of the steps.
            file: The file; made when there is a first password, with mode 0600.

        Returns:
            How many passwords were handed over.

        Raises:
            UsageError: The file cannot be written.
            And what `prepare` raises.
        """
        if not self._steps or not (self._secret or self._read()):
            return 0
        rows = self.of_made(made)
        if rows:
            try:
                _add(file, rows)
            except OSError as error:
                raise UsageError(
                    f"{file} cannot be written ({error.strerror}); the first passwords stay in the store, encrypted",
                    remedy="Choose a file in another folder, and resume the restore.",
                ) from None
        return len(rows)

    def forget(self) -> None:
        """Deletes the stored secret: what was handed over cannot be had a second time."""
        if self._steps:
            self._files.delete([self._stored_at])

    def _read(self) -> bool:
        """Reads the stored secret; false when there is none."""
        try:
            data = self._files.read(self._stored_at)
        except NotInStore:
            return False
        try:
            stored = _DECODER.decode(data)
        except msgspec.DecodeError as error:
            raise IntegrityError(f"{self._stored_at} cannot be read: {error}", remedy=self._if_lost()) from error
        try:
            self._secret = self._cipher(stored.salt).decrypt(stored.nonce, stored.secret, self._bound(stored.unknown))
        except InvalidTag:
            raise PasswordsLocked(
                f"the first passwords of restore {self._job} were encrypted with a key that this machine does not have",
                remedy="Set passwords_key in [tenants.NAME.restore] to the same secret on every machine that restores, "
                f"or copy {KEY_FILE} from beside the configuration of the machine that began the restore.\n"
                f"  → {self._if_lost()}",
            ) from None
        self._unknown, self._version = frozenset(stored.unknown), stored.version
        return True

    def _if_lost(self) -> str:
        return (
            f"If the key is lost, delete {self._stored_at} from the storage and resume: an administrator then has to "
            "set new passwords for the users created so far."
        )

    def _bound(self, unknown: Collection[int]) -> bytes:
        return msgspec.json.encode([_FORMAT, self._job, list(unknown)])

    def _cipher(self, salt: bytes) -> AESGCM:
        return AESGCM(hashlib.scrypt(self._key().encode(), salt=salt, dklen=32, **_COST))


def key_of(tenant: Tenant) -> str:
    """The text that encrypts first passwords of a tenant's users: `passwords_key`, else that of a file of this machine.

    The file `KEY_FILE` beside the configuration is made when it is asked for the first time, with mode 0600.

    Raises:
        ConfigurationError: The key cannot be found, or has fewer than 20 characters.
    """
    configured = tenant.restore.passwords_key if tenant.restore else None
    if configured is not None:
        key = configured.reveal()
        if len(key) < _LEAST_KEY:
            raise tenant.error(
                "restore.passwords_key",
                f"the key has fewer than {_LEAST_KEY} characters",
                remedy="Make one: openssl rand -base64 32",
            )
        return key
    file = tenant.resolve(KEY_FILE)
    try:
        return _machine_key(file)
    except OSError as error:
        raise tenant.error(
            "restore.passwords_key",
            f"it is not set, and {file} cannot be created or read ({error.strerror})",
            remedy='Set it to a secret, such as { env = "RESTORE_PASSWORDS_KEY" }.',
        ) from None


def is_guest(body: dict[str, Any]) -> bool:
    """Whether properties are those of a guest, who is invited and has no password here."""
    return bool("#EXT#" in str(body.get("userPrincipalName")) and body.get("mail"))


def random_key() -> str:
    """A key for passwords that nobody has to read again in another process."""
    return secrets.token_urlsafe(32)


def _takes_one(step: RestoreStep) -> bool:
    return (step.table, step.action) == ("users", "create") and not is_guest(step.body)


def _machine_key(file: Path) -> str:
    if not file.exists():
        # Whole or not at all, and the first of several processes wins.
        made = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as sink:
            sink.write(random_key() + "\n")
            sink.flush()
            os.fsync(sink.fileno())
        try:
            os.link(made, file)
        except FileExistsError:
            pass
        finally:
            made.unlink()
    return file.read_text().strip()


def _add(file: Path, rows: Collection[tuple[str, str]]) -> None:
    """Adds rows to a CSV file that only its owner can read, but for those that it has.

    Raises:
        UsageError: The file is a link, belongs to others or can be read by them, or holds something else.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    try:
        descriptor = os.open(file, flags, 0o600)
    except OSError as error:
        raise _unfit(file, f"cannot be opened: {error.strerror}") from None
    with os.fdopen(descriptor, "r+", newline="") as sink:
        _require_private(file, os.fstat(sink.fileno()))
        known = [tuple(row) for row in csv.reader(sink)]
        if known and known[0] != _HEADER:
            raise _unfit(file, "has other content")
        text = io.StringIO()
        csv.writer(text).writerows([*([] if known else [_HEADER]), *(row for row in rows if row not in known)])
        sink.write(text.getvalue())
        sink.flush()
        os.fsync(sink.fileno())


def require_private(file: Path) -> None:
    """Checks that a file for first passwords, if it is there, is a plain one that only its owner can read.

    Raises:
        UsageError: It is a link, or belongs to others, or can be read by them.
    """
    try:
        _require_private(file, file.lstat())
    except FileNotFoundError:
        return


def _require_private(file: Path, status: os.stat_result) -> None:
    # A second name could be in a folder that others read.
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise _unfit(file, "is a link or not a regular file")
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise _unfit(file, "can be read by others")


def _unfit(file: Path, problem: str) -> UsageError:
    return UsageError(
        f"the file for first passwords {file} {problem}",
        remedy="Choose another file, or remove this one; then resume the restore. It still has the passwords.",
    )


class _Stream:
    """Numbers that follow from a secret and a name: a keyed BLAKE2b in counter mode (RFC 7693)."""

    def __init__(self, secret: bytes, name: str) -> None:
        self._numbers = self._all(secret, name.encode())

    @staticmethod
    def _all(secret: bytes, name: bytes) -> Iterator[int]:
        block = 0
        while True:
            yield from hashlib.blake2b(name + block.to_bytes(4, "big"), key=secret).digest()
            block += 1

    def below(self, limit: int) -> int:
        """A number from 0 to `limit` - 1 (256 at most), each as likely."""
        fair = 256 - 256 % limit
        return next(number for number in self._numbers if number < fair) % limit

    def choice(self, signs: str) -> str:
        """One of the signs."""
        return signs[self.below(len(signs))]
