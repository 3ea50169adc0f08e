"""What a person sees whose link leads nowhere, in their language."""

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from services.ingest.answer import HEADERS as COMMON

HEADERS: Final = {
    **COMMON,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
"""Of every answer of the door."""

_PAGE: Final = (
    '<!doctype html><html lang="{lang}"><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width"><title>{title}</title>'
    "<h1>{title}</h1><p>{text}</p></html>"
)
_FALLBACK: Final = "en"
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


def page(status: int, languages: Sequence[str]) -> web.Response:
    """The page of a status, in the first of the languages that it is written in."""
    written = _WORDS[status]
    wanted = (language.partition("-")[0] for language in languages)
    tongue = next((one for one in wanted if one in written), _FALLBACK)
    title, words = written[tongue]
    return web.Response(
        status=status,
        text=_PAGE.format(lang=tongue, title=title, text=words),
        content_type="text/html",
        headers=HEADERS,
    )
