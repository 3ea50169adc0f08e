"""Short tracked links: the redirect, and the click that it tells of."""

import re
import secrets
from collections import OrderedDict
from typing import Final, Protocol
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from chassis.clock import Clock, milliseconds_of
from chassis.failures import Busy, FieldInvalid, Unavailable
from chassis.ids import derived_id
from chassis.transient import transient
from services.ingest.answer import HEADERS
from services.ingest.failures import UrlNotAllowed
from services.ingest.intake import Writer
from services.ingest.model import TRACKED, Link, Occurrence
from services.ingest.visitor import Visitor, visitor

_TOKEN_BYTES: Final = 16
_TOKEN: Final = re.compile(r"[\w-]{22}", re.ASCII)
_URL_LENGTH: Final = 2_000
_REMEMBERED: Final = 10_000
_ONE_CLICK_MS: Final = 60_000  # opened again within a minute is the same click
_HEADERS: Final = {
    **HEADERS,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
_PAGE: Final = (
    '<!doctype html><html lang="{lang}"><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width"><title>{title}</title>'
    "<h1>{title}</h1><p>{text}</p></html>"
)
_WORDS: Final = {
    404: {
        "en": ("No such link", "Please check the address, or ask whoever sent it to you."),
        "tr": ("Böyle bir bağlantı yok", "Lütfen adresi denetleyin ya da gönderene sorun."),
    },
    410: {
        "en": ("This link has expired", "Please ask whoever sent it to you for a new one."),
        "tr": ("Bu bağlantının süresi doldu", "Lütfen gönderenden yenisini isteyin."),
    },
    503: {
        "en": ("One moment, please", "This link cannot be opened now. Please try again soon."),
        "tr": ("Bir dakika lütfen", "Bağlantı şu anda açılamıyor. Lütfen az sonra deneyin."),
    },
}
_logger = structlog.get_logger()


class LinkStore(Protocol):
    """Where links are kept."""

    async def get(self, token: str) -> Link | None:
        """One link, or None."""
        ...


def new_link(
    index: int, url: str, message_id: str, campaign_id: str, contact_id: str, expire_ms: int
) -> Link:
    """A link with a token that nobody can guess.

    Raises `FieldInvalid` or `UrlNotAllowed` for a target that may not be led to.
    """
    if not url or len(url) > _URL_LENGTH:
        raise FieldInvalid(f"links[{index}].url", f"has not 1 to {_URL_LENGTH} characters")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise UrlNotAllowed(index, "", "") from None
    control = any(ord(letter) <= ord(" ") for letter in url)
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or control:
        raise UrlNotAllowed(index, parts.scheme, host)
    return Link(
        token=secrets.token_urlsafe(_TOKEN_BYTES),
        link_id=derived_id("link", campaign_id, url),
        url=url,
        message_id=message_id,
        campaign_id=campaign_id,
        contact_id=contact_id,
        expire_ms=expire_ms,
    )


def clicked(link: Link, who: Visitor, now_ms: int) -> Occurrence:
    """A person opened a link."""
    return Occurrence(
        topic=TRACKED,
        event_id=f"click/{link.token}/{now_ms // _ONE_CLICK_MS}",
        time_ms=now_ms,
        source="merhaba:ingest",
        name="link_clicked",
        body={
            "link_id": link.link_id,
            "message_id": link.message_id,
            "campaign_id": link.campaign_id,
            "url": link.url,
            "device": who.device,
            "os": who.os,
            "browser": who.browser,
            "language": who.language,
        },
        contact_id=link.contact_id,
    )


class LinkDoor:
    """`GET /l/{token}`."""

    def __init__(self, store: LinkStore, writer: Writer, clock: Clock) -> None:
        self._store = store
        self._writer = writer
        self._clock = clock
        self._remembered: OrderedDict[str, Link] = OrderedDict()

    async def open(self, request: web.Request) -> web.Response:
        """Lead to the target. 404 for an unknown token, 410 for an expired one."""
        tongue = "tr" if request.headers.get("Accept-Language", "").startswith("tr") else "en"
        try:
            link = await self._find(request.match_info["token"])
        except Exception as error:
            if not transient(error):
                raise
            _logger.warning("no link store", error=type(error).__name__)
            return _page(503, tongue)
        if link is None:
            return _page(404, tongue)
        now_ms = milliseconds_of(self._clock.now())
        if now_ms >= link.expire_ms:
            return _page(410, tongue)
        headers = request.headers
        who = visitor(headers.get("User-Agent", ""), headers.get("Accept-Language", ""))
        if who is not None and request.method == "GET":
            await self._tell(clicked(link, who, now_ms), now_ms)
        return web.Response(status=302, headers={**_HEADERS, "Location": link.url})

    async def _find(self, token: str) -> Link | None:
        if not _TOKEN.fullmatch(token):
            return None
        link = self._remembered.get(token)
        if link is not None:
            self._remembered.move_to_end(token)
            return link
        link = await self._store.get(token)
        if link is not None:
            self._remembered[token] = link
            if len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)
        return link

    async def _tell(self, click: Occurrence, now_ms: int) -> None:
        try:
            await self._writer.append([self._writer.event(click, now_ms, "")])
        except (Busy, Unavailable) as error:
            # The person is not kept waiting for our books: the click is lost, and it is said.
            _logger.warning("a click was not counted", error=error.reason)


def _page(status: int, tongue: str) -> web.Response:
    title, words = _WORDS[status][tongue]
    return web.Response(
        status=status,
        text=_PAGE.format(lang=tongue, title=title, text=words),
        content_type="text/html",
        headers=_HEADERS,
    )
