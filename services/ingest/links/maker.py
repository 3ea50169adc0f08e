"""Making links: the target registered once, the rest signed into each token."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from chassis.clock import Clock, milliseconds_of
from chassis.failures import FieldInvalid
from chassis.ids import derived_id
from services.ingest.links.store import Wanted
from services.ingest.links.target import Target, check_url
from services.ingest.links.token import ID_BYTES, LAST_S, Signer, Token

_DAY_S: Final = 86_400


class Store(Protocol):
    """Where targets are kept."""

    async def register(self, wanted: Sequence[Wanted]) -> dict[str, int]:
        """Keep targets; their numbers by link id."""
        ...


class Wish(NamedTuple):
    """A link as somebody wants it."""

    url: str
    message_id: str
    campaign_id: str
    contact_id: str
    expire_s: int | None = None
    """Epoch seconds; None: the default."""

    def check(self, index: int) -> None:
        """Raises `FieldInvalid` or `UrlNotAllowed` when it cannot be fulfilled; `index` is its
        place in the request."""
        check_url(self.url, index)
        for name in ("message_id", "campaign_id", "contact_id"):
            value = getattr(self, name)
            if len(value.encode()) > ID_BYTES or "\0" in value:
                problem = f"is longer than {ID_BYTES} bytes or holds a zero"
                raise FieldInvalid(f"links[{index}].{name}", problem)
        if self.expire_s is not None and not 0 <= self.expire_s <= LAST_S:
            raise FieldInvalid(f"links[{index}].expire_time", "is not a time from 1970 to 2106")


class Link(NamedTuple):
    """A short tracked link."""

    link_id: str
    token: str
    short_url: str
    url: str
    expire_s: int


class Links:
    """Makes links. The same wish is the same link for as long as its expiry and the key are."""

    def __init__(
        self, store: Store, signer: Signer, clock: Clock, public_url: str, life_days: int
    ) -> None:
        """`public_url`: where people reach the door. `life_days`: of links that say nothing."""
        self._store = store
        self._signer = signer
        self._clock = clock
        self._base = f"{public_url.rstrip('/')}/l/"
        self._life = timedelta(days=life_days)

    def default_expiry(self) -> int:
        """When a link made now expires, in epoch seconds: at the end of a UTC day, so that what is
        made again the same day is the same."""
        return _end_of_day(self._clock.now() + self._life)

    async def make(self, wishes: Sequence[Wish], default_s: int) -> list[Link]:
        """Make links as checked wishes say, all or none, in order; without an expiry they have
        `default_s`."""
        targets = [_target(wish) for wish in wishes]
        expiries = [default_s if wish.expire_s is None else wish.expire_s for wish in wishes]
        wanted: dict[str, Wanted] = {}
        for wish, target, expire_s in zip(wishes, targets, expiries, strict=True):
            known = wanted.get(target.link_id) or Wanted(target, expire_s, wish.contact_id)
            contact_id = wish.contact_id if wish.contact_id == known.contact_id else ""
            wanted[target.link_id] = Wanted(target, max(known.expire_s, expire_s), contact_id)
        numbers = await self._store.register(list(wanted.values()))
        return [
            self._link(wish, target.link_id, numbers[target.link_id], expire_s)
            for wish, target, expire_s in zip(wishes, targets, expiries, strict=True)
        ]

    def _link(self, wish: Wish, link_id: str, number: int, expire_s: int) -> Link:
        token = self._signer.sign(Token(number, expire_s, wish.message_id, wish.contact_id))
        return Link(link_id, token, self._base + token, wish.url, expire_s)


def _target(wish: Wish) -> Target:
    return Target(derived_id("link", wish.campaign_id, wish.url), wish.campaign_id, wish.url)


def _end_of_day(moment: datetime) -> int:
    days = -(-milliseconds_of(moment) // (_DAY_S * 1000))
    return min(days * _DAY_S, LAST_S)
