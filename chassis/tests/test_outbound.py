"""Calls to addresses that others name reach nothing inside."""

from collections.abc import AsyncIterator
from ipaddress import IPv4Address, ip_address

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from chassis.addresses import OutboundRefused, is_public
from chassis.outbound import Outbound, outbound

TIMEOUT = aiohttp.ClientTimeout(total=5)


@pytest.fixture
async def site() -> AsyncIterator[str]:
    """A site inside: `/here`, and `/there` that redirects as often as it is told to."""

    async def here(request: web.Request) -> web.Response:
        return web.Response(text=request.method)

    async def there(request: web.Request) -> web.Response:
        left = int(request.query["left"])
        onward = f"/there?left={left - 1}" if left else request.query.get("to", "/here")
        raise web.HTTPFound(onward)

    app = web.Application()
    app.add_routes([web.route("*", "/here", here), web.route("*", "/there", there)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def guarded() -> AsyncIterator[Outbound]:
    async with outbound(TIMEOUT, 4) as opened:
        yield opened


@pytest.fixture
async def trusting() -> AsyncIterator[Outbound]:
    async with outbound(TIMEOUT, 4, inside=True) as opened:
        yield opened


async def get(calls: Outbound, url: str, redirects: int = 0) -> tuple[int, str]:
    async with calls.request("GET", url, redirects=redirects) as response:
        return response.status, await response.text()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://example.com/x", "https"),
        ("ftp://example.com/x", "https"),
        ("file:///etc/passwd", "https"),
        ("https:///x", "host"),
        ("https://me:secret@example.com/", "user name"),
        ("https://[::1/", "no address"),
        ("nonsense", "https"),
        ("https://example.com/" + "x" * 3000, "longer"),
    ],
)
async def test_an_address_that_is_none_is_refused_before_any_call(
    guarded: Outbound, url: str, problem: str
) -> None:
    with pytest.raises(OutboundRefused, match=problem) as refused:
        await get(guarded, url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "127.1"],
)
async def test_what_is_inside_is_refused_where_the_connection_is_made(
    guarded: Outbound, site: str, host: str
) -> None:
    port = site.rpartition(":")[2]
    with pytest.raises(OutboundRefused, match=r"inside|no address"):
        await get(guarded, f"https://{host}:{port}/here")


async def test_a_setting_lets_calls_inside(trusting: Outbound, site: str) -> None:
    assert await get(trusting, f"{site}/here") == (200, "GET")


async def test_redirects_are_followed_as_often_as_told(trusting: Outbound, site: str) -> None:
    assert await get(trusting, f"{site}/there?left=2", 3) == (200, "GET")
    with pytest.raises(OutboundRefused, match="too often"):
        await get(trusting, f"{site}/there?left=3", 3)
    assert (await get(trusting, f"{site}/there?left=0"))[0] == 302


@pytest.mark.parametrize("onward", ["file:///etc/passwd", "https://a:b@example.com/", "gopher://x"])
async def test_a_redirect_is_checked_like_the_address(
    trusting: Outbound, site: str, onward: str
) -> None:
    with pytest.raises(OutboundRefused):
        await get(trusting, f"{site}/there?left=0&to={onward}", 3)


@pytest.mark.parametrize(
    "address",
    [
        *("10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1"),
        *("0.0.0.0", "255.255.255.255", "::", "fe80::1%eth0", "fc00::1", "ff02::1"),
        *("64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:0:7f00:1::", "::ffff:10.0.0.1"),
        # Those in which an older way of writing or translating hides an inner one
        *("::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b:1::7f00:1", "fec0::1"),
        *("192.0.0.8", "192.88.99.1", "3fff::1", "5f00::1"),
    ],
)
def test_addresses_that_are_not_of_the_public_internet(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "157.240.1.1", "2a03:2880:f001::1"])
def test_addresses_of_the_public_internet(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_an_address_stands_for_what_it_holds(address: IPv4Address) -> None:
    mapped = ip_address(f"::ffff:{address}")
    translated = ip_address(int(ip_address("64:ff9b::")) | int(address))
    assert is_public(str(mapped)) == is_public(str(translated)) == is_public(str(address))
