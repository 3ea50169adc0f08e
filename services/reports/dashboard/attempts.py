"""Wrong tokens by client address, so that nobody tries one after another. Pure."""

from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

ALLOWED: Final = 10
"""Wrong tokens from one address in one `WINDOW`."""
WINDOW: Final = timedelta(minutes=15)
_MOST: Final = 10_000  # addresses; the one that failed longest ago is forgotten for another
_NONE: Final = timedelta(0)


class Attempts:
    """What failed lately, in this process."""

    def __init__(self) -> None:
        self._failed: dict[str, tuple[int, datetime]] = {}  # how often, since when

    def wait(self, address: str, now: datetime) -> timedelta:
        """How long nobody may try from an address; zero when they may."""
        count, since = self._failed.get(address, (0, now))
        return max(since + WINDOW - now, _NONE) if count >= ALLOWED else _NONE

    def failed(self, address: str, now: datetime) -> None:
        """A token from there was wrong."""
        count, since = self._failed.pop(address, (0, now))
        if now >= since + WINDOW:
            count, since = 0, now
        self._failed[address] = count + 1, since
        if len(self._failed) > _MOST:
            del self._failed[next(iter(self._failed))]

    def passed(self, address: str) -> None:
        """A token from there was right."""
        self._failed.pop(address, None)


def client(peer: str | None, forwarded: str | None) -> str:
    """Whom a request comes from: what the proxy before us saw, which it writes last, else whoever
    is connected. Of an IPv6 address it is the network: its owner has all the others in it too."""
    last = (forwarded or "").rpartition(",")[2].strip()
    for given in (last, peer or ""):
        try:
            address = ip_address(given)
        except ValueError:
            continue
        if isinstance(address, IPv6Address):
            return str(address.ipv4_mapped or ip_network((int(address), 64), strict=False))
        return str(address)
    return ""
