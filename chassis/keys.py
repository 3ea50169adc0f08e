"""API keys of people and tools: in one file, hashed, each with a role and an end.

The file is a mounted Secret, read again when it changes. A name may have several keys: while one is
rotated the old and the new one are good together.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import structlog

from chassis.callers import INTERNAL, Caller, digest
from chassis.clock import Clock
from chassis.failures import Misconfigured
from chassis.policy import Policy

_LOOK_EVERY: Final = timedelta(seconds=1)
_PREFIX: Final = "merhaba_"  # so that scanners for leaked secrets can know it
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_logger = structlog.get_logger()


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key, which is not in it."""

    name: str
    role: str
    sha256: str
    create_time: datetime
    expire_time: datetime
    calls_per_s: int = 0
    """How much may be called with it, over all replicas; 0 is what every key may."""

    @property
    def key_id(self) -> str:
        """What it is called by: the beginning of its hash, which opens nothing."""
        return self.sha256[:8]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: list[Key]


def key_of(secret: bytes) -> str:
    """A key made of at least 32 random bytes."""
    return _PREFIX + secret.hex()


def read_keys(file: Path, policy: Policy) -> Sequence[Key]:
    """The keys in a file; none when there is no such file. Raises `Misconfigured`, which names no
    key."""
    try:
        keys = msgspec.json.decode(file.read_bytes(), type=_File).keys
    except FileNotFoundError:
        return ()
    except (msgspec.DecodeError, OSError) as error:
        raise Misconfigured(f"KEYS_FILE: {file} cannot be read ({error})") from None
    seen: set[str] = set()
    for key in keys:
        check_key(key, policy)
        if key.sha256 in seen:
            raise Misconfigured(f"KEYS_FILE: {key.name} has somebody else's key")
        seen.add(key.sha256)
    return keys


def check_key(key: Key, policy: Policy) -> None:
    """Raises `Misconfigured` when a key is not what one may be: services have certificates, and no
    key makes anybody a service."""
    if key.role not in policy.roles:
        raise Misconfigured(
            f"KEYS_FILE: {key.name} has the role {key.role}; there are {', '.join(policy.roles)}"
        )
    if key.name in policy.services or key.name == INTERNAL:
        raise Misconfigured(f"KEYS_FILE: {key.name} is a service; choose another name")
    if not _NAME.fullmatch(key.name) or not _SHA256.fullmatch(key.sha256):
        raise Misconfigured(
            f"KEYS_FILE: {key.name}: a name has small letters, digits, `.`, `-` and `_`, and the"
            " hash is SHA-256 in hex"
        )
    if key.expire_time.tzinfo is None or key.calls_per_s < 0:
        raise Misconfigured(
            f"KEYS_FILE: {key.name}: its end has a zone, and its calls are 0 or more"
        )


def write_keys(file: Path, keys: Sequence[Key]) -> None:
    """Put keys into a file that only its owner may read, in one step."""
    text = msgspec.json.format(msgspec.json.encode(_File(list(keys))), indent=2)
    fresh = file.with_name(f".{file.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_bytes(text + b"\n")
    fresh.replace(file)


class KeyFile:
    """The keys of a file, as it is now."""

    def __init__(self, file: Path, policy: Policy, clock: Clock) -> None:
        """Raises `Misconfigured` when it cannot be used; later the last good one stays."""
        self._file = file
        self._policy = policy
        self._clock = clock
        self._seen = self._look()
        self._keys = {key.sha256: key for key in read_keys(file, policy)}
        self._looked = clock.now()

    def who(self, key: str) -> Caller | None:
        """Whose key it is now; None is nobody's."""
        self._refresh()
        found = self._keys.get(digest(key))
        if found is None or found.expire_time <= self._clock.now():
            return None
        return Caller(found.name, found.role, found.calls_per_s)

    def _refresh(self) -> None:
        now = self._clock.now()
        if abs(now - self._looked) < _LOOK_EVERY:
            return
        self._looked = now
        if (looks := self._look()) == self._seen:
            return
        self._seen = looks
        try:
            self._keys = {key.sha256: key for key in read_keys(self._file, self._policy)}
        except Misconfigured as error:
            _logger.error("the keys stay as they were", error=str(error))  # noqa: TRY400 - it says all

    def _look(self) -> tuple[int, int, int]:
        try:
            found = self._file.stat()
        except OSError:
            return (0, 0, 0)
        return (found.st_mtime_ns, found.st_ino, found.st_size)
