"""The forecast API of Open-Meteo: https://open-meteo.com/en/docs.

One request asks for many points; the answer is then a list in their order (of one point, the object
alone). Each point counts as a call as long as no more than ten variables are asked for. Parameters
are posted as a form: as a part of the address they would be too long.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from math import isfinite
from typing import Any, Final

import aiohttp
import msgspec
import structlog

from chassis.clock import Clock
from expressions.places import Point
from services.segment.failures import ServiceUnavailable
from services.segment.weather.source import Weather

_VARIABLES: Final[Mapping[str, str]] = {
    "temperature_2m": "temperature_c",
    "apparent_temperature": "apparent_temperature_c",
    "relative_humidity_2m": "humidity_percent",
    "precipitation": "precipitation_mm",
    "rain": "rain_mm",
    "snowfall": "snow_cm",
    "cloud_cover": "cloud_cover_percent",
    "wind_speed_10m": "wind_kmh",
    "wind_gusts_10m": "gusts_kmh",
    "weather_code": "code",
}
"""Theirs → ours; in the units that they use unless told otherwise."""
_FORECAST: Final = "v1/forecast"
_TIMEOUT: Final = aiohttp.ClientTimeout(total=15, connect=5)
_AGAIN: Final = (timedelta(seconds=1), timedelta(seconds=5))
_LARGEST_ANSWER: Final = 4 * 1024 * 1024

_logger = structlog.get_logger()


class _Place(msgspec.Struct):
    current: dict[str, Any]


_answer: Final = msgspec.json.Decoder(list[_Place] | _Place)


class OpenMeteo:
    """A client; implements `source.WeatherSource`."""

    most = 100
    """They take 1,000, but a minute has only 600 calls on the smallest plan."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, clock: Clock, api_key: str = ""
    ) -> None:
        """`url`: where it answers; customers with a key have another one than the public."""
        self._session = session
        self._url = f"{url.rstrip('/')}/{_FORECAST}"
        self._clock = clock
        self._api_key = api_key

    async def current(self, points: Sequence[Point]) -> Sequence[Weather]:
        """Of each point, in their order. Raises `ServiceUnavailable`."""
        form = {
            "latitude": ",".join(f"{latitude:.4f}" for latitude, _ in points),
            "longitude": ",".join(f"{longitude:.4f}" for _, longitude in points),
            "current": ",".join(_VARIABLES),
            **({"apikey": self._api_key} if self._api_key else {}),
        }
        for wait in (*_AGAIN, None):
            try:
                return await self._ask(form, len(points))
            except _Failed as failed:
                _logger.warning("no weather", why=failed.why)
                if wait is None or not failed.passes:
                    break
                await self._clock.sleep(wait)
        raise ServiceUnavailable("open-meteo")

    async def _ask(self, form: Mapping[str, str], points: int) -> list[Weather]:
        try:
            async with self._session.post(self._url, data=form, timeout=_TIMEOUT) as response:
                if response.status != 200:
                    # A minute's limit passes, but not by asking again at once.
                    passes = response.status >= 500
                    raise _Failed(f"http {response.status}", passes)
                body = bytearray()
                async for chunk in response.content.iter_chunked(65_536):
                    body += chunk
                    if len(body) > _LARGEST_ANSWER:
                        raise _Failed("an answer beyond all bounds", passes=False)
        except TimeoutError:
            raise _Failed("timeout", passes=True) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _Failed(type(error).__name__, passes=True) from None
        try:
            found = _answer.decode(body)
        except msgspec.MsgspecError:
            raise _Failed("not the answer that is documented", passes=False) from None
        places = found if isinstance(found, list) else [found]
        if len(places) != points:
            raise _Failed(f"{len(places)} answers to {points} points", passes=False)
        return [_weather(place.current) for place in places]


class _Failed(Exception):
    """`why` says nothing secret; `passes`: it may be over in a few seconds."""

    def __init__(self, why: str, passes: bool) -> None:
        super().__init__(why)
        self.why = why
        self.passes = passes


def _weather(current: Mapping[str, Any]) -> Weather:
    found = {ours: current.get(theirs) for theirs, ours in _VARIABLES.items()}
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    }
