"""The dashboard, over HTTP."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import ClientSession, CookieJar
from aiohttp.test_utils import TestServer

from chassis.clock import ManualClock
from chassis.ids import fresh_id
from services.reports.dashboard.door import dashboard
from services.reports.dashboard.markup import tag, text
from services.reports.dashboard.session import LASTS, holds, issue
from services.reports.ledger import Ledger
from services.reports.tests.auditing import audit
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
from services.reports.tests.looking import NAME, PHONE, looking
from services.reports.words import WORDS, Speech, choose

TOKEN = "a token of the dashboard"
MANAGER = "a token of its managers"
TOKENS = {"viewer": TOKEN, "manager": MANAGER}
NASTY = "<script>alert(1)</script>\"'&"


@pytest.fixture
async def door(pool, ledger: Ledger, manual_clock: ManualClock) -> AsyncIterator[TestServer]:
    async with (
        looking(pool, ledger, manual_clock) as (sources, maker),
        TestServer(dashboard(sources, manual_clock, TOKENS)) as server,
    ):
        server.maker = maker
        yield server


@pytest.fixture
async def stranger(door: TestServer) -> AsyncIterator[ClientSession]:
    async with ClientSession(door.make_url("/"), cookie_jar=CookieJar(unsafe=True)) as session:
        yield session


@pytest.fixture
async def manager(door: TestServer) -> AsyncIterator[ClientSession]:
    async with ClientSession(door.make_url("/"), cookie_jar=CookieJar(unsafe=True)) as session:
        await session.post("/sign-in", data={"token": MANAGER})
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


def pages(own: str) -> list[str]:
    return [
        *("/", "/live", "/campaigns", f"/campaigns/{own}", f"/campaigns/{own}/recipients"),
        *("/segments", "/journeys", "/journeys?by=template", "/contacts", f"/contacts/{own}/0"),
        *("/alerts", "/alerts?by=all", "/numbers", "/exports"),
    ]


@pytest.mark.parametrize("path", [*pages("x"), "/exports/x", "/nowhere"])
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
    assert holds(forged, TOKENS, manual_clock.now()) is None


def test_a_cookie_of_another_token_or_role_is_none(manual_clock) -> None:
    now = manual_clock.now()
    cookie = issue("viewer", TOKEN, now)
    assert holds(cookie, TOKENS, now) == "viewer"
    assert holds(issue("manager", MANAGER, now), TOKENS, now) == "manager"
    assert holds(cookie, {"viewer": TOKEN + "2", "manager": MANAGER}, now) is None
    later, role, signature = cookie.split(".")
    assert holds(f"{int(later) + 1}.{role}.{signature}", TOKENS, now) is None
    assert holds(f"{later}.manager.{signature}", TOKENS, now) is None


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
        "/": ["overview", "measure.sent", "measure.converted", "course", "largest_campaigns"],
        "/live": ["live", "today", "now", "base", "message_in"],
        "/campaigns": ["campaigns", "recipients", "measure.replied", "search_campaigns"],
        f"/campaigns/{own}": ["funnel", "variants", "heat", "costs", "outcomes", "gates", "codes"],
        f"/campaigns/{own}/recipients": ["reason", "outcome.failed", "outcome.suppressed"],
        "/segments": ["segments", "members", "measure.read_rate"],
        "/journeys": ["journeys", "by.trigger", "measure.sent"],
        "/contacts": ["contacts", "phone_or_id"],
        f"/contacts/{own}/0".replace("/0", "%2F0"): ["timeline", "event.message_read", "why"],
        "/alerts": ["alerts", "alerts_now"],
        "/numbers": ["numbers", "measure.failure_rate", "quality"],
        "/exports": ["exports", "exports_viewer"],
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
    for path in pages(own):
        shown = await page(browser, path.replace("/0", "%2F0"))
        assert "<script>alert" not in shown, path
        assert shown.count("<script") == 1, path
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in await page(
        browser, f"/campaigns?search={own}"
    )


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
    for path in [*pages(own), "/sign-in"]:
        async with browser.get(path.replace("/0", "%2F0")) as answer:
            shown, policy = await answer.text(), answer.headers["Content-Security-Policy"]
        assert not re.search(r"https?://|//[a-z]|@import|url\(", shown), path
        assert not re.search(r"<[^>]+ (style|on[a-z]+)=|<style", shown), path
        assert not re.search(r"<script(?![^>]* src=\"/static/)", shown), path
        assert policy.startswith("default-src 'none'"), path
        assert "unsafe" not in policy
        assert answer.headers["Cache-Control"] == "no-store"


async def test_style_and_script_are_kept_by_browsers_until_they_change(stranger) -> None:
    shown = await (await stranger.get("/sign-in")).text()
    (address,) = re.findall(r'href="(/static/[^"]+\.css)"', shown)
    answer = await stranger.get(address)
    assert (answer.status, answer.content_type) == (200, "text/css")
    assert "immutable" in answer.headers["Cache-Control"]
    assert not re.search(r"https?://|@import|url\(", await answer.text())
    for other in ("/static/x/dashboard.css", address.replace("dashboard.css", "door.py")):
        assert (await stranger.get(other)).status == 404


async def test_pages_can_be_used_by_keyboard_and_screen_reader(browser, feed) -> None:
    own = await played(feed)
    for path in pages(own):
        audit(await page(browser, path.replace("/0", "%2F0")), path)


async def test_every_page_of_figures_says_how_fresh_it_is(browser, feed) -> None:
    own = await played(feed)
    for path in pages(own):
        if path != "/contacts":
            shown = await page(browser, path.replace("/0", "%2F0"))
            assert 'class="fresh"><time datetime="2026-11-22T' in shown, path


async def test_a_period_a_comparison_and_filters_live_in_the_address(browser, feed) -> None:
    own = await played(feed)
    shown = await page(browser, f"/?period=7d&campaign={own}&compare=no")
    assert '<option value="7d" selected>' in shown
    assert 'href="/?period=7d&amp;compare=no"' in shown  # the filter taken away
    assert re.search(r"<dt>Sent</dt><dd>3\b", shown)
    added = await page(
        browser, f"/?filter=campaign&value={own}&period=custom&from=2026-11-21&to=2026-11-21"
    )
    assert re.search(r"<dt>Sent</dt><dd>(0|–)<", added)
    assert f"Campaign: {own}" in added


async def test_what_cannot_be_looked_at_is_said(browser) -> None:
    for path in (
        *("/?period=forever", "/?from=yesterday", "/?from=2026-12-01", "/?from=2020-01-01"),
        *("/?from=2026-11-20&to=2026-11-01", "/campaigns?sort=secret", "/campaigns?place=x"),
        *("/journeys?by=secret", "/?filter=secret&value=x", "/?search=" + "x" * 300),
    ):
        async with browser.get(path) as answer:
            assert answer.status == 400, path
            assert "That cannot be shown" in await answer.text()


async def test_campaigns_are_found_and_put_in_order(browser, feed) -> None:
    key = fresh_id("k")
    first, second = f"{key}-a", f"{key}-b"
    await feed("message", [campaign(NOON - HOUR, first, "running", f"Zebra {key}", 5)])
    await feed("message", [campaign(NOON, second, "completed", f"Ant {key}", 5)])
    await feed("message", [outcome("sent", NOON, first, ref(f"{key}/m", first, "a"))])

    async def order(query: str) -> list[str]:
        shown = await page(browser, f"/campaigns?search={key}{query}")
        return re.findall(rf"(Zebra|Ant) {key}", shown)

    assert await order("") == ["Ant", "Zebra"]
    assert await order("&sort=-name") == ["Zebra", "Ant"]
    assert await order("&sort=-sent") == ["Zebra", "Ant"]
    assert await order("&sort=sent") == ["Ant", "Zebra"]
    shown = await page(browser, f"/campaigns?search={key}&sort=-sent")
    assert 'aria-sort="descending"' in shown


async def test_recipients_are_listed_with_their_reasons(browser, feed) -> None:
    own = await played(feed)
    shown = await page(browser, f"/campaigns/{own}/recipients?by=failed")
    assert text(WORDS["en"]["gate.consent"]) not in shown
    assert "the person got enough marketing lately" in shown
    assert shown.count("<tbody><tr>") == 1
    shown = await page(browser, f"/campaigns/{own}/recipients?by=suppressed")
    assert text(WORDS["en"]["gate.consent"]) in shown


async def test_a_long_list_of_recipients_has_pages(browser, feed) -> None:
    own = fresh_id("c")
    events = [
        outcome("sent", NOON, f"{own}/{n:03}", ref(f"{own}/{n:03}", own, "a")) for n in range(70)
    ]
    await feed("message", events)
    seen: list[str] = []
    path = f"/campaigns/{own}/recipients"
    while path:
        shown = await page(browser, path)
        seen += re.findall(r"/contacts/([^\"]+)\"", shown)
        onward = re.search(r'href="([^"]+)" rel="next"', shown)
        path = onward[1].replace("&amp;", "&") if onward else ""
    assert len(seen) == len(set(seen)) == 70


async def test_people_are_masked_unless_a_manager_looks(browser, manager, feed) -> None:
    own = await played(feed)
    shown = await page(browser, f"/contacts/{own}%2F0")
    assert NAME not in shown
    assert PHONE not in shown
    assert "••• 67" in shown
    assert "A••• Y•••" in shown
    shown = await page(manager, f"/contacts/{own}%2F0")
    assert NAME in shown
    assert f"+{PHONE}" in shown


async def test_a_person_is_found_by_number_which_stays_out_of_the_address(manager) -> None:
    answer = await manager.post(
        "/contacts", data={"who": "+90 532 123 45 67"}, allow_redirects=False
    )
    assert (answer.status, answer.headers["Location"]) == (303, "/contacts/con_of_the_number")
    answer = await manager.post("/contacts", data={"who": "+90 555"})
    assert answer.status == 404
    assert text(WORDS["en"]["nobody"]) in await answer.text()


async def test_only_managers_act(browser, manager) -> None:
    for path, form in (
        ("/exports", {"what": "days", "format": "csv"}),
        ("/alerts/x", {"note": "mine"}),
    ):
        assert (await browser.post(path, data=form)).status == 403
    assert (await browser.get("/exports/x")).status == 403
    assert (await manager.post("/alerts/x", data={"note": "mine"})).status == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
    ],
)
async def test_forms_of_other_sites_do_nothing(manager, headers) -> None:
    answer = await manager.post("/exports", data={"what": "days", "format": "csv"}, headers=headers)
    assert answer.status == 403
    assert (await manager.post("/sign-out", headers=headers)).status == 403
    assert (await manager.get("/", allow_redirects=False)).status == 200


async def test_a_file_is_made_and_fetched(manager, door, feed) -> None:
    own = await played(feed)
    form = {"campaign": own, "format": "csv"}
    answer = await manager.post("/exports", data=form)
    assert answer.status == 200
    assert "Waiting" in await answer.text()
    while await door.maker.make():
        pass
    shown = await page(manager, "/exports")
    files = {}
    for path in re.findall(r'href="(/exports/exp_[^"]+)"', shown):
        async with manager.get(path) as answer:
            assert answer.status == 200
            assert "attachment" in answer.headers["Content-Disposition"]
            files[answer.content_type] = files.get(answer.content_type, b"") + await answer.read()
    assert own.encode() in files["text/csv"]


async def test_a_chosen_language_stays(browser) -> None:
    await page(browser, "/?lang=tr", "tr")
    async with browser.get("/", headers={"Accept-Language": "en"}) as answer:
        assert answer.headers["Content-Language"] == "tr"


async def test_a_page_that_is_not_there_says_so(browser) -> None:
    for path in ("/campaigns/nowhere", "/contacts/nobody", "/nowhere"):
        async with browser.get(path) as answer:
            assert answer.status == 404
            assert "There is no such page" in await answer.text()


async def test_an_outage_is_told_as_one(pool, ledger, manual_clock) -> None:
    class Away(Ledger):
        def __init__(self) -> None:
            self.zone = "Europe/Istanbul"

        async def live(self, since: timedelta):
            raise OSError("secret address")

    async with (
        looking(pool, ledger, manual_clock) as (sources, _),
        TestServer(dashboard(sources._replace(ledger=Away()), manual_clock, TOKENS)) as server,
        ClientSession(server.make_url("/"), cookie_jar=CookieJar(unsafe=True)) as session,
    ):
        await session.post("/sign-in", data={"token": TOKEN}, allow_redirects=False)
        answer = await session.get("/live")
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
    assert en.amounts({"": 1_000_000, "USD": 2_500_000}).endswith("$2.50")
    assert en.amounts({"no": 1_000_000})


def test_elements_escape_what_is_not_markup() -> None:
    assert tag("p", NASTY, title=NASTY) == (
        '<p title="&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;">'
        "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;</p>"
    )
