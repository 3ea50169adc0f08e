"""Whatever a browser, or who plays one, sends to the dashboard: a page that says what is wrong, and
never an error of ours."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from random import Random
from typing import Final
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.reports.dashboard.look import DAYS, FILTERS
from tests.security.anything import HOSTILE
from tests.security.suite import MANAGER, Suite

LONG: Final = os.environ.get("SURVIVE") == "long"
FEW = settings(
    max_examples=10_000 if LONG else 150,
    derandomize=not LONG,
    database=None,
    deadline=None,
    suppress_health_check=[*HealthCheck],
)
RANDOM = st.randoms(use_true_random=False)
PAGES: Final = (
    *("/", "/live", "/campaigns", "/segments", "/journeys", "/contacts", "/alerts", "/numbers"),
    *("/exports", "/exports/schedules", "/sign-in", "/nowhere"),
    *("/campaigns/{}", "/campaigns/{}/recipients", "/contacts/{}", "/exports/{}", "/static/{}/{}"),
)
FORMS: Final = {
    "/contacts": ("who",),
    "/alerts/{}": ("note",),
    "/exports": ("what", "format", "campaign", "from", "to", "period"),
    "/exports/schedules": ("name", "what", "format", "time", "every", "covers", "to_kind", "where"),
    "/exports/schedules/{}": ("action",),
    "/exports/{}/cancel": ("x",),
    "/sign-in": ("token", "next"),
    "/sign-out": ("x",),
}
QUERIES: Final = (
    *("period", "from", "to", "shown", "compare", "filter", "value", "search", "sort", "by"),
    *("place", "lang", "next", *FILTERS),
)
TYPES: Final = (
    *("application/x-www-form-urlencoded",) * 3,
    "application/x-www-form-urlencoded; charset=nothing",
    "application/x-www-form-urlencoded; charset=utf-16",
    "multipart/form-data; boundary=x",
    "multipart/form-data",
    "application/json",
    "",
)
HEADERS: Final = ("Cookie", "Accept-Language", "Origin", "Sec-Fetch-Site", "X-Forwarded-Proto")
WORDS: Final = (
    *("custom", *DAYS, "no", "campaign", "figures", "messages", "csv", "xlsx", "webhook", "daily"),
    *("07:30", "1", "7", "delete", "2026-11-01", "2026-11-22", "9999-12-31", "0001-01-01"),
)
BYTES: Final = (
    *(b"\xff\xfe", b"\xc3\x28", "ü".encode(), b"a=b; c"),
    *(b"merhaba_session=\xff.manager.x", b"merhaba_session=9.manager.\xff\xfe"),
)


def word(chance: Random) -> str:
    return chance.choice(WORDS if chance.random() < 0.5 else HOSTILE)[:3_000]


def path(chance: Random, form: str) -> str:
    return form.format(*(quote(word(chance)[:300] or "x", safe="") for _ in range(2)))


@contextmanager
def connected(suite: Suite) -> Iterator[HTTPConnection]:
    to = HTTPConnection("127.0.0.1", suite.http["reports"], timeout=20)
    try:
        yield to
    finally:
        to.close()


@pytest.fixture(scope="module")
def cookie(suite: Suite) -> str:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    with connected(suite) as to:
        to.request("POST", "/sign-in", urlencode({"token": MANAGER}), headers)
        return to.getresponse().getheader("Set-Cookie", "").partition(";")[0]


def told(suite: Suite, asked: str, response: HTTPResponse) -> None:
    said = response.read()
    assert response.status < 500, (
        f"{asked}: {response.status} {said[:100]!r}\n{suite.said()[-3_000:]}"
    )
    onward = response.getheader("Location", "/")
    assert onward.startswith("/") and not onward.startswith(("//", "/\\")), asked
    if b"<html" in said:
        assert "default-src 'none'" in response.getheader("Content-Security-Policy", "")


@FEW
@given(RANDOM)
def test_any_address_is_answered_with_a_page(suite: Suite, cookie: str, chance: Random) -> None:
    names = chance.choices(QUERIES, k=chance.choice((0, 1, 2, 6)))
    query = urlencode([(name, word(chance)) for name in names], errors="surrogatepass")
    if chance.random() < 0.1:
        query += "&" + chance.choice(("%", "%ff=%ff", "period=%c3%28", "=", "&&&", "a;b", "[]=x"))
    asked = f"{path(chance, chance.choice(PAGES))}?{query}"
    headers = {"Cookie": cookie}
    if chance.random() < 0.3:
        headers[chance.choice(HEADERS)] = chance.choice(BYTES)
    with connected(suite) as to:
        to.request(chance.choice(("GET", "GET", "GET", "HEAD")), asked, headers=headers)
        told(suite, asked, to.getresponse())


@FEW
@given(RANDOM)
def test_any_form_is_answered_with_a_page(suite: Suite, cookie: str, chance: Random) -> None:
    form = chance.choice(list(FORMS))
    asked = path(chance, form)
    fields = [(name, word(chance)) for name in FORMS[form] if chance.random() < 0.9]
    body = urlencode(fields, errors="surrogatepass").encode()
    if chance.random() < 0.2:
        body += chance.choice((b"&\xff=\xff", b"&%ff=%ff", b"--x\r\n\r\n", b"--x--", b"&" * 2_000))
    headers = {"Cookie": cookie, "Content-Type": chance.choice(TYPES)}
    if chance.random() < 0.2:
        headers[chance.choice(HEADERS)] = chance.choice(BYTES)
    with connected(suite) as to:
        to.request("POST", asked, body, headers)
        told(suite, asked, to.getresponse())
