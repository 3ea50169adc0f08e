"""Sealing with a key, usually that of the contact it is about. Pure.

Sealed: a version byte, a 96-bit random nonce, and AES-256-GCM's text and tag. Whose it is and what
it is are authenticated with it, so nothing sealed can be passed off as something else.
"""

from enum import Enum
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_VERSION: Final = b"\x01"
_HEAD: Final = len(_VERSION) + NONCE_BYTES


class Sort(bytes, Enum):
    """What is sealed."""

    KEY = b"key"
    DOCUMENT = b"document"
    EVENT = b"event"
    CONSENT = b"consent"
    OUTBOX = b"outbox"


def id_bytes(contact_id: str) -> bytes:
    """The 16 bytes of a contact's id, which is in its one written form."""
    return bytes.fromhex(contact_id.replace("-", ""))  # a third of what making a UUID costs


class Tampered(Exception):
    """Sealed bytes are not what was written there: a broken disk or a forger, never a state of
    affairs. The text says what it is, and nothing of what it holds."""


class Key:
    """A contact's key, opened."""

    __slots__ = ("_cipher", "_contact")

    def __init__(self, contact_id: str, key: bytes) -> None:
        self._contact = id_bytes(contact_id)
        self._cipher = AESGCM(key)

    def seal(self, sort: Sort, plain: bytes, nonce: bytes) -> bytes:
        """Seal something of the contact's. `nonce`: random bytes, never used before."""
        return _VERSION + nonce + self._cipher.encrypt(nonce, plain, sort + self._contact)

    def open(self, sort: Sort, sealed: bytes) -> bytes:
        """What was sealed. Raises `Tampered`."""
        if sealed[:1] != _VERSION:
            raise Tampered(f"a {sort.name.lower()} is of an unknown version")
        try:
            return self._cipher.decrypt(sealed[1:_HEAD], sealed[_HEAD:], sort + self._contact)
        except InvalidTag:
            raise Tampered(f"a {sort.name.lower()} does not open with its contact's key") from None
