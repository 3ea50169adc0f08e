"""Pages of lists and streams: their size, and tokens that say where the next one begins.

A token is opaque, and good for the query that it comes from alone: it carries a fingerprint of the
query beside the place.
"""

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, Final, TypeVar

import orjson
from google.protobuf.message import Message

from chassis.failures import FieldInvalid, TokenInvalid

T = TypeVar("T")

_PLACES: Final = ("page_token", "page_size", "cursor")
"""Fields that say where in a query one is, not which query it is."""


def size(asked: int, usual: int = 100, most: int = 1_000) -> int:
    """How many to return: 0 is the usual, too many is the most. Raises `FieldInvalid` below 0."""
    if asked < 0:
        raise FieldInvalid(
            "page_size", "negative; leave it out for the usual size", limit=str(most)
        )
    return min(asked or usual, most)


def query(request: Message, *besides: str) -> bytes:
    """What a request asks for, without where it begins and without the fields `besides`."""
    bare = type(request)()
    bare.CopyFrom(request)
    for field in (*_PLACES, *besides):
        if field in bare.DESCRIPTOR.fields_by_name:
            bare.ClearField(field)
    return bare.DESCRIPTOR.name.encode() + bare.SerializeToString(deterministic=True)


def token(query: bytes, place: Sequence[str | int]) -> str:
    """A token that goes on at a place in the answer to a query."""
    return urlsafe_b64encode(orjson.dumps([_fingerprint(query), *place])).decode()


def page(
    query: bytes, found: Sequence[T], size: int, place: Callable[[T], Sequence[str | int]]
) -> tuple[Sequence[T], str]:
    """A page of what was found, one more than its size having been asked for, and the token of the
    next; empty when there is none. `place`: where what follows one begins."""
    those = found[:size]
    return those, token(query, place(those[-1])) if len(found) > size else ""


def place(
    given: str, query: bytes, kinds: Sequence[type], field: str = "page_token"
) -> tuple[Any, ...] | None:
    """The place in a token, None without a token; `field` is where it was given.

    Raises `TokenInvalid` when the token is not of this query or its parts are not of `kinds`.
    """
    if not given:
        return None
    try:
        fingerprint, *found = orjson.loads(b64decode(given, b"-_", validate=True))
    except (ValueError, TypeError):
        raise TokenInvalid(field) from None
    if fingerprint != _fingerprint(query) or [type(part) for part in found] != list(kinds):
        raise TokenInvalid(field)
    return tuple(found)


def _fingerprint(query: bytes) -> str:
    return blake2b(query, digest_size=8).hexdigest()
