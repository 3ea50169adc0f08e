"""What is in the database for a while and about several contacts, sealed with the process's key.

A row of the outbox lives for half a second and a kept answer for a day, but what they held stays
in the write-ahead log and its backups. The key stands wrapped beside what it seals, so that any
process with the master keys can open it.
"""

import os
from collections.abc import Callable
from typing import Final

import msgspec

from services.profile.person.model import NOBODY
from services.profile.vault.master_keys import MasterKeys
from services.profile.vault.seal import KEY_BYTES, NONCE_BYTES, Key, Sort

_ENVELOPE: Final = msgspec.msgpack.Decoder(tuple[str, bytes, bytes])


class Envelope:
    """Implements `chassis.postgres.Seal`."""

    def __init__(self, masters: MasterKeys, random: Callable[[int], bytes] = os.urandom) -> None:
        self._masters = masters
        self._random = random
        self._own: tuple[str, bytes, Key] | None = None

    async def seal(self, plain: bytes) -> bytes:
        """Seal something for whoever has the master keys."""
        if self._own is None:
            key = self._random(KEY_BYTES)
            wrapped = (await self._masters.wrap({NOBODY: key}))[NOBODY]
            self._own = self._masters.active, wrapped, Key(NOBODY, key)
        master_id, wrapped, opened = self._own
        sealed = opened.seal(Sort.OUTBOX, plain, self._random(NONCE_BYTES))
        return msgspec.msgpack.encode((master_id, wrapped, sealed))

    async def open(self, sealed: bytes) -> bytes:
        """What was sealed. Raises `ServiceUnavailable`, `Tampered`."""
        master_id, wrapped, inner = _ENVELOPE.decode(sealed)
        key = (await self._masters.unwrap(master_id, {NOBODY: wrapped}))[NOBODY]
        return Key(NOBODY, key).open(Sort.OUTBOX, inner)
