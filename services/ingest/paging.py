"""Page tokens: opaque, and bound to the query they continue. Pure."""

import base64
import binascii
import hashlib
from typing import Final

from services.ingest.failures import FieldInvalid, TokenInvalid

_PRINT_BYTES: Final = 8


def page_size(asked: int, default: int, most: int) -> int:
    """How many to return: 0 is the default, too many is the most there are."""
    if asked < 0:
        raise FieldInvalid("page_size", "is negative")
    return min(asked or default, most)


def page_token(last: str, query: bytes) -> str:
    """A token that goes on after `last`; `query` is the request without its paging."""
    return base64.urlsafe_b64encode(_print(query) + last.encode()).decode()


def continued(field: str, token: str, query: bytes) -> str:
    """Where to go on; empty at the beginning. Raises `TokenInvalid` for another query's token."""
    if not token:
        return ""
    try:
        raw = base64.urlsafe_b64decode(token)
        last = raw[_PRINT_BYTES:].decode("ascii")
    except (binascii.Error, ValueError):
        raise TokenInvalid(field) from None
    if raw[:_PRINT_BYTES] != _print(query) or not last:
        raise TokenInvalid(field)
    return last


def _print(query: bytes) -> bytes:
    return hashlib.blake2b(query, digest_size=_PRINT_BYTES).digest()
