"""Page tokens and cursors: opaque, and bound to the query they come from."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final, TypeVar

import orjson
from google.protobuf.message import Message

from services.profile.model import FieldInvalid, TokenInvalid

R = TypeVar("R", bound=Message)

_PLACES: Final = ("page_token", "page_size", "cursor")
"""Fields that say where in a query one is, not which query it is."""


def size(asked: int, usual: int, most: int) -> int:
    """How many to return. Raises `FieldInvalid` when negative."""
    if asked < 0:
        raise FieldInvalid(
            "page_size: not negative", field="page_size", problem="negative", limit=str(most)
        )
    return min(asked or usual, most)


def token(request: Message, place: Sequence[Any]) -> str:
    """A token for a place (JSON values) in the query of a request."""
    return urlsafe_b64encode(orjson.dumps([_query(request), *place])).decode()


def place(request: Message, field: str, kinds: Sequence[type]) -> list[Any] | None:
    """The place in a request's token, None when it has none.

    Raises `TokenInvalid` when the token is not of this query or its parts are not of `kinds`.
    """
    given = getattr(request, field)
    if not given:
        return None
    try:
        query, *found = orjson.loads(urlsafe_b64decode(given))
    except (Error, ValueError, TypeError):
        query, found = "", []
    if query != _query(request) or [type(part) for part in found] != list(kinds):
        raise TokenInvalid(
            f"{field}: not of this query; begin without one, or repeat the query it came from",
            field=field,
        )
    return list(found)


def _query(request: Message) -> str:
    bare = type(request)()
    bare.CopyFrom(request)
    for field in _PLACES:
        if field in bare.DESCRIPTOR.fields_by_name:
            bare.ClearField(field)
    named = type(request).__name__.encode() + bare.SerializeToString(deterministic=True)
    return blake2b(named, digest_size=8).hexdigest()
