"""Page tokens and cursors: opaque, and good for one query only."""

import base64
import hashlib
from collections.abc import Sequence
from typing import Any, Final

import orjson

from services.segment.failures import FieldInvalid, TokenInvalid

_MARK_BYTES: Final = 6


def token(query: Sequence[Any], place: Sequence[Any]) -> str:
    """A token that goes on at `place` in the answer to `query`."""
    return base64.urlsafe_b64encode(orjson.dumps([_mark(query), *place])).decode().rstrip("=")


def place(
    given: str, query: Sequence[Any], kinds: Sequence[type], field: str
) -> tuple[Any, ...] | None:
    """Where a token goes on; None without one. Raises `TokenInvalid` for one of another query."""
    if not given:
        return None
    try:
        mark, *found = orjson.loads(base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)))
    except (ValueError, TypeError):
        raise TokenInvalid(field) from None
    if mark != _mark(query) or [type(one) for one in found] != list(kinds):
        raise TokenInvalid(field)
    return tuple(found)


def size(given: int, usual: int, most: int) -> int:
    """How many to answer; raises `FieldInvalid` for a negative number."""
    if given < 0:
        raise FieldInvalid("page_size", "negative; leave it out for the usual size")
    return min(given or usual, most)


def _mark(query: Sequence[Any]) -> str:
    return hashlib.blake2b(orjson.dumps(query), digest_size=_MARK_BYTES).hexdigest()
