"""People: who they are, and what a script may decide for them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Literal, NamedTuple

from simulator.people.habits import Segment
from simulator.people.places import place_of
from simulator.people.words import NAMES

IdentityMode = Literal["phone", "phone_bsuid", "bsuid"]


class Behaviour(NamedTuple):
    """Overrides, each the probability per template message; None leaves it to the seed.

    An act (click, reply, stop, block) implies that the message was opened. `reads` 0 therefore
    means: read receipts are off, and no `read` status is ever sent. Whoever has an override is
    awake at all hours.
    """

    reads: float | None = None
    replies: float | None = None
    clicks: float | None = None
    stops: float | None = None
    blocks: float | None = None
    """Blocks the business; half of those who do also report it."""
    answers: float | None = None
    """Picks an option of, or replies to, a message that is not a template."""
    fail_code: int | None = None
    """Every message ends `failed` with this code; 131049 and 131050 only hit marketing."""
    silent: bool = False
    """Messages are accepted and nothing ever follows."""
    offline: bool = False
    """Messages leave Meta and are never delivered."""
    on_whatsapp: bool = True


NATURAL = Behaviour()


@dataclass(slots=True)
class Person:
    """Someone with a phone. `wa_id` is digits; the business sees it only if identity_mode lets
    it. What was not told follows from the number and the seed, and takes no memory."""

    wa_id: str
    identity_mode: IdentityMode = "phone_bsuid"
    told_bsuid: str | None = None
    told_name: str | None = None
    told_locale: str | None = None
    segment: Segment | None = None
    behaviour: Behaviour = NATURAL
    opted_out: bool = False
    """Stopped marketing messages in WhatsApp itself (user_preferences)."""
    blocking: frozenset[str] = frozenset()
    """Ids of the business numbers that this person blocked."""
    received: int = 0
    """Messages accepted for this person so far."""
    marketing: tuple[float, ...] = ()
    """When the latest marketing messages came that count for the cap."""

    @property
    def locale(self) -> str:
        return self.told_locale or place_of(self.wa_id).locale

    @property
    def language(self) -> str:
        return self.locale[:2]

    @property
    def name(self) -> str:
        if self.told_name is not None:
            return self.told_name
        names: Sequence[str] = NAMES.get(self.language, NAMES["en"])
        return f"{names[int(self.wa_id) % len(names)]} {self.wa_id[-4:]}"


_SHORTEST, _LONGEST = 7, 15


class Bsuids:
    """Business-scoped user ids: each number's own under the seed, and back again, with no table:
    numbers are permuted by an affine map of the numbers below 10^20."""

    _SIZE = 10**20

    def __init__(self, seed: int) -> None:
        digest = blake2b(f"{seed}/bsuid".encode(), digest_size=16).digest()
        # Prime to 10: the map can be undone.
        self._factor = int.from_bytes(digest[:8], "big") // 10 * 10 + 3
        self._shift = int.from_bytes(digest[8:], "big")
        self._back = pow(self._factor, -1, self._SIZE)
        self.of = lru_cache(maxsize=65_536)(self._of)

    def _of(self, wa_id: str) -> str:
        permuted = (int(f"{len(wa_id)}{wa_id}") * self._factor + self._shift) % self._SIZE
        return f"{place_of(wa_id).country}.{permuted:020d}"

    def wa_id(self, bsuid: str) -> str | None:
        """Whose it is; None if it is nobody's."""
        digits = bsuid.rpartition(".")[2]
        if len(digits) != 20 or not (digits.isascii() and digits.isdigit()):
            return None
        whole = str((int(digits) - self._shift) * self._back % self._SIZE)
        for prefix in (1, 2):
            wa_id = whole[prefix:]
            if not _SHORTEST <= len(wa_id) <= _LONGEST or whole[:prefix] != str(len(wa_id)):
                continue
            if self.of(wa_id) == bsuid:
                return wa_id
        return None
