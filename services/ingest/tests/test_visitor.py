"""Who opened a link, by real headers of browsers, previews and scanners."""

import pytest

from services.ingest.visitor import Visitors, languages

_CHROMIUM = "AppleWebKit/537.36 (KHTML, like Gecko)"
_WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
_GALAXY = "Mozilla/5.0 (Linux; Android 14; SM-S918B)"
_IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X)"
_MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
_WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROMIUM} Chrome/126.0.0.0 Safari/537.36"
PHONE = f"{_GALAXY} {_CHROMIUM} Chrome/126.0.0.0 Mobile Safari/537.36"

PEOPLE = {
    f"{_IPHONE} {_WEBKIT} Version/17.5 Mobile/15E148 Safari/604.1": ("mobile", "iOS", "Safari"),
    f"{_IPHONE} {_WEBKIT} CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1": (
        *("mobile", "iOS", "Chrome"),
    ),
    f"{_IPHONE} {_WEBKIT} FxiOS/127.0 Mobile/15E148 Safari/605.1.15": ("mobile", "iOS", "Firefox"),
    f"{_IPHONE} {_WEBKIT} Mobile/15E148 Instagram 336.0.0.30.93": ("mobile", "iOS", "Instagram"),
    f"Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) {_WEBKIT} Version/17.5 Mobile/15E148"
    " Safari/604.1": ("tablet", "iPadOS", "Safari"),
    # An iPad that asks for the sites of desktops, in Chrome, and in Safari as nobody can tell
    f"{_MAC} {_WEBKIT} CriOS/126.0.6478.54 Version/17.5 Safari/605.1.15": (
        *("tablet", "iPadOS", "Chrome"),
    ),
    f"{_MAC} {_WEBKIT} Version/17.5 Safari/605.1.15": ("desktop", "macOS", "Safari"),
    f"{_MAC} {_CHROMIUM} Chrome/126.0.0.0 Safari/537.36": ("desktop", "macOS", "Chrome"),
    # WhatsApp opens links in Chrome's custom tab, which says nothing of WhatsApp, or in a web view
    PHONE: ("mobile", "Android", "Chrome"),
    f"Mozilla/5.0 (Linux; Android 14; CPH2581 Build/UKQ1.230924.001; wv) {_CHROMIUM} Version/4.0"
    " Chrome/125.0.6422.165 Mobile Safari/537.36 WhatsApp/2.24.11.77": (
        *("mobile", "Android", "WhatsApp"),
    ),
    f"{_GALAXY[:-1]} Build/UP1A.231005.007; wv) {_CHROMIUM} Version/4.0 Chrome/126.0.6478.71"
    " Mobile Safari/537.36": ("mobile", "Android", "Chrome"),
    f"Mozilla/5.0 (Linux; Android 10; K) {_CHROMIUM} Chrome/130.0.0.0 Safari/537.36": (
        *("tablet", "Android", "Chrome"),
    ),
    f"{_GALAXY} {_CHROMIUM} SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36": (
        *("mobile", "Android", "Samsung Internet"),
    ),
    f"Mozilla/5.0 (Linux; Android 13; SM-X200) {_CHROMIUM} SamsungBrowser/25.0 Chrome/121.0.0.0"
    " Safari/537.36": ("tablet", "Android", "Samsung Internet"),
    f"Mozilla/5.0 (Linux; Android 10; HarmonyOS; ELS-NX9; HMSCore 6.13.0.302) {_CHROMIUM}"
    " Chrome/105.0.5195.148 HuaweiBrowser/14.0.5.303 Mobile Safari/537.36": (
        *("mobile", "Android", "Huawei Browser"),
    ),
    f"Mozilla/5.0 (Phone; OpenHarmony 5.0) {_CHROMIUM} Chrome/114.0.0.0 Safari/537.36"
    " ArkWeb/4.1.6.1 Mobile": ("mobile", "", "Chrome"),
    f"Mozilla/5.0 (Linux; arm_64; Android 13; M2101K6G) {_CHROMIUM} Chrome/124.0.0.0"
    " YaBrowser/24.6.0.174.00 SA/3 Mobile Safari/537.36": ("mobile", "Android", "Yandex Browser"),
    "Opera/9.80 (Android; Opera Mini/36.2.2254/191.273; U; tr) Presto/2.12.423 Version/12.16": (
        *("mobile", "Android", "Opera Mini"),
    ),
    f"{_GALAXY} {_CHROMIUM} Chrome/124.0.0.0 Mobile Safari/537.36 OPR/82.0.0.0": (
        *("mobile", "Android", "Opera"),
    ),
    f"Mozilla/5.0 (Linux; Android 12; CUBOT X50) {_CHROMIUM} Chrome/126.0.0.0 Mobile"
    " Safari/537.36": ("mobile", "Android", "Chrome"),
    "Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0": (
        *("mobile", "Android", "Firefox"),
    ),
    "Mozilla/5.0 (Android 14; Tablet; rv:127.0) Gecko/127.0 Firefox/127.0": (
        *("tablet", "Android", "Firefox"),
    ),
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0": (
        *("desktop", "Ubuntu", "Firefox"),
    ),
    f"{_WINDOWS} Edg/126.0.0.0": ("desktop", "Windows", "Edge"),
    f"{_WINDOWS} OneOutlook/1.2024.619.100": ("desktop", "Windows", "Chrome"),
    f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {_CHROMIUM} Chrome/126.0.0.0 Safari/537.36": (
        *("desktop", "ChromeOS", "Chrome"),
    ),
}

PROGRAMS = [
    # WhatsApp's own previews, made on Android, iOS, the web and Windows before anybody taps
    "WhatsApp/2.24.11.77 A",
    "WhatsApp/2.24.10.85 i",
    "WhatsApp/2.2424.8 W",
    "WhatsApp/2.2424.6 N",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    f"{_MAC} AppleWebKit/601.2.4 (KHTML, like Gecko) Version/9.0.1 Safari/601.2.4"
    " facebookexternalhit/1.1 Facebot Twitterbot/1.0",
    "meta-externalagent/1.1 (+https://developers.facebook.com/docs/sharing/webmasters/crawler)",
    "meta-externalfetcher/1.1",
    "facebookcatalog/1.0",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    f"{PHONE} (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    f"{_MAC} {_WEBKIT} Version/13.1.1 Safari/605.1.15 (Applebot/0.1)",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "TelegramBot (like TwitterBot)",
    "Twitterbot/1.0",
    "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
    "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
    "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5",
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "Mozilla/5.0 (compatible; vkShare; +http://vk.com/dev/Share)",
    "Iframely/1.3.1 (+https://iframely.com/docs/about)",
    "curl/8.5.0",
    "Wget/1.21.4",
    "python-requests/2.32.3",
    "python-httpx/0.27.0",
    "Python/3.11 aiohttp/3.9.5",
    "Go-http-client/2.0",
    "okhttp/4.12.0",
    "axios/1.7.2",
    "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
    "Java/17.0.1",
    "PostmanRuntime/7.39.0",
    "libwww-perl/6.72",
    "Dalvik/2.1.0 (Linux; U; Android 13; SM-A536B)",
    f"Mozilla/5.0 (X11; Linux x86_64) {_CHROMIUM} HeadlessChrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1",
    f"{_WINDOWS} Chrome-Lighthouse",
    # Scanners of corporate mail
    f"{_WINDOWS} OutlookSafeLinks",
    "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17628; Pro)",
    "Mozilla/4.0 (compatible; ms-office; MSOffice 16)",
    f"{_WINDOWS} Proofpoint-URL-Defense",
    "ProofpointUrlDefense/1.0",
    f"{_WINDOWS} Mimecast-URL-Protect",
    "Barracuda Sentinel (EE)",
    f"{_WINDOWS} BitSightBot/1.0",
    "Mozilla/5.0 zgrab/0.x",
    "Mozilla/5.0",
    "Something/1.0",
    "",
]


@pytest.fixture(scope="module")
def visitors() -> Visitors:
    return Visitors()


@pytest.mark.parametrize(("agent", "expected"), PEOPLE.items())
def test_device_system_and_browser_of_people_are_told(
    visitors: Visitors, agent: str, expected: tuple[str, str, str]
) -> None:
    who = visitors.visitor({"User-Agent": agent, "Accept-Language": "tr-TR,tr;q=0.9,en;q=0.8"})
    assert who is not None
    assert (who.device, who.os, who.browser) == expected
    assert who.language == "tr-TR"


@pytest.mark.parametrize("agent", PROGRAMS)
def test_previews_crawlers_and_scanners_are_nobody(visitors: Visitors, agent: str) -> None:
    assert visitors.visitor({"User-Agent": agent}) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Purpose", "prefetch"),
        ("X-Purpose", "preview"),
        ("Sec-Purpose", "prefetch;prerender"),
        ("X-Moz", "prefetch"),
    ],
)
def test_a_page_that_is_fetched_before_anybody_asks_is_nobodys(
    visitors: Visitors, name: str, value: str
) -> None:
    assert visitors.visitor({"User-Agent": PHONE, name: value}) is None


def test_what_is_no_text_or_too_long_harms_nobody(visitors: Visitors) -> None:
    who = visitors.visitor({"User-Agent": PHONE + "\udcff" + "x" * 100_000})
    assert who is not None
    assert (who.device, who.language) == ("mobile", "")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", []),
        ("tr", ["tr"]),
        ("TR-tr", ["tr-TR"]),
        ("en;q=0.7, tr-TR , *;q=0.5", ["tr-TR", "en"]),
        ("*, de;q=0.1", ["de"]),
        ("en;q=0, tr ; q=0.2", ["tr"]),
        ("zh-hant-tw,sr-latn;q=0.999,es-419;q=0.3", ["zh-Hant-TW", "sr-Latn", "es-419"]),
        ("en;q=0.5,tr;q=0.5", ["en", "tr"]),
        ("<script>,tr;q=x,\udcff,en", ["en"]),
    ],
)
def test_languages_come_best_first_and_as_they_are_written(
    header: str, expected: list[str]
) -> None:
    assert languages(header) == expected
