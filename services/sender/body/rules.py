"""Meta's limits, each checked where a value is put into a message."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from services.sender.failures import ContentInvalid

_URL_MOST: Final = 2_000
_ID_MOST: Final = 128
_WEB: Final = ("https://", "http://")


def broken(field: str, rule: str, problem: str, limit: int | str = "") -> ContentInvalid:
    """A rule that a field breaks."""
    facts = {"limit": str(limit)} if limit != "" else {}
    return ContentInvalid(f"{field}: {problem}", field=field, rule=rule, **facts)


def text(field: str, value: str, most: int, *, required: bool = True) -> str:
    """A text of at most `most` characters."""
    if required and not value.strip():
        raise broken(field, "required", "missing; say something")
    if len(value) > most:
        problem = f"{len(value)} characters; at most {most} are allowed"
        raise broken(field, "length", problem, most)
    return value


def count(field: str, values: Sequence[object], least: int, most: int) -> None:
    """A list of `least` to `most` items."""
    if not least <= len(values) <= most:
        problem = f"{len(values)} given; {least} to {most} are allowed"
        raise broken(field, "count", problem, most if len(values) > most else least)


def unique(field: str, values: Sequence[object]) -> None:
    """A list in which nothing comes twice."""
    if len(set(values)) != len(values):
        raise broken(field, "unique", "the same one comes twice")


def within(field: str, value: float, least: float, most: float) -> float:
    """A number from `least` to `most`."""
    if not least <= value <= most:
        raise broken(field, "range", f"must lie between {least} and {most}", str(most))
    return value


def url(field: str, value: str) -> str:
    """A web address."""
    text(field, value, _URL_MOST)
    if not value.startswith(_WEB):
        raise broken(field, "url", "not a web address; begin with https://")
    return value


def wamid(field: str, value: str) -> str:
    """Meta's id of a message; opaque."""
    return text(field, value, _ID_MOST)


def one_of(field: str, value: str, known: Sequence[str]) -> str:
    """One of a few words."""
    if value not in known:
        raise broken(field, "choice", f"must be one of {', '.join(known)}")
    return value


def object_of(field: str, value: bytes) -> dict[str, Any]:
    """A JSON object that is passed to Meta as it is."""
    try:
        return msgspec.json.decode(value, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise broken(field, "json", "not a JSON object") from None


def filled(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those fields that have a value."""
    return {name: value for name, value in fields.items() if value not in ("", None, [], {})}
