"""Meta's analytics: what it counted and billed of an account."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import orjson

from services.reports.failures import PlatformRefused, PlatformUnavailable

_TIMEOUT_S: Final = 30.0
_LARGEST: Final = 32 * 1024 * 1024
_TEMPLATES_AT_ONCE: Final = 10
_MOST_PAGES: Final = 200
_BUSY: Final = frozenset({1, 2, 4, 17, 80007, 80008})
_PRICING: Final = "COUNTRY,PHONE,PRICING_CATEGORY,PRICING_TYPE"


class Analytics:
    """Calls of Meta's API that read."""

    def __init__(self, session: aiohttp.ClientSession, base: str, token: str) -> None:
        self._session = session
        self._base = base
        self._token = token

    @property
    def usable(self) -> bool:
        """Whether there is a token to ask with."""
        return bool(self._token)

    async def currency(self, waba_id: str) -> str:
        """In which Meta bills the account."""
        found = await self._asked(waba_id, {"fields": "currency"})
        return str(found.get("currency") or "")

    async def template_names(self, waba_id: str) -> dict[str, str]:
        """Names of the account's templates by id."""
        asked = {"fields": "id,name", "limit": "500"}
        points = [one async for one in self._pages(f"{waba_id}/message_templates", asked)]
        return {str(one["id"]): str(one["name"]) for one in points}

    async def templates(
        self, waba_id: str, template_ids: Sequence[str], start: int, end: int
    ) -> list[dict[str, Any]]:
        """Points by template and day; Unix seconds."""
        points: list[dict[str, Any]] = []
        for at in range(0, len(template_ids), _TEMPLATES_AT_ONCE):
            ids = template_ids[at : at + _TEMPLATES_AT_ONCE]
            asked = {
                **{"start": str(start), "end": str(end), "granularity": "daily"},
                "template_ids": f"[{','.join(ids)}]",
                "metric_types": "sent,delivered,read,clicked,cost",
            }
            async for told in self._pages(f"{waba_id}/template_analytics", asked):
                points += told.get("data_points") or []
        return points

    async def pricing(self, waba_id: str, start: int, end: int) -> list[dict[str, Any]]:
        """Points by day and all that pricing is told by."""
        field = (
            f"pricing_analytics.start({start}).end({end}).granularity(DAILY)"
            f".dimensions([{_PRICING}])"
        )
        found = (await self._asked(waba_id, {"fields": field})).get("pricing_analytics") or {}
        return [point for one in found.get("data") or () for point in one.get("data_points") or ()]

    async def sent(self, waba_id: str, number: str, start: int, end: int) -> list[dict[str, Any]]:
        """Points by day of one number, given by its digits."""
        field = f"analytics.start({start}).end({end}).granularity(DAY).phone_numbers([{number}])"
        found = (await self._asked(waba_id, {"fields": field})).get("analytics") or {}
        return list(found.get("data_points") or ())

    async def _pages(self, path: str, asked: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
        after = ""
        for _ in range(_MOST_PAGES):
            page = await self._asked(path, {**asked, **({"after": after} if after else {})})
            for one in page.get("data") or ():
                yield one
            paging = page.get("paging") or {}
            after = str((paging.get("cursors") or {}).get("after") or "")
            if not after or "next" not in paging:
                return

    async def _asked(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Raises `PlatformRefused` and `PlatformUnavailable`."""
        if not self._token:
            raise PlatformRefused(
                190, "no access token", "set CLOUD_API_TOKEN of reports to read Meta's analytics"
            )
        operation = query.get("fields", path.rpartition("/")[2]).partition(".")[0]
        try:
            async with self._session.get(
                f"{self._base}/{path}?{urlencode(query)}",
                headers={"Authorization": f"Bearer {self._token}"},
            ) as response:
                raw = bytearray()
                async for piece in response.content.iter_any():
                    raw += piece
                    if len(raw) > _LARGEST:
                        raise PlatformRefused(
                            0, "more than can be read at once", "ask for a shorter period"
                        )
            found = orjson.loads(raw)
        except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError) as error:
            raise PlatformUnavailable(operation) from error
        if not isinstance(found, dict):
            raise PlatformUnavailable(operation)
        if isinstance(error_ := found.get("error"), dict):
            code = int(error_.get("code") or 0)
            if code in _BUSY:
                raise PlatformUnavailable(operation)
            title = str(error_.get("error_user_title") or error_.get("message") or "")
            raise PlatformRefused(code, title, str(error_.get("error_user_msg") or ""))
        return found


@asynccontextmanager
async def analytics(url: str, version: str, token: str) -> AsyncIterator[Analytics]:
    """Meta's analytics at an address, with an access token."""
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S, sock_connect=5.0)
    async with aiohttp.ClientSession(
        timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        yield Analytics(session, f"{url.rstrip('/')}/{version}", token)
