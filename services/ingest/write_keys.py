"""Write keys: what opens the tracking door, whose events come with it, and how many."""

import asyncio
import base64
import binascii
import hashlib
import secrets
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

import msgspec
import structlog

from chassis.clock import Clock
from chassis.transient import transient

_EVERY: Final = timedelta(seconds=3)  # with the patience, well under the 10 s that are promised
_PATIENCE_S: Final = 5.0
_PREFIX: Final = 8
_SECRET_BYTES: Final = 24  # nobody guesses that, so a plain hash will do
_logger = structlog.get_logger()


class WriteKey(msgspec.Struct, frozen=True):
    """A key of one of the business's sources, as it is kept."""

    write_key_id: str
    name: str
    source: str
    """Whose events come with it; keys may share one."""
    secret_hash: bytes
    secret_prefix: str
    max_events_per_second: int
    """Over all replicas; 0: the usual."""
    version: int
    create_time: datetime
    revoke_time: datetime | None = None
    last_use_time: datetime | None = None
    """To the hour."""

    def ended(self, now: datetime) -> bool:
        """Whether it opens the door no more."""
        return self.revoke_time is not None and self.revoke_time <= now


class Opened(NamedTuple):
    """What a key that is good allows."""

    key: str
    """Whose limit counts."""
    source: str
    per_s: int


class Keys(Protocol):
    """Where keys are kept."""

    async def in_force(self, now: datetime) -> Sequence[WriteKey]:
        """All keys that have not ended."""
        ...

    async def used(self, write_key_ids: Collection[str], hour: datetime) -> None:
        """Keep that keys were used within the hour."""
        ...


def new_secret() -> str:
    """A secret that nobody has."""
    return f"wk_{secrets.token_urlsafe(_SECRET_BYTES)}"


def prefix_of(secret: str) -> str:
    """What of a secret may be shown, to tell keys apart."""
    return secret[:_PREFIX]


def etag_of(version: int) -> str:
    """What a reader sends back to say what it has seen."""
    return f"e{version}"


def hash_of(secret: str) -> bytes:
    """By which a key is found: no time tells how near a guess came."""
    return hashlib.sha256(secret.encode(errors="replace")).digest()


class Keyring:
    """All keys that are good, in memory: those of the settings, and those of the database as they
    were seconds ago. While the database is away the last known go on."""

    def __init__(self, setting: str, keys: Keys, clock: Clock) -> None:
        """`setting`: `name:key,name:key`. Keys of one name share a limit."""
        pairs = [pair.strip().partition(":") for pair in setting.split(",") if pair.strip()]
        self._fixed = {hash_of(key): Opened(name, name, 0) for name, _, key in pairs}
        self._kept: dict[bytes, WriteKey] = {}
        self._used: set[str] = set()
        self._keys = keys
        self._clock = clock

    def open(self, authorization: str, body_key: object) -> Opened | None:
        """What a request may, by Basic, Bearer or the body's `writeKey`; None when no key is
        known."""
        scheme, _, value = authorization.partition(" ")
        given = [value] if scheme.lower() == "bearer" else []
        if scheme.lower() == "basic":
            try:
                given = [base64.b64decode(value, validate=True).decode().partition(":")[0]]
            except (binascii.Error, UnicodeDecodeError):
                given = []
        if isinstance(body_key, str):
            given.append(body_key)
        return next((found for key in given if (found := self._opened(hash_of(key)))), None)

    def _opened(self, secret_hash: bytes) -> Opened | None:
        if fixed := self._fixed.get(secret_hash):
            return fixed
        key = self._kept.get(secret_hash)
        if key is None or key.ended(self._clock.now()):
            return None
        self._used.add(key.write_key_id)
        return Opened(key.write_key_id, key.source, key.max_events_per_second)

    async def run(self) -> None:
        """Keep up with the database, until cancelled."""
        while True:
            await self._clock.sleep(_EVERY)
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await self.refresh()
            except Exception as error:
                if not transient(error):
                    raise
                _logger.warning("write keys as last known", error=type(error).__name__)

    async def refresh(self) -> None:
        """Take over what the database has, and tell it which keys were used."""
        now = self._clock.now()
        hour = now.replace(minute=0, second=0, microsecond=0)
        found = await self._keys.in_force(now)
        self._kept = {key.secret_hash: key for key in found}
        used, self._used = self._used, set()
        told = {key.write_key_id for key in found if key.last_use_time == hour}
        if news := used - told:
            try:
                await self._keys.used(news, hour)
            except BaseException:
                self._used |= news
                raise
