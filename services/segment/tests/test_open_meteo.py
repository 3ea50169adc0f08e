"""The client of Open-Meteo, against a server that gives recorded answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from chassis.clock import ManualClock
from services.segment.failures import ServiceUnavailable
from services.segment.vocabulary import WEATHER_FIELDS
from services.segment.weather.open_meteo import OpenMeteo

RECORDED = orjson.loads((Path(__file__).parent / "fixtures" / "open_meteo.json").read_bytes())
BERLIN, LAUSANNE = (52.52, 13.41), (46.516, 6.6328)


def many(*places: Any) -> list[Any]:
    """As they are given for several points."""
    return [{**({"location_id": i} if i else {}), **place} for i, place in enumerate(places)]


class Replaying:
    """Gives one answer after the other, the last one for ever."""

    def __init__(self, *answers: tuple[int, Any]) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, str]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append({name: str(value) for name, value in (await request.post()).items()})
        status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if body is None:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        return web.Response(status=status, body=raw, content_type="application/json")


@asynccontextmanager
async def client(replaying: Replaying, clock: ManualClock) -> AsyncIterator[OpenMeteo]:
    app = web.Application()
    app.router.add_post("/v1/forecast", replaying.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with aiohttp.ClientSession() as session:
            yield OpenMeteo(session, f"http://127.0.0.1:{port}/", clock, "a key")
    finally:
        await runner.cleanup()


async def patiently(asked: Any, clock: ManualClock) -> Any:
    """The clock moves while something waits for it."""
    task = asyncio.ensure_future(asked)
    while not task.done():
        await clock.advance(timedelta(seconds=5))
        await asyncio.sleep(0.005)
    return await task


async def test_many_points_are_one_request_and_answered_in_order(manual_clock: ManualClock) -> None:
    replaying = Replaying((200, many(RECORDED["berlin"], RECORDED["lausanne"])))
    async with client(replaying, manual_clock) as weather:
        berlin, lausanne = await weather.current([BERLIN, LAUSANNE])
    assert berlin == {
        "temperature_c": 2,
        "apparent_temperature_c": -3.3,
        "humidity_percent": 73,
        "precipitation_mm": 0,
        "rain_mm": 0,
        "snow_cm": 0,
        "cloud_cover_percent": 100,
        "wind_kmh": 19.7,
        "gusts_kmh": 36,
        "code": 3,
    }
    assert berlin.keys() == set(WEATHER_FIELDS)
    assert lausanne == {"precipitation_mm": 0}
    (asked,) = replaying.asked
    assert asked["latitude"] == "52.5200,46.5160"
    assert asked["longitude"] == "13.4100,6.6328"
    assert len(asked["current"].split(",")) == 10, "an eleventh would cost another call"
    assert asked["apikey"] == "a key"


async def test_of_one_point_the_answer_is_no_list(manual_clock: ManualClock) -> None:
    async with client(Replaying((200, RECORDED["lausanne"])), manual_clock) as weather:
        assert await weather.current([LAUSANNE]) == [{"precipitation_mm": 0}]


async def test_what_passes_is_asked_for_again(manual_clock: ManualClock) -> None:
    replaying = Replaying((502, b"<html>"), (200, None), (200, RECORDED["lausanne"]))
    async with client(replaying, manual_clock) as weather:
        found = await patiently(weather.current([LAUSANNE]), manual_clock)
    assert found == [{"precipitation_mm": 0}]
    assert len(replaying.asked) == 3


@pytest.mark.parametrize(
    ("status", "body", "times"),
    [
        (429, RECORDED["limit"], 1),
        (400, RECORDED["mistake"], 1),
        (200, b"no JSON", 1),
        (200, many(RECORDED["berlin"], RECORDED["lausanne"]), 1),
        (200, b"[" + b" " * 5_000_000 + b"]", 1),
        (503, b"", 3),
    ],
)
async def test_what_does_not_pass_in_seconds_is_not_asked_for_at_once(
    manual_clock: ManualClock, status: int, body: Any, times: int
) -> None:
    replaying = Replaying((status, body))
    async with client(replaying, manual_clock) as weather:
        with pytest.raises(ServiceUnavailable):
            await patiently(weather.current([LAUSANNE]), manual_clock)
    assert len(replaying.asked) == times


async def test_what_is_not_a_number_is_not_known(manual_clock: ManualClock) -> None:
    current = {"temperature_2m": None, "rain": "much", "snowfall": True, "cloud_cover": 7}
    async with client(Replaying((200, {"current": current})), manual_clock) as weather:
        assert await weather.current([LAUSANNE]) == [{"cloud_cover_percent": 7}]
