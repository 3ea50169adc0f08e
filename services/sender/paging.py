"""Pages of lists: their size, and tokens that say where the next begins. Pure."""

import base64
from typing import Final, TypeVar

import msgspec

from services.sender.model import FieldInvalid, TokenInvalid

K = TypeVar("K")

_USUAL: Final = 100
_MOST: Final = 1_000


def size_of(page_size: int) -> int:
    """How many to return: 0 is 100, above 1,000 is 1,000. Raises FieldInvalid below 0."""
    if page_size < 0:
        raise FieldInvalid("page_size: 0 or more", field="page_size", problem="negative")
    return min(page_size or _USUAL, _MOST)


def token(query: str, key: object) -> str:
    """A token for the page after `key`, good for this query alone."""
    return base64.urlsafe_b64encode(msgspec.json.encode([query, key])).decode()


def key_of(query: str, page_token: str, first: K) -> K:
    """The key in a token, `first` without one. Raises TokenInvalid."""
    if not page_token:
        return first
    try:
        raw = base64.urlsafe_b64decode(page_token.encode())
        for_query, key = msgspec.json.decode(raw, type=tuple[str, type(first)])  # type: ignore[misc]  # the key's type is known at run time
    except (ValueError, msgspec.MsgspecError) as error:
        raise _wrong() from error
    if for_query != query or _kinds(key) != _kinds(first):
        raise _wrong()
    found: K = key
    return found


def _kinds(key: object) -> list[type]:
    return [type(part) for part in key] if isinstance(key, tuple) else [type(key)]


def _wrong() -> TokenInvalid:
    return TokenInvalid("page_token: not of this query; begin anew", field="page_token")
