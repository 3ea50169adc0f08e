"""The dashboard's door: who may come in, what a browser may do, how errors are told."""

import re
from datetime import timedelta
from html import unescape

import pytest
from aiohttp import ClientSession, CookieJar
from aiohttp.test_utils import TestServer
from yarl import URL

from services.reports.dashboard.attempts import ALLOWED, WINDOW, Attempts, client
from services.reports.dashboard.door import dashboard
from services.reports.dashboard.session import LASTS, holds, issue
from services.reports.ledger import Ledger
from services.reports.tests import visiting
from services.reports.tests.looking import looking
from services.reports.tests.visiting import MANAGER, TOKEN, TOKENS, pages

door, stranger, manager, browser = (
    visiting.door,
    visiting.stranger,
    visiting.manager,
    visiting.browser,
)


@pytest.mark.parametrize("path", [*pages("x"), "/exports/x", "/nowhere"])
async def test_who_has_not_signed_in_sees_only_the_form(stranger, path) -> None:
    for address in (path, f"{path}?token={TOKEN}"):
        answer = await stranger.get(address, allow_redirects=False)
        assert answer.status == 303
        assert answer.headers["Location"].partition("?")[0] == "/sign-in"


async def test_a_wrong_token_opens_nothing(stranger) -> None:
    for wrong in ("", "wrong", TOKEN[:-1], TOKEN + "x", "ı" * 20):
        answer = await stranger.post("/sign-in", data={"token": wrong}, allow_redirects=False)
        assert answer.status == 403
        assert "Set-Cookie" not in answer.headers
    assert (await stranger.get("/", allow_redirects=False)).status == 303


@pytest.mark.parametrize(
    ("language", "told"), [("en", "Try again in 15 min."), ("tr", "15 dk sonra yeniden deneyin.")]
)
async def test_who_tries_token_after_token_waits_even_with_the_right_one(
    stranger, manual_clock, language, told
) -> None:
    async def signing_in(token: str, address: str) -> tuple[int, str]:
        answer = await stranger.post(
            "/sign-in",
            data={"token": token},
            headers={"X-Forwarded-For": f"198.51.100.1, {address}", "Accept-Language": language},
            allow_redirects=False,
        )
        assert answer.headers.get("Retry-After") == ("900" if answer.status == 429 else None)
        return answer.status, await answer.text()

    for number in range(ALLOWED):
        # An address of IPv6 is as good as any other of its network
        assert (await signing_in("wrong", f"2001:db8::{number}"))[0] == 403
    for token in ("wrong", TOKEN):
        status, shown = await signing_in(token, "2001:db8::ff")
        assert status == 429
        assert told in unescape(shown)
    assert (await signing_in("wrong", "203.0.113.7"))[0] == 403, "others may try"
    await manual_clock.advance(WINDOW)
    assert (await signing_in(TOKEN, "2001:db8::ff"))[0] == 303


def test_wrong_tokens_count_within_a_quarter_of_an_hour_and_until_a_right_one(
    manual_clock,
) -> None:
    attempts, now = Attempts(), manual_clock.now()
    for _ in range(ALLOWED - 1):
        attempts.failed("a", now)
    attempts.failed("a", now + WINDOW)
    assert not attempts.wait("a", now + WINDOW)
    for _ in range(ALLOWED - 1):
        attempts.failed("b", now)
    attempts.passed("b")
    attempts.failed("b", now)
    assert not attempts.wait("b", now)


def test_only_so_many_addresses_are_remembered(manual_clock, monkeypatch) -> None:
    monkeypatch.setattr("services.reports.dashboard.attempts._MOST", 2)
    attempts, now = Attempts(), manual_clock.now()
    for address in ("a", "b", "c"):
        for _ in range(ALLOWED):
            attempts.failed(address, now)
    assert [bool(attempts.wait(address, now)) for address in ("a", "b", "c")] == [False, True, True]


@pytest.mark.parametrize(
    ("peer", "forwarded", "who"),
    [
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "192.0.2.1, 203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "garbage", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7, unknown", "10.0.0.1"),
        ("::ffff:10.0.0.1", None, "10.0.0.1"),
        ("2001:db8:1:2:3::4", "", "2001:db8:1:2::/64"),
        (None, None, ""),
    ],
)
def test_a_client_is_whom_the_proxy_saw_last(peer, forwarded, who) -> None:
    assert client(peer, forwarded) == who


async def test_the_cookie_does_not_hold_the_token_and_scripts_cannot_read_it(stranger) -> None:
    answer = await stranger.post("/sign-in", data={"token": TOKEN}, allow_redirects=False)
    (cookie,) = answer.headers.getall("Set-Cookie")
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
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


async def test_style_and_script_are_kept_by_browsers_until_they_change(stranger) -> None:
    shown = await (await stranger.get("/sign-in")).text()
    (address,) = re.findall(r'href="(/static/[^"]+\.css)"', shown)
    answer = await stranger.get(address)
    assert (answer.status, answer.content_type) == (200, "text/css")
    assert "immutable" in answer.headers["Cache-Control"]
    assert not re.search(r"https?://|@import|url\(", await answer.text())
    for other in ("/static/x/dashboard.css", address.replace("dashboard.css", "door.py")):
        assert (await stranger.get(other)).status == 404


async def test_whoever_signs_in_comes_where_they_wanted_to_go(stranger) -> None:
    answer = await stranger.get("/campaigns?search=a b&sort=-sent")
    assert answer.url.path == "/sign-in"
    (kept,) = re.findall(r'name="next" value="([^"]+)"', await answer.text())
    form = {"token": "wrong", "next": unescape(kept)}
    shown = await (await stranger.post("/sign-in", data=form)).text()
    assert re.findall(r'name="next" value="([^"]+)"', shown) == [kept]
    form["token"] = TOKEN
    answer = await stranger.post("/sign-in", data=form, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (
        303,
        "/campaigns?search=a+b&sort=-sent",
    )


@pytest.mark.parametrize(
    "elsewhere",
    [
        *("https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example"),
        *("/\t/evil.example", "/\n/evil.example", "javascript:alert(1)", "evil.example"),
        *(" //evil.example", "/x\r\nSet-Cookie: a=b", "/" + "x" * 3_000, "/sign-in"),
    ],
)
async def test_signing_in_leads_nowhere_else(stranger, elsewhere) -> None:
    form = {"token": TOKEN, "next": elsewhere}
    answer = await stranger.post("/sign-in", data=form, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    shown = await (await stranger.get("/sign-in", params={"next": elsewhere})).text()
    assert 'name="next"' not in shown


@pytest.mark.parametrize("bytes_", ["%00", "a%00b", "%FF", "%ED%A0%80", "..%2F..%2Fetc", "%0D%0Ax"])
async def test_addresses_that_nothing_can_have_are_told_as_such(manager, bytes_) -> None:
    for path in ("/campaigns/{}", "/campaigns/{}/recipients", "/contacts/{}", "/exports/{}"):
        answer = await manager.get(URL(path.format(bytes_), encoded=True))
        assert answer.status in (400, 404), path
        assert "<h1>" in await answer.text()
    for name in ("search", "campaign", "place", "sort", "by", "value", "period", "from"):
        answer = await manager.get(URL(f"/campaigns?filter=campaign&{name}={bytes_}", encoded=True))
        assert answer.status in (200, 400), name
        answer = await manager.get(URL(f"/?filter=campaign&{name}={bytes_}", encoded=True))
        assert answer.status in (200, 400), name


async def test_forms_with_what_no_text_holds_are_refused(manager) -> None:
    for path, form in (
        ("/contacts", {"who": "a\x00b"}),
        ("/contacts", {"who": "x" * 3_000}),
        ("/alerts/x", {"note": "a\x00b"}),
        ("/exports", {"campaign": "a\x00b", "format": "csv"}),
        ("/sign-in", {"token": "a\x00b"}),
    ):
        answer = await manager.post(path, data=form)
        assert 400 <= answer.status < 500, path
        assert "<h1>" in await answer.text(), path


async def test_what_nobody_thought_of_is_told_without_its_words(
    pool, ledger, manual_clock, caplog
) -> None:
    class Broken(Ledger):
        def __init__(self) -> None:
            self.zone = "Europe/Istanbul"

        async def live(self, since: timedelta):
            raise RuntimeError("a secret")

    async with (
        looking(pool, ledger, manual_clock) as (sources, _),
        TestServer(dashboard(sources._replace(ledger=Broken()), manual_clock, TOKENS)) as server,
        ClientSession(server.make_url("/"), cookie_jar=CookieJar(unsafe=True)) as session,
    ):
        await session.post("/sign-in", data={"token": TOKEN}, allow_redirects=False)
        answer = await session.get("/live")
        shown = await answer.text()
        assert answer.status == 500
        assert "secret" not in shown
        assert "<h1>Something went wrong</h1>" in shown


async def test_an_address_for_forms_alone_says_so(manager) -> None:
    answer = await manager.get("/alerts/x")
    assert answer.status == 405
    assert "There is no such page" in await answer.text()


@pytest.mark.parametrize("cookie", ["9.manager.\udcff\udcfe", "\udcff.manager.x", "9.\udcff.x"])
def test_a_cookie_that_is_no_text_is_none(cookie, manual_clock) -> None:
    assert holds(cookie, TOKENS, manual_clock.now()) is None


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-www-form-urlencoded; charset=nothing", b"token=a"),
        ("application/x-www-form-urlencoded; charset=utf-8", b"\xff=\xff"),
        ("multipart/form-data; boundary=x", b"--x--"),
        ("multipart/form-data", b""),
        ("application/json", b"{}"),
    ],
)
async def test_a_form_that_is_none_is_refused(stranger, kind, body) -> None:
    answer = await stranger.post("/sign-in", data=body, headers={"Content-Type": kind})
    assert answer.status == 400
