"""Short tracked links: tokens that nobody forges, redirects that never wait, clicks that arrive."""

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import aiohttp
import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.clock import ManualClock, SystemClock
from chassis.failures import Failure, Misconfigured, Unavailable
from chassis.ids import derived_id, fresh_id
from chassis.postgres import Pool, database
from chassis.streams import EventLog
from chassis.testing import wait_until
from merhaba.ingest.v1.ingest_service_pb2 import CreateLinksRequest, CreateLinksResponse
from merhaba.ingest.v1.link_pb2 import Link, LinkSpec
from services.ingest.links import (
    Clicks,
    Links,
    Signer,
    Target,
    Targets,
    TargetStore,
    Token,
    Wish,
    link_keys,
)
from services.ingest.links.target import location
from services.ingest.model import Occurrence
from services.ingest.tests.conftest import Front, opened, refused
from services.ingest.visitor import Visitor

PHONE = (
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/130.0.0.0 Mobile Safari/537.36"
)
KEY, OLD, FOREIGN = b"the key of today", b"the key before it", b"the key of others"
SIGNER = Signer([KEY])
TOKEN = Token(7, 1_800_000_000, derived_id("msg", "1"), str(uuid4()))

ids = st.one_of(
    st.text(max_size=50),
    st.uuids().map(str),
    st.uuids().map(lambda one: str(one).upper()),
    st.text(max_size=5).map(lambda one: derived_id("msg", one)),
    st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=25, max_size=27).map("msg_".__add__),
)


# ---- tokens


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**32 - 1), ids, ids)
def test_a_token_says_what_was_signed(
    target: int, expire_s: int, message_id: str, contact_id: str
) -> None:
    token = Token(target, expire_s, message_id, contact_id)
    said = SIGNER.sign(token)
    assert SIGNER.read(said) == token
    assert SIGNER.sign(token) == said


def test_a_token_for_an_own_message_and_a_contact_is_short() -> None:
    assert len(SIGNER.sign(TOKEN)) <= 70


def test_every_damage_to_a_token_is_seen() -> None:
    said = SIGNER.sign(TOKEN)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    damaged = [
        said[:at] + letter + said[at + 1 :]
        for at in range(len(said))
        for letter in alphabet
        if letter != said[at]
    ]
    damaged += [said[:at] for at in range(len(said))]
    damaged += [said + more for more in ("A", "=", "==", "\n", ".", "AAAA")]
    assert all(SIGNER.read(one) is None for one in damaged)


@given(st.one_of(st.text(), st.binary(max_size=200)))
def test_what_nobody_signed_is_no_token(said: str | bytes) -> None:
    text = said if isinstance(said, str) else base64.urlsafe_b64encode(said).rstrip(b"=").decode()
    assert SIGNER.read(text) is None


def test_a_key_that_was_rotated_still_opens_and_a_foreign_one_never_did() -> None:
    before = Signer([OLD]).sign(TOKEN)
    rotated = Signer([KEY, OLD])
    assert rotated.read(before) == TOKEN
    assert rotated.sign(TOKEN) == SIGNER.sign(TOKEN) != before
    assert SIGNER.read(before) is None
    assert rotated.read(Signer([FOREIGN]).sign(TOKEN)) is None


@pytest.mark.parametrize("setting", ["", " , ", "too short", "long enough for a key,short"])
def test_a_key_that_could_be_guessed_is_refused_by_name(setting: str) -> None:
    with pytest.raises(Misconfigured, match="LINK_KEY"):
        link_keys(setting)
    assert link_keys(f" {KEY.decode()} ,{OLD.decode()},") == [KEY, OLD]


# ---- targets


@pytest.mark.parametrize(
    "url",
    ["", "javascript:alert(1)", "//example.com", "/x", "https://", "https://a@b.example",
     "http://[", "https://a.example/\r\nSet-Cookie: x", "https://a.example/ x", "ftp://a.example",
     "https://a.example:99999/", "https://" + "ş" * 64 + ".example", "https://a.example/" * 200,
     "data:text/html,x", "https:\\\\a.example"],
)  # fmt: skip
def test_a_link_leads_to_the_web_only(url: str) -> None:
    with pytest.raises(Failure) as caught:
        Wish(url, "", "", "").check(3)
    assert caught.value.reason in ("URL_NOT_ALLOWED", "FIELD_INVALID")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://a.example/%C3%A7?q=a+b%20c&d=#x", "https://a.example/%C3%A7?q=a+b%20c&d=#x"),
        ("https://a.example/çay?a=%20&b=ı", "https://a.example/%C3%A7ay?a=%20&b=%C4%B1"),
        ("https://çay.example:8443/a", "https://xn--ay-3ia.example:8443/a"),
        ("https://[::1]:8443/ç", "https://[::1]:8443/%C3%A7"),
    ],
)
def test_a_browser_is_told_the_address_in_ascii_and_nothing_else_of_it_changes(
    url: str, told: str
) -> None:
    Wish(url, "", "", "").check(0)
    assert location(url) == told


@pytest.fixture
async def pool(migrated: str) -> AsyncIterator[Pool]:
    async with database(migrated, "ingest", 4) as opened:
        yield opened


async def count(pool: Pool, campaign_id: str) -> int:
    found: int = await pool.fetchval(
        "SELECT count(*) FROM link_targets WHERE campaign_id = $1", campaign_id
    )
    return found


async def test_a_campaign_has_one_row_for_an_address_however_many_get_it(
    pool: Pool, manual_clock: ManualClock
) -> None:
    links = Links(TargetStore(pool), SIGNER, manual_clock, "https://go.example/", 90)
    campaign = fresh_id("cmp")
    wishes = [
        Wish(f"https://shop.example/{n % 2}", fresh_id("msg"), campaign, str(uuid4()))
        for n in range(1_000)
    ]
    calls = [links.make(wishes[start::4], links.default_expiry()) for start in range(4)]
    made = [link for part in await asyncio.gather(*calls) for link in part]
    assert len({link.token for link in made}) == 1_000
    assert len({link.link_id for link in made}) == 2
    assert await count(pool, campaign) == 2


async def test_a_target_is_kept_until_its_last_link_expires_and_its_number_never_returns(
    pool: Pool, manual_clock: ManualClock
) -> None:
    store, campaign, url = TargetStore(pool), fresh_id("cmp"), "https://shop.example"
    links = Links(store, SIGNER, manual_clock, "https://go.example", 90)
    now_s = int(manual_clock.now().timestamp())

    async def number(expire_s: int) -> int:
        (link,) = await links.make([Wish(url, "m", campaign, "")], expire_s)
        token = SIGNER.read(link.token)
        assert token is not None
        return token.target

    first = await number(now_s + 3_600)
    assert await number(now_s + 7_200) == first
    assert await number(now_s + 60) == first
    await manual_clock.advance(timedelta(hours=2))
    await store.forget(manual_clock.now())
    target = await store.get(first)
    assert target is not None
    assert (target.url, target.campaign_id) == (url, campaign)
    await manual_clock.advance(timedelta(seconds=1))
    await store.forget(manual_clock.now())
    assert await store.get(first) is None
    assert await number(now_s + 9_000) > first


class OneTarget:
    """A store with one target, which answers when it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.answering = asyncio.Event()

    async def get(self, number: int) -> Target | None:
        self.asked += 1
        await self.answering.wait()
        return Target("link", "cmp", "https://shop.example") if number == 1 else None


async def test_all_who_wait_for_a_target_ask_the_store_once_and_later_ones_never() -> None:
    store = OneTarget()
    targets = Targets(store)
    waiting = [asyncio.create_task(targets.find(1)) for _ in range(50)]
    await wait_until(lambda: asyncio.sleep(0, store.asked == 1))
    waiting.pop().cancel()
    store.answering.set()
    found = await asyncio.gather(*waiting)
    assert {target.url for target in found if target} == {"https://shop.example"}
    assert await targets.find(1) == found[0]
    assert store.asked == 1
    assert await targets.find(2) is None


# ---- clicks


class Log:
    """A log that can be away."""

    def __init__(self) -> None:
        self.away = False
        self.told: list[Occurrence] = []

    def event(self, occurrence: Occurrence, _received_ms: int, _trace: str) -> Occurrence:
        return occurrence

    async def append(self, records: Sequence[Occurrence]) -> None:
        if self.away:
            raise Unavailable("away")
        self.told.extend(records)


class Counted:
    def __init__(self) -> None:
        self.total: dict[str, int] = {}

    def add(self, amount: int, attributes: dict[str, str]) -> None:
        outcome = attributes["merhaba.outcome"]
        self.total[outcome] = self.total.get(outcome, 0) + amount


TARGET = Target("link_1", "cmp_1", "https://shop.example")
WHO = Visitor("mobile", "Android", "Chrome", "tr-TR")


@given(st.lists(st.integers(0, 400_000), min_size=1, max_size=30), st.integers(0, 60_000))
def test_opened_again_within_a_minute_is_the_same_click(moments: list[int], start: int) -> None:
    log = Log()

    async def run() -> None:
        clicks = Clicks(log, SystemClock(), Counted())
        async with clicks.telling(1):
            for moment in sorted(moments):
                clicks.tell(TOKEN, TARGET, WHO, "", start + moment)

    asyncio.run(run())
    expected: list[int] = []
    for moment in sorted(moments):
        if not expected or moment - expected[-1] >= 60_000:
            expected.append(moment)
    assert [click.time_ms - start for click in log.told] == expected
    assert len({click.event_id for click in log.told}) == len(expected)


async def test_two_replicas_that_hear_of_the_same_click_give_it_one_id() -> None:
    log = Log()
    for moment in (60_000, 61_000):
        clicks = Clicks(log, SystemClock(), Counted())
        async with clicks.telling(1):
            clicks.tell(TOKEN, TARGET, WHO, "", moment)
    assert len(log.told) == 2
    assert len({click.event_id for click in log.told}) == 1


async def test_a_link_of_nobody_counts_people_apart() -> None:
    log = Log()
    clicks = Clicks(log, SystemClock(), Counted())
    nobodys = Token(7, 1_800_000_000)
    async with clicks.telling(1):
        for stranger in ("ayse", "mehmet", "ayse"):
            clicks.tell(nobodys, TARGET, WHO, stranger, 60_000)
            clicks.tell(TOKEN, TARGET, WHO, stranger, 60_000)
    assert len({click.event_id for click in log.told}) == 3


async def test_what_the_queue_cannot_hold_is_counted_and_nothing_waits() -> None:
    log, counted = Log(), Counted()
    log.away = True
    clicks = Clicks(log, SystemClock(), counted)
    async with clicks.telling(grace_s=5):
        for number in range(10_007):
            clicks.tell(Token(7, 1_800_000_000, f"m{number}"), TARGET, WHO, "", 0)
        assert counted.total == {"lost": 7}
        log.away = False
    assert counted.total == {"lost": 7, "told": 10_000}
    assert [click.body["message_id"] for click in log.told] == [f"m{n}" for n in range(10_000)]


async def test_what_still_waits_when_the_grace_ends_is_counted_as_lost() -> None:
    log, counted = Log(), Counted()
    log.away = True
    clicks = Clicks(log, SystemClock(), counted)
    async with clicks.telling(grace_s=0.05):
        clicks.tell(TOKEN, TARGET, WHO, "", 0)
    assert counted.total == {"lost": 1}
    assert log.told == []


# ---- the door


async def make(front: Front, *specs: LinkSpec, request_id: str = "") -> list[Link]:
    """Links as the API makes them; a request id makes it a repeat."""
    request = CreateLinksRequest(request_id=request_id or str(uuid4()), links=specs)
    response: CreateLinksResponse = await front.api.CreateLinks(request)  # type: ignore[misc]  # a stub of both kinds
    return list(response.links)


async def made(front: Front, **spec: Any) -> Link:
    return (await make(front, LinkSpec(**spec)))[0]


def opening(front: Front, token: str, **headers: str) -> Any:
    return front.session.get(
        f"{front.url}/l/{token}",
        headers={"User-Agent": PHONE, "Accept-Language": "tr-TR"} | headers,
        allow_redirects=False,
    )


@asynccontextmanager
async def full(log: EventLog) -> AsyncIterator[None]:
    """The log takes nothing for as long as the block runs."""
    before = (await log.redis.config_get("maxmemory"))["maxmemory"]
    await log.redis.config_set("maxmemory", 1)
    try:
        yield
    finally:
        await log.redis.config_set("maxmemory", before)


def clicks_of(front: Front, number: int) -> Any:
    async def there() -> bool:
        return len(await front.events("inbound.track")) == number

    return there


async def test_a_link_leads_to_its_target_and_tells_of_the_click(front: Front) -> None:
    spec = {
        "url": f"https://shop.example/{fresh_id('p')}?a=1&b=ı",
        "message_id": derived_id("msg", fresh_id("x")),
        "campaign_id": "cmp_1",
        "contact_id": str(uuid4()),
    }
    link = await made(front, **spec)
    assert link.short_url == f"https://go.example/l/{link.token}"
    for _ in range(2):
        async with opening(front, link.token, **{"Accept-Language": "en;q=0.5,tr"}) as response:
            assert response.status == 302
            assert response.headers["Location"] == location(spec["url"])
            assert response.headers["Cache-Control"] == "no-store"
            assert response.headers["Referrer-Policy"] == "no-referrer"
    await wait_until(clicks_of(front, 1))
    (click,) = await front.events("inbound.track")
    told = click.link_clicked
    assert click.contact_id == spec["contact_id"]
    assert (told.message_id, told.campaign_id) == (spec["message_id"], "cmp_1")
    assert (told.link_id, told.url) == (link.link_id, spec["url"])
    assert (told.device, told.os, told.browser) == ("mobile", "Android", "Chrome")
    assert told.language == "tr"


async def test_programs_and_early_fetches_are_led_on_and_not_counted(front: Front) -> None:
    link = await made(front, url="https://shop.example", message_id=fresh_id("msg"))
    for headers in (
        {"User-Agent": "WhatsApp/2.24.11.77 A"},
        {"User-Agent": "facebookexternalhit/1.1"},
        {"Sec-Purpose": "prefetch"},
    ):
        async with opening(front, link.token, **headers) as response:
            assert response.status == 302
    async with front.session.head(
        f"{front.url}/l/{link.token}", headers={"User-Agent": PHONE}
    ) as response:
        assert response.status == 302
    person = await made(front, url="https://shop.example", message_id="the only person")
    async with opening(front, person.token):
        await wait_until(clicks_of(front, 1))
    (click,) = await front.events("inbound.track")
    assert click.link_clicked.message_id == "the only person"


async def test_while_the_log_is_away_people_are_led_on_and_the_click_comes_later(
    front: Front,
) -> None:
    link = await made(front, url="https://shop.example", message_id=fresh_id("msg"))
    async with full(front.log), opening(front, link.token) as response:
        assert response.status == 302
        assert await front.events("inbound.track") == []
    await wait_until(clicks_of(front, 1))


async def test_what_is_clicked_just_before_a_stop_is_on_the_log(
    environment: dict[str, str], log: EventLog
) -> None:
    async with opened(environment, log) as front:
        link = await made(front, url="https://shop.example", message_id=fresh_id("msg"))
        async with opening(front, link.token) as response:
            assert response.status == 302
    assert len(await front.events("inbound.track")) == 1


async def test_a_link_made_before_a_rotation_of_the_key_opens_after_it(
    environment: dict[str, str], log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(environment, log) as front:
        link = await made(front, url="https://shop.example", message_id=fresh_id("msg"))
    for keys, status in (("a newer key of links," + environment["LINK_KEY"], 302),
                         ("a newer key of links", 404)):  # fmt: skip
        monkeypatch.setenv("LINK_KEY", keys)
        async with opened(environment, log) as front, opening(front, link.token) as response:
            assert response.status == status


async def test_the_same_target_for_the_same_message_is_the_same_link(front: Front) -> None:
    message = fresh_id("msg")
    specs = [
        LinkSpec(url=f"https://shop.example/{n % 2}", message_id=message, campaign_id="c")
        for n in range(4)
    ]
    request_id = str(uuid4())
    links = await make(front, *specs, request_id=request_id)
    tokens = [link.token for link in links]
    assert tokens == [*tokens[:2], *tokens[:2]]
    assert len(set(tokens)) == 2
    for again in (request_id, str(uuid4())):
        assert [link.token for link in await make(front, *specs, request_id=again)] == tokens
    other = await made(front, url="https://shop.example/0", message_id="other", campaign_id="c")
    assert other.token not in tokens
    assert other.link_id == links[0].link_id


async def test_a_request_repeated_the_next_day_still_gets_its_first_links(
    environment: dict[str, str], log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, request_id, tokens = LinkSpec(url="https://shop.example"), str(uuid4()), []
    for days in ("30", "31"):
        monkeypatch.setenv("LINK_DAYS", days)
        async with opened(environment, log) as front:
            tokens.append((await make(front, spec, request_id=request_id))[0].token)
    assert tokens[0] == tokens[1]


async def test_a_link_expires_when_told_or_at_the_end_of_a_day(front: Front) -> None:
    day = 86_400
    link = await made(front, url="https://shop.example")
    now_s = datetime.now(UTC).timestamp()
    assert link.expire_time.seconds % day == 0
    assert 0 <= link.expire_time.seconds - (now_s + 90 * day) <= day
    spec = LinkSpec(url="https://shop.example")
    spec.expire_time.seconds = 1_999_999_999
    (told,) = await make(front, spec)
    assert told.expire_time.seconds == 1_999_999_999


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("url", "javascript:alert(1)", "URL_NOT_ALLOWED"),
        ("url", "", "FIELD_INVALID"),
        ("message_id", "x" * 201, "FIELD_INVALID"),
        ("contact_id", "a\0b", "FIELD_INVALID"),
    ],
)
async def test_a_link_that_may_not_be_is_refused_and_none_of_the_others_made(
    front: Front, pool: Pool, field: str, value: str, reason: str
) -> None:
    campaign = fresh_id("cmp")
    good = LinkSpec(url="https://shop.example", message_id=fresh_id("msg"), campaign_id=campaign)
    bad = LinkSpec(url="https://shop.example")
    setattr(bad, field, value)
    code, info = await refused(make(front, good, bad))
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert "1" in (info.metadata.get("index"), info.metadata.get("field", "")[6:7])
    assert await count(pool, campaign) == 0


async def page(front: Front, token: str, accept_language: str) -> tuple[int, str]:
    async with opening(front, token, **{"Accept-Language": accept_language}) as response:
        assert response.headers["Cache-Control"] == "no-store"
        return response.status, await response.text()


async def test_unknown_and_expired_links_say_so_kindly_in_two_languages(front: Front) -> None:
    spec = LinkSpec(url="https://shop.example", message_id=fresh_id("msg"))
    spec.expire_time.FromDatetime(datetime.now(UTC) - timedelta(minutes=1))
    expired = (await make(front, spec))[0].token
    foreign = Signer([FOREIGN]).sign(TOKEN)
    lost = Signer([b"a key that signs links"]).sign(TOKEN._replace(target=2**60))
    for token, status, english, turkish in (
        (expired, 410, "expired", "süresi doldu"),
        (foreign, 404, "No such link", "bağlantı yok"),
        (lost, 404, "No such link", "bağlantı yok"),
        ("short", 404, "No such link", "bağlantı yok"),
        (expired[:-1], 404, "No such link", "bağlantı yok"),
    ):
        for languages, words in (
            ("en-GB,tr;q=0.5", english),
            ("de, en;q=0.2, tr;q=0.9", turkish),
            ("", english),
        ):
            assert await page(front, token, languages) == (status, _Holding(words))
    assert await front.events("inbound.track") == []


class _Holding(str):
    """Equal to every text that holds it."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and str(self) in str(other)

    __hash__ = str.__hash__


async def test_no_part_of_the_request_says_where_a_link_leads(front: Front) -> None:
    link = await made(front, url="https://shop.example/a", message_id=fresh_id("msg"))
    evil = "https://evil.example"
    async with front.session.get(
        f"{front.url}/l/{link.token}?url={evil}&to=//evil.example",
        headers={"User-Agent": PHONE, "X-Forwarded-Host": "evil.example", "Referer": evil},
        allow_redirects=False,
    ) as response:
        assert response.headers["Location"] == "https://shop.example/a"
    for path in (evil, f"{link.token}/{evil}", f"{link.token}{evil}", f"//{evil}"):
        answer: aiohttp.ClientResponse
        async with front.session.get(f"{front.url}/l/{path}", allow_redirects=False) as answer:
            assert answer.status == 404
            assert "Location" not in answer.headers
