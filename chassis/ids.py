"""Ids derived from what happened, so that a repeat is recognised, and fresh ones for new things."""

import hashlib
import time
from functools import lru_cache
from random import Random, SystemRandom
from uuid import UUID

# Seeded by the system; asking it for every id costs more than all the rest of an id
_random = Random(SystemRandom().getrandbits(256))  # noqa: S311 - ids are unique, not secret
_DIGITS = "abcdefghijklmnopqrstuvwxyz234567"  # of RFC 4648's base 32, in lower case
_PAIRS = [high + low for high in _DIGITS for low in _DIGITS]
_SHIFTS = range(120, -1, -10)
_SEPARATOR = b"\x1f"  # cannot be typed into an id, so ("ab", "c") and ("a", "bc") differ


def derived_id(prefix: str, *parts: str) -> str:
    """A stable id of what `parts` name: the same parts give the same id, on every machine.

    26 characters of base 32 behind `prefix_`; 128 bits of BLAKE2b.
    """
    digest = hashlib.blake2b(_SEPARATOR.join([p.encode() for p in parts]), digest_size=16).digest()
    bits = int.from_bytes(digest, "big") << 2  # 130, in pairs of digits: twice as fast as base64's
    return f"{prefix}_{''.join([_PAIRS[bits >> shift & 1023] for shift in _SHIFTS])}"


def fresh_id(prefix: str) -> str:
    """A new id that sorts by the moment of its making (48 bits of milliseconds, 80 random bits).

    Unique, but not a secret: who sees some can tell others.
    """
    return f"{prefix}_{int(time.time() * 1000):012x}{_random.getrandbits(80):020x}"


@lru_cache(4_096)  # of every event several times in a row
def fingerprint(event_id: str) -> UUID:
    """128 bits of an event id, for the table of what was seen."""
    return UUID(bytes=digest(event_id))


def digest(event_id: str) -> bytes:
    """The 16 bytes of a fingerprint, a fifth of whose cost they are."""
    return hashlib.blake2b(event_id.encode(), digest_size=16).digest()
