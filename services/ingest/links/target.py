"""Where links lead: which addresses may be, and how a browser is told of one. Pure."""

import string
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec

from chassis.failures import FieldInvalid
from services.ingest.failures import UrlNotAllowed

_URL_LENGTH: Final = 2_000
_DELETE: Final = "\x7f"


class Target(msgspec.Struct, frozen=True, gc=False):
    """An address that links of a campaign lead to."""

    link_id: str
    """The address within its campaign, the same for all recipients."""
    campaign_id: str
    url: str


def check_url(url: str, index: int) -> None:
    """Raises `FieldInvalid` or `UrlNotAllowed` for an address that may not be led to.

    `index` is its place in the request.
    """
    if not url or len(url) > _URL_LENGTH:
        raise FieldInvalid(f"links[{index}].url", f"has not 1 to {_URL_LENGTH} characters")
    control = any(letter <= " " or letter == _DELETE for letter in url)
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port, location(url)  # each refuses what cannot be one
    except ValueError:
        raise UrlNotAllowed(index, "", "") from None
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or control:
        raise UrlNotAllowed(index, parts.scheme, host)


def location(url: str) -> str:
    """An address in ASCII, as a header must carry it: names by IDNA, the rest percent-encoded.

    Raises `ValueError` when its host is no name, or its port no number.
    """
    if url.isascii():
        return url
    parts = urlsplit(url)
    site = parts.netloc
    if not site.isascii():
        name = (parts.hostname or "").encode("idna").decode()
        site = name if parts.port is None else f"{name}:{parts.port}"
    rest = url.partition("://")[2].removeprefix(parts.netloc)
    return f"{parts.scheme}://{site}{quote(rest, safe=string.printable)}"
