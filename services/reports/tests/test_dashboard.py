"""The dashboard, over HTTP."""

import re
from pathlib import Path

import pytest

from chassis.ids import fresh_id
from services.reports import dashboard
from services.reports.conversions.model import Conversion
from services.reports.conversions.store import ConversionStore
from services.reports.dashboard.markup import tag, text
from services.reports.tests import visiting
from services.reports.tests.auditing import audit
from services.reports.tests.events import (
    HOUR,
    MINUTE,
    NOON,
    came,
    campaign,
    entered,
    ordered,
    outcome,
    received,
    ref,
    segment_changed,
)
from services.reports.tests.looking import NAME, PHONE
from services.reports.tests.visiting import page, pages
from services.reports.words import WORDS, Speech, choose

door, stranger, manager, browser = (
    visiting.door,
    visiting.stranger,
    visiting.manager,
    visiting.browser,
)
NASTY = "<script>alert(1)</script>\"'&"


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
        "/exports/schedules": ["schedules", "exports_viewer"],
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
    assert f"Campaign: {own}" in added  # nothing of it is in the period, so its name neither
    named = await page(browser, f"/?campaign={own}")
    assert f"Campaign: {text(NASTY)}" in named


async def test_days_that_somebody_chose_count_whatever_the_period_said(browser) -> None:
    shown = await page(browser, "/")
    (before,) = re.findall(r'name="shown" value="([^"]+)"', shown)
    first, last = before.split("/")
    form = f"/?period=28d&shown={before}&to={last}"
    assert '<option value="28d" selected>' in await page(browser, f"{form}&from={first}")
    chosen = await page(browser, f"{form}&from=2026-11-20")
    assert '<option value="custom" selected>' in chosen
    assert 'value="2026-11-20/' in chosen


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
    for written in (
        *("+90 532 123 45 67", "0090 532 123 45 67", "905321234567", "+90 (0532) 123-45-67"),
        *("0532 123 45 67", "5321234567"),
    ):
        answer = await manager.post("/contacts", data={"who": written}, allow_redirects=False)
        assert answer.status == 303, written
        assert answer.headers["Location"] == "/contacts/con_of_the_number"
    answer = await manager.post("/contacts", data={"who": "+90 555"})
    assert answer.status == 404
    assert text(WORDS["en"]["nobody"]) in await answer.text()


async def test_a_chosen_language_stays(browser) -> None:
    await page(browser, "/?lang=tr", "tr")
    async with browser.get("/", headers={"Accept-Language": "en"}) as answer:
        assert answer.headers["Content-Language"] == "tr"


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


def test_what_has_the_focus_is_seen_on_every_ground() -> None:
    css = (Path(dashboard.__file__).parent / "static" / "dashboard.css").read_text()
    assert "outline: 3px solid var(--main)" in css
    for scheme in re.findall(r":root {([^}]*--main[^}]*)}", css):
        colours = dict(re.findall(r"--(\w+): #(\w{6});", scheme))
        for ground in ("ground", "card", "mark"):
            lights = sorted(_light(colours[one]) for one in ("main", ground))
            assert (lights[1] + 0.05) / (lights[0] + 0.05) >= 3, (ground, colours)


def _light(colour: str) -> float:
    """Relative luminance, as WCAG has it."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    linear = [one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return sum(one * weight for one, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


async def test_a_page_counts_by_the_definition_that_is_chosen(browser, feed, pool) -> None:
    own = await played(feed)
    goal = Conversion(conversion_id=own, name=f"Trials {own} {NASTY}", event_name=own)
    await ConversionStore(pool).add(goal)
    goals = f"/?goal={own}", f"/journeys?goal={own}", f"/campaigns/{own}?goal={own}"
    try:
        for path in goals:
            shown = await page(browser, path)
            option = f'<option value="{own}" selected>Trials {own} {text(NASTY)}</option>'
            assert option in shown, path
            audit(shown, path)
        assert "TRY1,234.50" in await page(browser, f"/campaigns/{own}")
        assert "TRY1,234.50" not in await page(browser, f"/campaigns/{own}?goal={own}")
        async with browser.get("/?goal=nothing") as answer:
            assert answer.status == 404
    finally:
        await ConversionStore(pool).delete(own)


async def test_ads_are_shown_where_they_brought_people(browser, feed) -> None:
    own = fresh_id("ad")
    arrivals = [came(NOON - HOUR, f"{own}{n}", own, f"Sale {own} {NASTY}") for n in range(50)]
    await feed("contact", arrivals)
    await feed("contact", [ordered(NOON, f"{own}0", "o", 4321.5)])
    shown = await page(browser, "/?period=today")
    assert f"Sale {own} {text(NASTY)}" in shown
    assert "TRY4,321.50" in shown
    audit(shown, "/")
    narrow = await page(browser, f"/?period=today&campaign={own}")
    assert text(WORDS["en"]["ads"]) not in narrow
