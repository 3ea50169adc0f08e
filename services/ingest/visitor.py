"""Who opened a link, roughly, by what their browser says. Pure."""

import re
from typing import Final, NamedTuple

# Previews and crawlers: they open links that no person has opened.
_BOT: Final = re.compile(
    r"whatsapp|facebookexternal|facebot|meta-external|bot\b|bot/|crawl|spider|slurp|preview"
    r"|headless|curl/|wget/|python-|okhttp|go-http|java/|libwww|monitor|scan|telegram|skypeuri",
    re.IGNORECASE,
)
_SYSTEMS: Final = (
    ("iPad", "iPadOS"),
    ("iPhone", "iOS"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)
_BROWSERS: Final = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("YaBrowser", "Yandex"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
_LANGUAGE: Final = re.compile(r"\s*([A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*)")


class Visitor(NamedTuple):
    """Device (`mobile`, `tablet`, `desktop`), system and browser; empty where not known."""

    device: str
    os: str
    browser: str
    language: str


def visitor(user_agent: str, accept_language: str) -> Visitor | None:
    """Who opened it; None for programs that open links before, or without, a person."""
    if not user_agent or _BOT.search(user_agent):
        return None
    os = next((name for sign, name in _SYSTEMS if sign in user_agent), "")
    browser = next((name for sign, name in _BROWSERS if sign in user_agent), "")
    if os == "iPadOS" or (os == "Android" and "Mobile" not in user_agent):
        device = "tablet"
    elif os in ("iOS", "Android"):
        device = "mobile"
    else:
        device = "desktop" if os else ""
    first = _LANGUAGE.match(accept_language)
    return Visitor(device, os, browser, first.group(1) if first else "")
