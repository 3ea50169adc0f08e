"""What each variable of a template takes: a value made fit for its place, or none. Pure."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from services.sender.wording.clean import is_value, tidy

CODE: Final = 15
"""Characters of a one-time code, at most."""
_LABEL: Final = 1_000
_COUPON: Final = 20
_PAYLOAD: Final = 256
_SUFFIX: Final = 2_000
_TOKEN: Final = 1_024
_ID: Final = 128
_NAME: Final = 240
_TITLE: Final = 24
_PRODUCTS: Final = 30
_SECTIONS: Final = 10
_LATEST: Final = 253_402_300_799_999
"""The last millisecond that a date can tell."""
_ADDRESS: Final = re.compile(r"https?://[^\s/?#]")
_HOST: Final = re.compile(r"(https?://)([^\s/?#:@]+)")
_MEDIA_ID: Final = re.compile(r"file_[A-Za-z0-9_-]{1,120}|\d{5,30}")
# What may stand in an address as it is; a percent sign only where it escapes something already.
_KEPT: Final = "/?#[]@!$&'()*+,;=:-._~"
_PLAIN: Final = re.compile(r"[A-Za-z0-9/?#@!$&'()*+,;=:._~-]*")
_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")

Take = Callable[[Any], Any]
"""A value as it stands in Meta's JSON; None when there is none, or none that fits."""


def text(value: Any) -> str | None:
    """Words of a sentence. How long they may be depends on what else stands in it."""
    return _words(value) or None


def _short(most: int) -> Take:
    """Words that mean nothing when they are cut."""

    def take(value: Any) -> str | None:
        text = _words(value)
        return text if text and len(text) <= most else None

    return take


def _words(value: Any) -> str:
    if value.__class__ is int or (value.__class__ is float and value.is_integer()):
        return str(int(value))  # JSON does not tell 12 and 12.0 apart
    text = tidy(value) if value.__class__ is str else ""
    return text if is_value(text) else ""


def is_address(value: Any) -> bool:
    """Whether it is a whole address, not the end of one."""
    return value.__class__ is str and _ADDRESS.match(value.strip()) is not None


def suffix(value: Any) -> str | None:
    """The end of a button's address, with every sign escaped that an address may not have."""
    return _escaped(_words(value))


def _escaped(text: str) -> str | None:
    if not _PLAIN.fullmatch(text):
        text = quote(_PERCENT.sub("%25", text), safe=_KEPT + "%")
    return text if text and len(text) <= _SUFFIX else None


def _plain_host(address: str) -> str:
    """A host with letters of other alphabets as the name system writes it (`xn--iek-1lab.example`);
    empty when it has no such name."""
    found = _HOST.match(address)
    if found is None or found[2].isascii():
        return address
    try:
        return f"{found[1]}{found[2].encode('idna').decode()}{address[found.end() :]}"
    except UnicodeError:
        return ""


def media(value: Any) -> dict[str, str] | None:
    """Meta's media object: of an address, a file's id, or Meta's own."""
    text = _words(value)
    if is_address(text):
        return {"link": link} if (link := _escaped(_plain_host(text))) else None
    return {"id": text} if _MEDIA_ID.fullmatch(text) else None


def _degrees(most: int) -> Take:
    def take(value: Any) -> float | None:
        try:
            found = float(value) if value.__class__ in (int, float, str) else math.nan
        except (ValueError, OverflowError):
            return None
        return found if abs(found) <= most else None

    return take


def moment(value: Any) -> int | None:
    """Milliseconds since 1970, of such or of RFC 3339 text."""
    if value.__class__ is int:
        return value if 0 < value <= _LATEST else None
    if value.__class__ is not str:
        return None
    try:
        found = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    aware = found if found.tzinfo else found.replace(tzinfo=UTC)
    milliseconds = int(aware.timestamp() * 1_000)
    return milliseconds if milliseconds > 0 else None


def record(value: Any) -> dict[str, Any] | None:
    """A JSON object, also written as text."""
    found = _parsed(value)
    return dict(found) if isinstance(found, Mapping) and found else None


def sections(value: Any) -> list[dict[str, Any]] | None:
    """Products to show: their retailer ids as a list or with commas between, or sections of them
    (`[{"title": …, "product_retailer_ids": […]}]`)."""
    found = _parsed(value)
    if isinstance(found, str):
        found = [part.strip() for part in found.split(",")]
    if not isinstance(found, Sequence) or isinstance(found, str) or not found:
        return None
    if not isinstance(found[0], Mapping):
        found = [{"product_retailer_ids": list(found)}]
    made = [one for one in map(_section, found) if one]
    items = sum(len(one["product_items"]) for one in made)
    whole = len(made) == len(found) <= _SECTIONS and items <= _PRODUCTS
    return made if whole and (len(made) == 1 or all("title" in one for one in made)) else None


def _section(said: Any) -> dict[str, Any] | None:
    ids = said.get("product_retailer_ids") if isinstance(said, Mapping) else None
    items = [_words(one) for one in ids] if isinstance(ids, list) else []
    title = _words(said.get("title")) if items else ""
    if not items or not all(items) or len(title) > _TITLE:
        return None
    named = {"title": title} if title else {}
    return {**named, "product_items": [{"product_retailer_id": one} for one in items]}


def _parsed(value: Any) -> Any:
    if value.__class__ is str and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):  # it may be nested without end
            return None
    return value


TAKES: Final[Mapping[str, Take]] = {
    "text": text,
    "code": _short(CODE),
    "media": media,
    "latitude": _degrees(90),
    "longitude": _degrees(180),
    "label": _short(_LABEL),
    "filename": _short(_NAME),
    "id": _short(_ID),
    "payload": _short(_PAYLOAD),
    "suffix": suffix,
    "coupon": _short(_COUPON),
    "token": _short(_TOKEN),
    "record": record,
    "sections": sections,
    "time": moment,
}
"""By the kind of a blank."""
WRITTEN: Final = frozenset({"text", "code", "label", "filename", "payload", "suffix", "coupon"})
"""Kinds that take words, which may be formatted."""
