"""Who opened a link, roughly, by what their browser says. Pure."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from ua_parser import Parser, load_lazy_builtins
from ua_parser.regex import Resolver

_AGENT_LENGTH: Final = 512
_REMEMBERED: Final = 4_096
_NAME_LENGTH: Final = 64
_LANGUAGES_LENGTH: Final = 512

# What people open links with says one of these first, for history's sake; programs say their name.
_PERSON: Final = re.compile(r"Mozilla/\d|Opera/\d|UCWEB/\d")
# Programs that say they are browsers, and that the parser takes for one: automated browsers,
# previews, and scanners of mail that open what they guard. `compatible;` is how crawlers introduce
# themselves, and once Internet Explorer.
_PROGRAM: Final = re.compile(
    r"\(compatible; (?!MSIE)|headless|phantomjs|selenium|puppeteer|playwright|lighthouse"
    r"|preview|imageproxy|safelinks|proofpoint|mimecast|barracuda|zscaler|fireeye|forcepoint"
    r"|trendmicro|scanner|zgrab|monitor|crawler|spider|\bbot\b",
    re.IGNORECASE,
)
_SPIDER: Final = "Spider"
_APPLE: Final = frozenset({"iOS", "Mac OS X"})
_NAMES: Final = {"Mac OS X": "macOS", "Chrome OS": "ChromeOS"}
# The parser names a browser apart for each kind of device, which is told by itself here.
_KIND: Final = re.compile(r"\b(?:Mobile|iOS|WebView|UI/WKWebView)\b ?")
_PREFETCHED: Final = (
    *("Sec-Purpose", "Purpose", "X-Purpose"),  # Chrome and Safari, now and before
    "X-Moz",  # Firefox
)
_EARLY: Final = ("prefetch", "prerender", "preview")
_LANGUAGE: Final = re.compile(
    r"\s*([A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3})\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*)?"
)
_SCRIPT_LETTERS: Final = 4
_REGION_LETTERS: Final = 2


class Visitor(NamedTuple):
    """Device (`mobile`, `tablet`, `desktop`), system, browser; empty where not known."""

    device: str
    os: str
    browser: str
    language: str
    """The one they like best: `tr-TR`."""


class _Browser(NamedTuple):
    device: str
    os: str
    name: str


class Visitors:
    """Reads what browsers say of themselves. Loading its patterns takes a tenth of a second."""

    def __init__(self) -> None:
        self._parser = Parser(Resolver(load_lazy_builtins()))
        self._browser = lru_cache(_REMEMBERED)(self._read)
        self._languages = lru_cache(_REMEMBERED)(languages)

    def visitor(self, headers: Mapping[str, str]) -> Visitor | None:
        """Who opened it; None for programs that open links before, or without, a person."""
        if any(headers.get(name, "").lower().startswith(_EARLY) for name in _PREFETCHED):
            return None
        browser = self._browser(headers.get("User-Agent", "")[:_AGENT_LENGTH])
        if browser is None:
            return None
        liked = self._languages(headers.get("Accept-Language", "")[:_LANGUAGES_LENGTH])
        return Visitor(*browser, liked[0] if liked else "")

    def _read(self, agent: str) -> _Browser | None:
        # Bytes of a header that are no text are no part of a name
        agent = agent.encode("ascii", "replace").decode()
        if not _PERSON.match(agent) or _PROGRAM.search(agent):
            return None
        said = self._parser.parse(agent)
        model = said.device.family if said.device else ""
        if model == _SPIDER or not (said.os or said.user_agent):
            return None
        system = said.os.family if said.os else ""
        device = _device(agent, system, model)
        if device == "tablet" and system in _APPLE:
            system = "iPadOS"
        name = _KIND.sub("", said.user_agent.family).strip() if said.user_agent else ""
        return _Browser(device, _NAMES.get(system, system)[:_NAME_LENGTH], name[:_NAME_LENGTH])


def _device(agent: str, system: str, model: str) -> str:
    mobile = "Mobile" in agent or "Opera Mini" in agent
    if system in _APPLE and not model.startswith(("iPhone", "iPod")):
        # An iPad says it is a Mac; some of its browsers give it away
        return "tablet" if system == "iOS" or mobile else "desktop"
    if mobile:
        return "mobile"
    if system == "Android":
        return "tablet"
    return "desktop" if system else ""


def languages(accept_language: str) -> list[str]:
    """The languages of the header, best first, written as `tr-TR`; what is no language, or not
    wanted, is left out."""
    found: list[tuple[float, str]] = []
    for part in accept_language[:_LANGUAGES_LENGTH].split(","):
        match = _LANGUAGE.fullmatch(part)
        if match is None:
            continue
        weight = float(match[2]) if match[2] else 1.0
        if weight > 0:
            found.append((weight, _normalised(match[1])))
    found.sort(key=lambda one: -one[0])
    return [language for _, language in found]


def _normalised(tag: str) -> str:
    """By convention a script is `Hant`, a region `TR`, and all the rest small."""
    first, *rest = tag.lower().split("-")
    return "-".join([first, *(_cased(part) for part in rest)])


def _cased(part: str) -> str:
    if len(part) == _SCRIPT_LETTERS and part.isalpha():
        return part.title()
    return part.upper() if len(part) == _REGION_LETTERS else part
