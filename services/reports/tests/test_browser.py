"""The dashboard in a real browser: what it looks like, asks for, and can be used with."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page, async_playwright

from chassis.ids import fresh_id
from services.reports.dashboard.door import dashboard
from services.reports.tests.events import HOUR, MINUTE, NOON, campaign, outcome, received, ref
from services.reports.tests.looking import looking
from services.reports.tests.shop import four_weeks

TOKENS = {"viewer": "a token of the dashboard", "manager": "a token of its managers"}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
PICTURES = os.environ.get("DASHBOARD_PICTURES", "")
"""Where pictures of the pages are kept; empty: nowhere."""
PHONE = {"width": 390 if PICTURES else 320, "height": 740}  # the narrowest that WCAG asks for
DESK = {"width": 1280, "height": 900}

pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None and not os.environ.get("CI"),
        reason="no Chromium here: apt-get install chromium",
    ),
    pytest.mark.timeout(180),
]

CONTRASTS = """
() => {
  const parse = (c) => (c.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0.99) return c;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const e of document.querySelectorAll("body *")) {
    const words = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!words || !e.checkVisibility() || e.closest("svg, .spoken, .skip, option")) continue;
    const style = getComputedStyle(e);
    const [a, b] = [light(parse(style.color)), light(ground(e))].sort((x, y) => y - x);
    const large = parseFloat(style.fontSize) >= 24
      || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < (large ? 3 : 4.5)) {
      poor.push(`${e.tagName}.${e.className}: ${ratio.toFixed(2)} ${e.textContent.slice(0, 30)}`);
    }
  }
  return poor;
}
"""
SMALL = """
() => [...document.querySelectorAll("a, button, input, select, summary")]
  .filter((e) => e.checkVisibility() && !e.matches(".skip, [type=hidden]"))
  .filter((e) => !e.closest("p, td, th, dd, li small, .spoken"))
  .map((e) => [e.outerHTML.slice(0, 80), e.getBoundingClientRect()])
  .filter(([, box]) => box.width < 24 || box.height < 24).map(([html]) => html)
"""


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as play:
        flags = ["--host-resolver-rules=MAP *.test 127.0.0.1"]
        flags += ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = await play.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        await browser.close()


@pytest.fixture
async def shop(pool, ledger, manual_clock, feed) -> AsyncIterator[Any]:
    ids = await four_weeks(feed, fresh_id("shop"))
    async with (
        looking(pool, ledger, manual_clock) as (sources, maker),
        TestServer(dashboard(sources, manual_clock, TOKENS)) as server,
    ):
        server.ids, server.maker = ids, maker
        yield server


async def opened(
    chromium: Browser, shop: Any, scheme: str = "light", size: Any = None, language: str = "en"
) -> Page:
    """A page of somebody who signed in, by the keyboard alone. What goes wrong in it is kept."""
    context = await chromium.new_context(
        base_url=str(shop.make_url("/")),
        color_scheme=scheme,
        viewport=size or DESK,
        locale=language,
        reduced_motion="reduce",
    )
    page = await context.new_page()
    page.wrong = []
    page.on(
        "console",
        lambda m: (
            m.type in ("error", "warning")
            and "status of 400" not in m.text  # a page that says why it cannot be shown
            and page.wrong.append(m.text)
        ),
    )
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    own = str(shop.make_url("/"))
    page.on("request", lambda r: r.url.startswith((own, "data:")) or page.wrong.append(r.url))
    await page.goto("/sign-in")
    await page.wait_for_selector("#token:focus")
    await page.keyboard.type(TOKENS["manager"])
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/")
    return page


def paths(shop: Any) -> dict[str, str]:
    one = shop.ids[0]
    return {
        "overview": "/",
        "live": "/live",
        "campaigns": "/campaigns",
        "campaign": f"/campaigns/{one}",
        "recipients": f"/campaigns/{one}/recipients?by=failed",
        "segments": "/segments",
        "journeys": "/journeys?by=template",
        "contact": f"/contacts/{shop.ids[0].replace('_cmp_0', '_con_7')}",
        "finder": "/contacts",
        "alerts": "/alerts",
        "numbers": "/numbers",
        "exports": "/exports",
        "schedules": "/exports/schedules",
        "refused": "/?period=forever",
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_fits_and_can_be_read_on_phone_and_desk(chromium, shop, scheme) -> None:
    # Colours do not depend on the size
    for device, size in (("phone", PHONE), ("desk", DESK))[scheme == "dark" and not PICTURES :]:
        language = "tr" if device == "phone" else "en"
        page = await opened(chromium, shop, scheme, size, language)
        for name, path in paths(shop).items():
            answer = await page.goto(path)
            assert answer.status == (400 if name == "refused" else 200), path
            wide = await page.evaluate("document.documentElement.scrollWidth")
            if wide > size["width"]:
                page.wrong.append(f"{path} is {wide} wide on a {device}")
            page.wrong += [f"{path}: {one}" for one in await page.evaluate(CONTRASTS)]
            page.wrong += [f"{path}: small {one}" for one in await page.evaluate(SMALL)]
            if PICTURES:
                kept = Path(PICTURES) / f"dashboard-{name}-{device}-{scheme}.png"
                await page.screenshot(path=kept, full_page=device == "desk")
        assert page.wrong == []
        await page.context.close()


async def test_live_figures_change_without_a_reload(chromium, shop, feed) -> None:
    page = await opened(chromium, shop)
    await page.goto("/live")
    await page.evaluate("window.same = true")
    figure = page.locator("figure", has_text="Messages from people").locator("strong")
    before = int(await figure.inner_text())
    await feed("contact", [received(NOON, fresh_id("con"))])
    await page.wait_for_function(
        "n => [...document.querySelectorAll('figure strong')].some(e => Number(e.innerText) === n)",
        arg=before + 1,
    )
    assert await page.evaluate("window.same") is True
    await page.wait_for_function("document.querySelector('[role=status]').textContent !== ''")
    assert page.wrong == []


async def test_live_figures_can_be_paused(chromium, shop) -> None:
    page = await opened(chromium, shop)
    await page.clock.install()
    await page.goto("/live")
    await page.get_by_role("button", name="Pause updates").click()
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url))
    await page.clock.fast_forward(4_000)  # longer than the page waits between two looks
    assert asked == []
    await page.get_by_role("button", name="Pause updates").click()
    async with page.expect_request("**/live"):
        await page.clock.fast_forward(4_000)


async def test_a_keyboard_is_enough(chromium, shop) -> None:
    page = await opened(chromium, shop)
    await page.keyboard.press("Tab")
    skip = await page.evaluate("document.activeElement.textContent")
    assert skip == "Skip to the figures"
    box = await page.locator(":focus").bounding_box()
    assert box["x"] >= 0  # seen as soon as it has the focus
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "main"
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.id") == "period"
    await page.keyboard.type("Last 7")
    for _ in range(12):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.matches('.chooser button')"):
            break
    await page.keyboard.press("Enter")
    await page.wait_for_url("**period=7d**")
    assert await page.locator("#period").input_value() == "7d"


async def test_news_take_nothing_away_from_whoever_reads(chromium, shop, feed) -> None:
    page = await opened(chromium, shop, size=PHONE)
    await page.clock.install()
    await page.goto("/")
    table = page.locator(".scroll").last
    await table.evaluate("e => { e.scrollLeft = 120; e.firstChild.dataset.old = 1 }")
    async with page.expect_response("**/"):
        await page.clock.fast_forward(31_000)
    await page.wait_for_function("!document.querySelector('[data-old]')")
    assert await table.evaluate("e => e.scrollLeft") == 120
    await page.locator("#period").select_option("7d")
    await page.evaluate("document.activeElement.blur()")
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url))
    await page.clock.fast_forward(31_000)
    await page.clock.fast_forward(31_000)
    assert await page.locator("#period").input_value() == "7d"
    assert asked == []


async def test_signing_in_works_without_tls_by_any_name_of_the_machine(chromium, shop) -> None:
    """Browsers tell less of where a form comes from on pages that are not secure."""
    page = await (await chromium.new_context(locale="en")).new_page()
    url = shop.make_url("/campaigns").with_host("dashboard.test")
    await page.goto(str(url))
    await page.wait_for_selector("#token:focus")
    await page.keyboard.type(TOKENS["viewer"])
    await page.keyboard.press("Enter")
    await page.wait_for_selector("h1:text-is('Campaigns')")
    # And a link on a page of somebody else opens what it names, for whoever is signed in
    await page.goto(str(url.with_host("elsewhere.test").with_path("/sign-in")))
    await page.evaluate("url => { location.href = url }", str(url.with_path("/segments")))
    await page.wait_for_url("**/segments")
    assert await page.locator("h1").inner_text() == "Segments"
    # While a form there does nothing
    await page.goto(str(url.with_host("elsewhere.test").with_path("/sign-in")))
    await page.evaluate(
        """url => {
          const form = document.createElement("form");
          Object.assign(form, { method: "post", action: url });
          document.body.append(form);
          form.submit();
        }""",
        str(url.with_path("/sign-out")),
    )
    await page.wait_for_load_state()
    await page.goto(str(url.with_path("/live")))
    assert await page.locator("h1").inner_text() == "Live"


async def test_names_fit_however_long_or_strange(
    chromium, pool, ledger, manual_clock, feed
) -> None:
    own = fresh_id("c")
    names = ["Ş" * 200, "🎉" * 60, "שלום \u202eabc", "<b>&amp;</b>", "a b " * 50]
    for n, name in enumerate(names):
        one = f"{own}-{n}"
        about = ref(f"{one}/m", one, "v" * 60, "template_" * 12)
        await feed("message", [campaign(NOON - HOUR, one, "running", name, 1)])
        await feed("message", [outcome("sent", NOON - MINUTE, f"{one}/con", about)])
    async with (
        looking(pool, ledger, manual_clock) as (sources, _),
        TestServer(dashboard(sources, manual_clock, TOKENS)) as server,
    ):
        page = await opened(chromium, server, size=PHONE, language="tr")
        for path in (
            *("/", "/campaigns", "/journeys?by=campaign", "/journeys?by=template"),
            *(f"/campaigns/{own}-{n}" for n in range(len(names))),
            *(f"/campaigns/{own}-0/recipients", f"/?campaign={own}-0&template={'x' * 200}"),
            f"/contacts/{own}-0%2Fcon",
        ):
            await page.goto(path)
            wide = await page.evaluate("document.documentElement.scrollWidth")
            assert wide <= PHONE["width"], path
        assert page.wrong == []


async def test_a_new_marketing_lead_finds_every_answer_by_clicking(chromium, shop) -> None:
    page = await opened(chromium, shop)

    async def figures() -> dict[str, str]:
        cards = await page.locator(".figures > div").all()
        return {
            await one.locator("dt").inner_text(): (await one.locator("dd").inner_text())
            for one in cards
        }

    async def cells(table: str, row: str) -> list[str]:
        rows = f"table:has(caption:text-is('{table}')) tbody tr"
        found = page.locator(rows).filter(has=page.locator("th", has_text=row)).last
        return [await one.inner_text() for one in await found.locator("th, td").all()]

    # How many were sent, delivered, read, replied, clicked, bought; what it cost: the first page
    shown = await figures()
    for name in ("Sent", "Delivered", "Read", "Replied", "Clicked", "Bought"):
        assert int(shown[name].split()[0].replace(",", "")) > 0, name
    assert "$" in shown["Cost"]
    # Which message works best
    await page.get_by_role("link", name="Journeys").click()
    await page.get_by_role("link", name="Template", exact=True).click()
    assert "%" in (await cells("Template", "sablon_3"))[3]
    # Which hour
    assert await page.locator(".heat td.heat-9").count() > 0
    # Which segment
    await page.get_by_role("link", name="Segments").click()
    await page.wait_for_url("**/segments")
    assert "%" in (await cells("Segments", "VIP"))[5]
    # Is B better than A: one campaign, with its cost, its reasons and everybody in it
    await page.get_by_role("link", name="Campaigns").click()
    await page.locator(f"a[href='/campaigns/{shop.ids[0]}']").click()
    await page.wait_for_url(f"**/{shop.ids[0]}")
    assert "The variant b has read rate" in await page.locator(".insights").inner_text()
    assert (await cells("Variants", "b"))[0] == "b"
    assert "$" in (await figures())["Cost"]
    tree = await page.locator("main").aria_snapshot()
    for words in ("Best hours", "Why messages failed", "Why messages were not sent"):
        assert words in tree, words
    captions = await page.locator("table caption").all_inner_texts()
    assert len(captions) == len(set(captions))
    # And why one of them got nothing
    await page.get_by_role("link", name="Not sent").click()
    await page.wait_for_url("**/recipients?by=suppressed")
    await page.locator("tbody a").first.click()
    await page.locator("summary", has_text="Why").first.click()
    assert page.wrong == []


async def test_a_file_is_ordered_and_fetched(chromium, shop) -> None:
    page = await opened(chromium, shop)
    await page.goto(f"/campaigns/{shop.ids[0]}")
    await page.get_by_role("button", name="As PDF").click()
    await page.wait_for_url("**/exports")
    while await shop.maker.make():
        pass
    await page.reload()
    async with page.expect_download() as coming:
        await page.locator("table a").first.click()
    file = await (await coming.value).path()
    assert file.read_bytes().startswith(b"%PDF-")
