"""age (age-encryption.org/v1) with X25519, as far as a data key needs it: files of less than 64 KiB.

What is written here, `age --decrypt` reads, and the other way round; so a data key can be had without this program.
Source: C2SP, age.md ("The age file encryption format"), and BIP 173 for Bech32.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Sequence
from itertools import pairwise

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_VERSION = "age-encryption.org/v1"
_X25519 = b"age-encryption.org/v1/X25519"
_SIGNS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_IDENTITY, _RECIPIENT = "age-secret-key-", "age"
# The only chunk of the payload is the last: counter 0, flag 1.
_LAST = bytes(11) + b"\x01"
_CHUNK = 1 << 16


class AgeIdentity:
    """A secret key.

    Args:
        text: As `age-keygen` writes it: lines that start with `#`, and one with `AGE-SECRET-KEY-1…`.

    Raises:
        ValueError: It is none.
    """

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if len(lines) != 1:
            raise ValueError("is not one AGE-SECRET-KEY-1…")
        self._key = X25519PrivateKey.from_private_bytes(_bech32(lines[0], _IDENTITY))
        self._public = self._key.public_key().public_bytes_raw()

    @property
    def recipient(self) -> str:
        """The public key, `age1…`."""
        return _as_bech32(_RECIPIENT, self._public)

    def decrypt(self, data: bytes) -> bytes:
        """Decrypts a file; raises ValueError when it is none, or is not for this key."""
        header, _, rest = data.partition(b"\n--- ")
        mac, _, payload = rest.partition(b"\n")
        lines = header.decode("ascii", "replace").split("\n")
        if lines[0] != _VERSION or len(payload) > _CHUNK:
            raise ValueError("is no age file")
        for first, body in pairwise(lines):
            kind = first.split(" ")
            if kind[:2] != ["->", "X25519"] or len(kind) != 3:
                continue
            try:
                file_key = self._unwrapped(_unpadded(kind[2]), _unpadded(body))
            except InvalidTag:
                continue
            if not hmac.compare_digest(_mac(file_key, header), _unpadded(mac.decode("ascii", "replace"))):
                raise ValueError("has a header that was changed")
            try:
                return ChaCha20Poly1305(_derived(file_key, payload[:16], b"payload")).decrypt(_LAST, payload[16:], None)
            except InvalidTag:
                raise ValueError("was changed") from None
        raise ValueError(f"is not for {self.recipient}")

    def _unwrapped(self, share: bytes, body: bytes) -> bytes:
        shared = self._key.exchange(X25519PublicKey.from_public_bytes(share))
        return ChaCha20Poly1305(_derived(shared, share + self._public, _X25519)).decrypt(bytes(12), body, None)


def encrypt(data: bytes, recipients: Sequence[str]) -> bytes:
    """Encrypts less than 64 KiB for some recipients, `age1…`; raises ValueError for what is no recipient."""
    file_key = secrets.token_bytes(16)
    lines = [_VERSION]
    for one in recipients:
        public = check_recipient(one)
        own = X25519PrivateKey.generate()
        share = own.public_key().public_bytes_raw()
        shared = own.exchange(X25519PublicKey.from_public_bytes(public))
        body = ChaCha20Poly1305(_derived(shared, share + public, _X25519)).encrypt(bytes(12), file_key, None)
        lines += [f"-> X25519 {_text(share)}", _text(body)]
    header = "\n".join(lines).encode()
    nonce = secrets.token_bytes(16)
    payload = ChaCha20Poly1305(_derived(file_key, nonce, b"payload")).encrypt(_LAST, data, None)
    return header + b"\n--- " + _text(_mac(file_key, header)).encode() + b"\n" + nonce + payload


def check_recipient(text: str) -> bytes:
    """Returns the public key in a recipient; raises ValueError when it is none."""
    return _bech32(text.strip(), _RECIPIENT)


def _mac(file_key: bytes, header: bytes) -> bytes:
    return hmac.digest(_derived(file_key, b"", b"header"), header + b"\n---", hashlib.sha256)


def _derived(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, info).derive(secret)


def _text(data: bytes) -> str:
    return b64encode(data).rstrip(b"=").decode()


def _unpadded(text: str) -> bytes:
    return b64decode(text + "=" * (-len(text) % 4), validate=True)


# --- Bech32 ----------------------------------------------------------------------------------------------------------


def _bech32(text: str, kind: str) -> bytes:
    """Returns the 32 bytes in a Bech32 text of a kind; raises ValueError."""
    lower = text.lower()
    found, _, rest = lower.rpartition("1")
    if found != kind or text not in (lower, text.upper()) or len(rest) < 6 or not set(rest) <= set(_SIGNS):
        raise ValueError(f"is not {kind}1…")
    values = [_SIGNS.index(sign) for sign in rest]
    if _checksum(_expanded(kind) + values) != 1:
        raise ValueError("has a typing error: its checksum does not fit")
    data = _regrouped(values[:-6], 5, 8)
    if len(data) != 32:
        raise ValueError("is not a key of 32 bytes")
    return bytes(data)


def _as_bech32(kind: str, data: bytes) -> str:
    values = _regrouped(list(data), 8, 5, pad=True)
    check = _checksum([*_expanded(kind), *values, *[0] * 6]) ^ 1
    values += [check >> 5 * (5 - place) & 31 for place in range(6)]
    return f"{kind}1" + "".join(_SIGNS[value] for value in values)


def _expanded(kind: str) -> list[int]:
    return [ord(sign) >> 5 for sign in kind] + [0] + [ord(sign) & 31 for sign in kind]


def _checksum(values: Sequence[int]) -> int:
    found = 1
    for value in values:
        top = found >> 25
        found = (found & 0x1FFFFFF) << 5 ^ value
        for place, factor in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            found ^= factor if top >> place & 1 else 0
    return found


def _regrouped(values: Sequence[int], before: int, after: int, *, pad: bool = False) -> list[int]:
    """Regroups bits; what is left over is padded with zeros, or dropped."""
    held = bits = 0
    found = []
    for value in values:
        held, bits = held << before | value, bits + before
        while bits >= after:
            bits -= after
            found.append(held >> bits & (1 << after) - 1)
    if pad and bits:
        found.append(held << after - bits & (1 << after) - 1)
    return found
