"""HTTP to addresses that others name: over TLS, and never to one inside our own network.

What an address is, is looked at where the connection is made: whatever a name resolved to before,
and wherever a redirect leads, nothing inside is reached.
"""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
from yarl import URL

from chassis.addresses import OutboundRefused, checked, is_public

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_INSIDE: Final = "its address is inside our own network"


class _Inside(PermissionError):
    """The address is inside."""


class Outbound:
    """Calls addresses that others name."""

    def __init__(self, session: aiohttp.ClientSession, inside: bool) -> None:
        self._session = session
        self._inside = inside

    def check(self, url: str) -> URL:
        """The address as it can be called. Raises `OutboundRefused`."""
        return checked(url, self._inside)

    @asynccontextmanager
    async def request(
        self, method: str, url: str, *, redirects: int = 0, **arguments: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A call and its answer, as `aiohttp` makes them; so many redirects are followed, each
        checked like the address itself, by a GET without a body. The body of the answer is as it
        was sent, not decompressed.

        Raises `OutboundRefused`, and what `aiohttp` raises for calls that fail.
        """
        target = self.check(url)
        for left in range(redirects, -1, -1):
            try:
                response = await self._session.request(
                    method, target, allow_redirects=False, **arguments
                )
            except aiohttp.InvalidURL:
                raise OutboundRefused("it is no address") from None
            except aiohttp.ClientConnectorError as error:
                if isinstance(error.os_error, _Inside):
                    raise OutboundRefused(_INSIDE) from None
                raise
            async with response:
                onward = response.headers.get("Location", "")
                if response.status not in _REDIRECTS or not onward or not redirects:
                    yield response
                    return
                if not left:
                    raise OutboundRefused("it redirects too often")
                try:
                    target = self.check(str(target.join(URL(onward))))
                except ValueError:
                    raise OutboundRefused("it redirects to no address") from None
            method = "GET"
            arguments.pop("data", None)


@asynccontextmanager
async def outbound(
    timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - of each call, not of this
    connections: int,
    *,
    inside: bool = False,
) -> AsyncIterator[Outbound]:
    """Calls with these limits, for as long as the block runs. `inside`: they may go to addresses
    in our own network, and without TLS."""

    def opened(address: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, place = address
        if not inside and not is_public(str(place[0])):
            raise _Inside(_INSIDE)
        found = socket.socket(family, kind, protocol)
        found.setblocking(False)
        return found

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, socket_factory=opened),
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    ) as session:
        yield Outbound(session, inside)
