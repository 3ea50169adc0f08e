"""Who visits the dashboard: a stranger, somebody who may look, somebody who may act."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, CookieJar
from aiohttp.test_utils import TestServer

from chassis.clock import ManualClock
from services.reports.dashboard.door import dashboard
from services.reports.ledger import Ledger
from services.reports.tests.looking import looking

TOKEN = "a token of the dashboard"
MANAGER = "a token of its managers"
TOKENS = {"viewer": TOKEN, "manager": MANAGER}


@pytest.fixture
async def door(
    pool, ledger: Ledger, manual_clock: ManualClock, tmp_path: Path
) -> AsyncIterator[TestServer]:
    async with (
        looking(pool, ledger, manual_clock, tmp_path) as (sources, maker),
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
        *("/alerts", "/alerts?by=all", "/numbers", "/exports", "/exports/schedules"),
    ]
