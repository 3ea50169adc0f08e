"""Addresses that others name: whether they may be called. Pure."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from yarl import URL

# Of IPv6 only this was ever given out; and in it, as among the addresses of IPv4, what Python
# counts as public although it leads to no host of the internet.
_GIVEN_OUT: Final = IPv6Network("2000::/3")
_NO_HOSTS: Final = (
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv6Network("3fff::/20"),
)
_TRANSLATED: Final = IPv6Network("64:ff9b::/96")
_LONGEST: Final = 2_048


class OutboundRefused(Exception):
    """An address that is not called. The text says why, and nothing of the address, which may be
    personal."""


def checked(url: str, inside: bool = False) -> URL:
    """An address as it can be called, by what it says alone. Raises `OutboundRefused`. `inside`:
    also without TLS."""
    try:
        parsed = URL(url)
    except ValueError:
        raise OutboundRefused("it is no address") from None
    if len(url) > _LONGEST:
        raise OutboundRefused(f"it is longer than {_LONGEST} characters")
    if parsed.scheme not in ({"https", "http"} if inside else {"https"}):
        raise OutboundRefused("only https:// is called")
    if not parsed.host:
        raise OutboundRefused("it names no host")
    if parsed.user is not None or parsed.password is not None:
        raise OutboundRefused("it carries a user name or password")
    return parsed


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, also where it stands for another."""
    found: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        if found.teredo is not None:
            return False
        meant = found.ipv4_mapped or found.sixtofour
        if found in _TRANSLATED:
            meant = IPv4Address(int(found) & 0xFFFFFFFF)
        if meant is None and found not in _GIVEN_OUT:
            return False
        found = meant or found
    if any(found in network for network in _NO_HOSTS):
        return False
    return found.is_global and not found.is_multicast
