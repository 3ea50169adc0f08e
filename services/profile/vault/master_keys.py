"""Master keys, which wrap the contacts' keys."""

import base64
import binascii
import os
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from chassis.failures import Misconfigured
from services.profile.person.model import ServiceUnavailable
from services.profile.vault.seal import KEY_BYTES, NONCE_BYTES, Sort, Tampered, id_bytes


class MasterKeys(Protocol):
    """What keeps master keys and never hands them out.

    A KMS (of AWS, Google or Azure, Vault's transit engine) goes here: `wrap` and `unwrap` are its
    encrypt and decrypt, with the contact's id as context, and may wait; they are asked for a whole
    batch at once and only for keys that are not open already. They raise `ServiceUnavailable` when
    it does not answer: then nothing is dead-lettered, and everything waits. Where a KMS is too slow
    to be asked per contact, let it keep the value of MASTER_KEYS instead: a secret that it
    decrypts into the environment when a pod starts.
    """

    @property
    def active(self) -> str:
        """The id of the key that wraps."""
        ...

    async def wrap(self, keys: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Contact → key, to contact → key wrapped by the active master key."""
        ...

    async def unwrap(self, master_id: str, wrapped: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Contact → wrapped key, to contact → key. Raises `ServiceUnavailable`, `Tampered`."""
        ...


class LocalMasterKeys:
    """Master keys in this process's memory, from the setting."""

    def __init__(self, setting: str, random: Callable[[int], bytes] = os.urandom) -> None:
        """`setting`: `id:base64,id:base64` of 32 bytes each; the first wraps, all unwrap.

        Raises `Misconfigured`.
        """
        self._random = random
        self._ciphers: Final[dict[str, AESGCM]] = {}
        for part in setting.split(","):
            master_id, _, encoded = part.strip().partition(":")
            key = decoded("MASTER_KEYS", encoded)
            if not master_id or master_id in self._ciphers:
                raise Misconfigured("MASTER_KEYS: every key needs an id of its own, `id:base64`")
            self._ciphers[master_id] = AESGCM(key)
        self._active = next(iter(self._ciphers))

    @property
    def active(self) -> str:
        """The id of the key that wraps."""
        return self._active

    async def wrap(self, keys: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Contact → key, to contact → key wrapped by the active master key."""
        cipher = self._ciphers[self._active]
        return {
            contact_id: (nonce := self._random(NONCE_BYTES))
            + cipher.encrypt(nonce, key, _context(contact_id))
            for contact_id, key in keys.items()
        }

    async def unwrap(self, master_id: str, wrapped: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Contact → wrapped key, to contact → key. Raises `ServiceUnavailable`, `Tampered`."""
        cipher = self._ciphers.get(master_id)
        if cipher is None:
            raise ServiceUnavailable(
                f"keys are wrapped by the master key {master_id!r}: add it to MASTER_KEYS",
                service="master-keys",
            )
        try:
            return {
                contact_id: cipher.decrypt(
                    found[:NONCE_BYTES], found[NONCE_BYTES:], _context(contact_id)
                )
                for contact_id, found in wrapped.items()
            }
        except InvalidTag:
            raise Tampered(f"a key does not open with the master key {master_id!r}") from None


def decoded(setting: str, encoded: str) -> bytes:
    """A key of 32 bytes from base64. Raises `Misconfigured`, never saying the value."""
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise Misconfigured(
            f"{setting}: {KEY_BYTES} random bytes in base64 are needed (`openssl rand -base64 32`)"
        )
    return key


def _context(contact_id: str) -> bytes:
    return Sort.KEY + id_bytes(contact_id)
