"""Real requests of businesses are accepted as Meta accepts them."""

import json
import os
from pathlib import Path

import pytest

NOW = 1_790_000_000.0
ADA = "905321112233"
REAL = Path(__file__).parents[3] / "shared" / "sends"
needs_real = pytest.mark.skipif(
    not REAL.exists() and "CI" not in os.environ,
    reason=f"no real requests at {REAL}: nothing is sent as real businesses send it",
)
MEDIA = {
    "image": "image/png",
    "video": "video/mp4",
    "audio": "audio/ogg",
    "document": "application/pdf",
    "sticker": "image/webp",
}
# What is no message, or one that nobody here can get.
NOT_SENT = ("+group", "interactive-none", "-message_type", "text+reply__03")
CALLS = ("text__01", "text__02", "text__08", "text__12")
# Parts of Meta's pages that Meta itself refuses: placeholders for whole parts, a carousel of one
# card, a variable at the end of a body, headers called <HEADER_TYPE>, a time to live that marketing
# cannot have, a category of old.
NOT_WHOLE = (
    "address_message__01", "carousel__03", "product_list__01", "template_create__transactional",
    "template_create__marketing-utility", "template_create__marketing__body_footer__01",
    "body_carousel__02", "body_carousel__04", "btn-quick_reply_footer__02",
)  # fmt: skip
NUMBERS = {"latitude": 41.0, "longitude": 29.0}


def _filled(value, made, key="", under=""):
    """The request with its placeholders filled in."""
    if isinstance(value, dict):
        found = {k: _filled(v, made, k, key) for k, v in value.items()}
        for wrong in ("id", "link"):
            if key in MEDIA and wrong in found:
                found[wrong] = made.media[key] if wrong == "id" else "https://shop.example/a"
        return found
    if isinstance(value, list):
        return [_filled(v, made, key, under) for v in value]
    if key in NUMBERS:
        return NUMBERS[key]
    if key == "to":
        return ADA
    if key == "recipient":
        return made.world.people.bsuid_of(made.person())
    if key == "message_id":
        return made.wamid
    if key == "emoji":
        return "👍"
    if key in {"url", "link"}:
        return "https://shop.example/"
    return value


@pytest.fixture
def filled(small):
    """Makes a small world with media, an open window, and whatever a request names."""

    def make(path):
        made = small(pair_interval_s=0)
        made.wamid = made.heard()
        made.media = {
            kind: made.world.media.put(kind, "1060", mime_type, b"x", NOW).media_id
            for kind, mime_type in MEDIA.items()
        }
        return made, _filled(json.loads(path.read_text()), made)

    return make


def _requests(pattern, *without):
    files = sorted(REAL.glob(pattern)) if REAL.exists() else []
    return [pytest.param(f, id=f.stem) for f in files if not any(w in f.name for w in without)]


@needs_real
@pytest.mark.parametrize(
    "path", _requests("message__*.json", "template", *NOT_SENT, *CALLS, *NOT_WHOLE)
)
def test_a_real_message_is_accepted(filled, path):
    made, body = filled(path)
    answer = made.send(body).answer
    assert answer.get("success") or answer["messages"][0]["id"].startswith("wamid.")


@needs_real
@pytest.mark.parametrize("path", _requests("template_create__*.json", *NOT_WHOLE))
def test_a_real_template_is_created(filled, path):
    made, body = filled(path)
    upload = made.world.uploads.begin("1", "image/png", 1)
    handle = made.world.uploads.write(upload, 0, b"x")

    def sampled(value):
        if isinstance(value, dict):
            return {k: [handle] if k == "header_handle" else sampled(v) for k, v in value.items()}
        return [sampled(v) for v in value] if isinstance(value, list) else value

    given = {"name": "made", "language": "en_US", "category": "MARKETING"}
    body |= {k: v for k, v in given.items() if "<" in body.get(k, "<")}
    template = made.approved(sampled(body))
    assert template.status == "APPROVED"
