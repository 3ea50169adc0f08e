"""Phones open the links that people tap."""

import asyncio
import zlib
from collections import Counter
from urllib.parse import urlsplit

import aiohttp

_BROWSERS = (
    "Mozilla/5.0 (Linux; Android 14; SM-A546E) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/130.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
)


class Taps:
    """Opens tapped links: a few at once, at most `limit` waiting, no redirects followed."""

    def __init__(
        self, session: aiohttp.ClientSession, hosts: frozenset[str], limit: int = 512
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.busy = 0
        self._session = session
        self._hosts = hosts
        self._links: asyncio.Queue[tuple[str, str]] = asyncio.Queue(limit)

    @property
    def full(self) -> bool:
        return self._links.full()

    def offer(self, link: str, wa_id: str) -> None:
        if urlsplit(link).hostname not in self._hosts:
            self.counts["elsewhere"] += 1
            return
        self.busy += 1
        self._links.put_nowait((link, _BROWSERS[zlib.crc32(wa_id.encode()) % len(_BROWSERS)]))

    async def run(self, workers: int = 4) -> None:
        """Open links until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        timeout = aiohttp.ClientTimeout(total=10)
        while True:
            link, browser = await self._links.get()
            try:
                async with self._session.get(
                    link,
                    headers={"User-Agent": browser},
                    allow_redirects=False,
                    timeout=timeout,
                ) as answer:
                    self.counts["opened" if answer.status < 400 else "refused"] += 1
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
                self.counts["unreachable"] += 1
            finally:
                self.busy -= 1
