"""Who opened a link, and the secrets of the door."""

import hashlib
import hmac

import pytest

from services.ingest.failures import UrlNotAllowed
from services.ingest.links import new_link
from services.ingest.signature import app_secrets, signed_by
from services.ingest.visitor import visitor

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15"
    " (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1"
)
PIXEL = (
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/130.0.0.0 Mobile Safari/537.36"
)


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (IPHONE, ("mobile", "iOS", "Safari")),
        (PIXEL, ("mobile", "Android", "Chrome")),
        (PIXEL.replace("Mobile ", ""), ("tablet", "Android", "Chrome")),
        ("Mozilla/5.0 (Windows NT 10.0; Win64) Chrome/130 Edg/130", ("desktop", "Windows", "Edge")),
        ("Something/1.0", ("", "", "")),
    ],
)
def test_device_system_and_browser_are_told_roughly(
    agent: str, expected: tuple[str, str, str]
) -> None:
    who = visitor(agent, "tr-TR,tr;q=0.9,en;q=0.8")
    assert who is not None
    assert (who.device, who.os, who.browser) == expected
    assert who.language == "tr-TR"


@pytest.mark.parametrize(
    "agent",
    [
        "WhatsApp/2.24.1 A",
        "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "curl/8.5.0",
        "",
    ],
)
def test_previews_and_programs_are_nobody(agent: str) -> None:
    assert visitor(agent, "") is None


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "//example.com", "/x", "https://", "https://a@b.example", "http://[",
     "https://a.example/\r\nSet-Cookie: x"],
)  # fmt: skip
def test_a_link_leads_to_the_web_only(url: str) -> None:
    with pytest.raises(UrlNotAllowed):
        new_link(0, url, "", "", "", 0)


def test_every_secret_of_every_app_holds_and_no_other() -> None:
    secrets = app_secrets("shop:new, shop:old ,bare")
    for secret, app in ((b"new", "shop"), (b"old", "shop"), (b"bare", "3")):
        digest = hmac.new(secret, b"body", hashlib.sha256).hexdigest()
        assert signed_by(b"body", f"sha256={digest}", secrets) == app
        assert signed_by(b"other", f"sha256={digest}", secrets) is None
        assert signed_by(b"body", digest, secrets) is None
    for header in ("", "sha256=", "sha256=\udcff", "sha256=" + "0" * 64):
        assert signed_by(b"body", header, secrets) is None
