"""The dashboard, over HTTP."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import ClientSession, CookieJar
from aiohttp.test_utils import TestServer

from chassis.clock import ManualClock
from chassis.ids import fresh_id
from services.reports.dashboard import dashboard
from services.reports.ledger import Ledger
from services.reports.page import tag, text
from services.reports.session import LASTS, holds, issue
from services.reports.tests.events import (
    HOUR,
    MINUTE,
    NOON,
    campaign,
    entered,
    ordered,
    outcome,
    received,
    ref,
    segment_changed,
)
from services.reports.words import WORDS, Speech, choose

TOKEN = "a token of the dashboard"
NASTY = "<script>alert(1)</script>\"'&"


@pytest.fixture
async def door(ledger: Ledger, manual_clock: ManualClock) -> AsyncIterator[TestServer]:
    async with TestServer(dashboard(ledger, manual_clock, TOKEN)) as server:
        yield server


@pytest.fixture
async def stranger(door: TestServer) -> AsyncIterator[ClientSession]:
    async with ClientSession(door.make_url("/"), cookie_jar=CookieJar(unsafe=True)) as session:
        yield session


@pytest.fixture
async def browser(stranger: ClientSession) -> ClientSession:
    answer = await stranger.post("/sign-in", data={"token": TOKEN}, allow_redirects=False)
    assert answer.status == 303
    return stranger


async def page(browser: ClientSession, path: str, language: str = "en") -> str:
    async with browser.get(path, headers={"Accept-Language": language}) as answer:
        assert answer.status == 200, path
        assert answer.headers["Content-Language"] == language
        return await answer.text()


@pytest.mark.parametrize("path", ["/", "/campaigns", "/campaigns/x", "/segments", "/nowhere"])
async def test_who_has_not_signed_in_sees_only_the_form(stranger, path) -> None:
    for address in (path, f"{path}?token={TOKEN}"):
        answer = await stranger.get(address, allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (303, "/sign-in")


async def test_a_wrong_token_opens_nothing(stranger) -> None:
    for wrong in ("", "wrong", TOKEN[:-1], TOKEN + "x", "ı" * 20):
        answer = await stranger.post("/sign-in", data={"token": wrong}, allow_redirects=False)
        assert answer.status == 403
        assert "Set-Cookie" not in answer.headers
    assert (await stranger.get("/", allow_redirects=False)).status == 303


async def test_the_cookie_does_not_hold_the_token_and_scripts_cannot_read_it(stranger) -> None:
    answer = await stranger.post("/sign-in", data={"token": TOKEN}, allow_redirects=False)
    (cookie,) = answer.headers.getall("Set-Cookie")
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Secure" not in cookie
    behind = {"X-Forwarded-Proto": "https"}
    answer = await stranger.post(
        "/sign-in", data={"token": TOKEN}, headers=behind, allow_redirects=False
    )
    assert "Secure" in answer.headers["Set-Cookie"]


async def test_a_session_ends(browser, manual_clock) -> None:
    assert (await browser.get("/", allow_redirects=False)).status == 200
    await manual_clock.advance(LASTS)
    assert (await browser.get("/", allow_redirects=False)).status == 303


async def test_signing_out_forgets_the_session(browser) -> None:
    await browser.post("/sign-out")
    assert (await browser.get("/", allow_redirects=False)).status == 303


@pytest.mark.parametrize("forged", ["", ".", "9999999999.", "9999999999.00", "x.y", "-1.0", "ı.ı"])
def test_a_forged_cookie_is_none(forged, manual_clock) -> None:
    assert not holds(forged, TOKEN, manual_clock.now())


def test_a_cookie_of_another_token_is_none(manual_clock) -> None:
    cookie = issue(TOKEN, manual_clock.now())
    assert holds(cookie, TOKEN, manual_clock.now())
    assert not holds(cookie, TOKEN + "2", manual_clock.now())
    later, _, signature = cookie.partition(".")
    assert not holds(f"{int(later) + 1}.{signature}", TOKEN, manual_clock.now())


async def played(feed) -> str:
    own = fresh_id("c")
    events = [campaign(NOON - HOUR, own, "running", NASTY, 4)]
    for n, kinds in enumerate(
        [
            ["sent", "delivered", "read", "clicked"],
            ["sent", "delivered"],
            ["sent", "failed"],
            ["suppressed"],
        ]
    ):
        about = ref(f"{own}/{n}", own, "ab"[n % 2] + NASTY)
        events += [
            outcome(k, NOON - 3 * MINUTE + i, f"{own}/{n}", about, cost=1_250_000)
            for i, k in enumerate(kinds)
        ]
    await feed("message", events)
    await feed("contact", [ordered(NOON, f"{own}/0", "o", 1234.5), received(NOON, own)])
    segments = [f"seg {NASTY}", f"seg {own}"]
    await feed("signal", [entered(NOON, own, segment) for segment in segments])
    await feed("signal", [segment_changed(NOON, segments[1], "n", f"Named {own} {NASTY}")])
    return own


@pytest.mark.parametrize("language", ["en", "tr"])
async def test_pages_are_there_in_both_languages(browser, feed, language) -> None:
    own = await played(feed)
    words = WORDS[language]
    for path, keys in {
        "/": ["overview", "today", "now", "base", "message_in"],
        "/campaigns": ["campaigns", "recipients", "replied"],
        f"/campaigns/{own}": ["funnel", "variants", "outcomes", "gates", "codes", "sales"],
        "/segments": ["segments", "members"],
    }.items():
        shown = await page(browser, path, language)
        assert f'<html lang="{language}">' in shown
        for key in keys:
            assert text(words[key]) in shown, (path, key)


async def test_a_campaign_page_shows_its_figures(browser, feed) -> None:
    own = await played(feed)
    shown = await page(browser, f"/campaigns/{own}")
    for figure in ("131049", "consent", "TRY1,234.50", "$2.50", "100.0%", "75.0%", "50.0%"):
        assert figure in shown, figure
    shown = await page(browser, f"/campaigns/{own}", "tr")
    for figure in ("₺1.234,50", "%75,0"):
        assert figure in shown, figure


async def test_names_are_escaped_everywhere(browser, feed) -> None:
    own = await played(feed)
    for path in ("/", "/campaigns", f"/campaigns/{own}", "/segments"):
        shown = await page(browser, path)
        assert "<script>alert" not in shown, path
        assert shown.count("<script") == 1, path
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in await page(browser, "/campaigns")


async def test_segments_are_shown_by_name_with_their_id_beside_it(browser, feed) -> None:
    own = await played(feed)
    named, unnamed, empty, gone = (f"{own}-{n}" for n in range(4))
    await feed("signal", [entered(NOON, own, one) for one in (named, unnamed)])
    said = [
        segment_changed(NOON, named, f"technical-{own}"),
        segment_changed(NOON, empty, "new", f"New {own}"),
        segment_changed(NOON, gone, "old", f"Old {own}", "archived"),
    ]
    await feed("signal", said)
    shown = await page(browser, "/segments")
    for row in (
        f"Named {own} {text(NASTY)} <small><code>seg {own}</code></small>",
        f"technical-{own} <small><code>{named}</code></small>",
        f'<th scope="row"><code>{unnamed}</code></th>',
        f"New {own} <small><code>{empty}</code></small>",
    ):
        assert row in shown
    assert gone not in shown


async def test_pages_ask_nobody_outside_and_run_only_what_is_theirs(browser, feed) -> None:
    own = await played(feed)
    for path in ("/", "/campaigns", f"/campaigns/{own}", "/segments", "/sign-in"):
        async with browser.get(path) as answer:
            shown, policy = await answer.text(), answer.headers["Content-Security-Policy"]
        assert not re.search(r"https?://|//[a-z]|@import|url\(", shown), path
        assert not re.search(r"<[^>]+ (style|on[a-z]+)=", shown), path
        assert policy.startswith("default-src 'none'"), path
        (nonce,) = set(re.findall(r"'nonce-([^']+)'", policy))
        assert all(f'nonce="{nonce}"' in m for m in re.findall(r"<(?:script|style)[^>]*>", shown))
        assert answer.headers["Cache-Control"] == "no-store"


async def test_pages_can_be_used_by_keyboard_and_screen_reader(browser, feed) -> None:
    own = await played(feed)
    shown = await page(browser, f"/campaigns/{own}")
    assert shown.count("<h1") == 1
    for mark in ("<main", "<nav", "<caption>", 'scope="col"', 'href="#main"', "aria-current"):
        assert mark in shown, mark
    assert 'name="viewport"' in shown


async def test_every_page_says_how_fresh_it_is(browser, feed) -> None:
    own = await played(feed)
    for path in ("/", "/campaigns", f"/campaigns/{own}", "/segments"):
        assert 'class="fresh"><time datetime="2026-11-22T' in await page(browser, path)


async def test_a_chosen_language_stays(browser) -> None:
    await page(browser, "/?lang=tr", "tr")
    async with browser.get("/", headers={"Accept-Language": "en"}) as answer:
        assert answer.headers["Content-Language"] == "tr"


async def test_a_page_that_is_not_there_says_so(browser) -> None:
    for path in ("/campaigns/nowhere", "/nowhere"):
        async with browser.get(path) as answer:
            assert answer.status == 404
            assert "There is no such page" in await answer.text()


async def test_an_outage_is_told_as_one(manual_clock) -> None:
    class Away(Ledger):
        def __init__(self) -> None:
            self.zone = "Europe/Istanbul"

        async def live(self, since: timedelta):
            raise OSError("secret address")

    async with (
        TestServer(dashboard(Away(), manual_clock, TOKEN)) as server,
        ClientSession(server.make_url("/"), cookie_jar=CookieJar(unsafe=True)) as session,
    ):
        answer = await session.post("/sign-in", data={"token": TOKEN})
        assert answer.status == 503
        assert "secret" not in await answer.text()


def test_both_languages_say_the_same_things() -> None:
    assert WORDS["tr"].keys() == WORDS["en"].keys()
    for key, words in WORDS["en"].items():
        assert sorted(re.findall(r"{\w+}", words)) == sorted(re.findall(r"{\w+}", WORDS["tr"][key]))


@pytest.mark.parametrize(
    ("asked", "kept", "accepted", "spoken"),
    [
        ("tr", "en", "en", "tr"),
        ("xx", "tr", "en", "tr"),
        ("", "", "tr-TR,tr;q=0.9,en;q=0.8", "tr"),
        ("", "", "de, en;q=0.5, tr;q=0.8", "tr"),
        ("", "", "de;q=x, ,;q=", "en"),
        ("", "", "", "en"),
    ],
)
def test_the_language_is_as_asked_as_kept_or_as_accepted(asked, kept, accepted, spoken) -> None:
    assert choose(asked, kept, accepted) == spoken


def test_numbers_are_written_as_the_language_writes_them() -> None:
    tr, en = Speech("tr", "Europe/Istanbul"), Speech("en", "Europe/Istanbul")
    assert (tr.number(12345), en.number(12345)) == ("12.345", "12,345")
    assert (tr.percent(0.1234), en.percent(0.1234), en.percent(None)) == ("%12,3", "12.3%", "–")
    assert en.money({"": 1_000_000, "USD": 2_500_000}).endswith("$2.50")
    assert en.money({"no": 1_000_000})


def test_elements_escape_what_is_not_markup() -> None:
    assert tag("p", NASTY, title=NASTY) == (
        '<p title="&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;">'
        "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;</p>"
    )
