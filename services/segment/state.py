"""All that is kept of one contact, in its compact form. Pure."""

from typing import Final

import msgspec

from expressions import Facts
from services.segment.rules import nobody

_UNKNOWN: Final = -1


class Standing(msgspec.Struct, array_like=True):
    """How a contact stands to a segment: a member or not, from when (0: never otherwise), and
    when that can next change by itself."""

    member: bool = False
    since: int = 0
    due: int | None = None


class Agreement(msgspec.Struct, array_like=True):
    """What was last said about a purpose: when, what, and until when."""

    time: int
    granted: bool
    expire: int | None = None


class ContactState(msgspec.Struct):
    """All that is kept of one contact."""

    facts: Facts = msgspec.field(default_factory=nobody)
    clock: int = 0
    """0: nothing was evaluated yet."""
    generation: int = 0
    """Of the rules that it was last brought up to."""
    standings: dict[str, Standing] = {}
    """By segment id; one that is absent is not a member and does not become one by itself."""
    attribute_times: dict[str, int] = {}
    agreements: dict[str, Agreement] = {}
    restricted: bool = False
    """Nothing is known of the contact, and nothing evaluated, until that ends."""
    changed: bool = False
    """It is not as it was read. Not kept."""
    soonest: int | None = _UNKNOWN
    """What `next_due` found, until something it looks at changes. Not kept."""

    def to_bytes(self) -> bytes:
        """Compact and stable."""
        return msgspec.msgpack.encode(
            _Stored(
                self.facts.to_bytes(),
                self.clock,
                self.generation,
                self.standings,
                self.attribute_times,
                self.agreements,
                self.restricted,
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "ContactState":
        """What `to_bytes` wrote."""
        facts, *rest = msgspec.structs.astuple(msgspec.msgpack.decode(data, type=_Stored))
        return cls(Facts.from_bytes(facts), *rest)

    def next_due(self) -> int | None:
        """The earliest instant at which time alone can change something."""
        if self.soonest == _UNKNOWN:
            self.soonest = None if self.restricted else self._earliest()
        return self.soonest

    def moved(self) -> None:
        """Something that is kept has changed, perhaps what is due."""
        self.changed = True
        self.soonest = _UNKNOWN

    def _earliest(self) -> int | None:
        dues = [s.due for s in self.standings.values() if s.due is not None]
        dues += [a.expire for a in self.agreements.values() if a.granted and a.expire is not None]
        return min(dues, default=None)


class _Stored(msgspec.Struct, array_like=True):
    """As it is in the database: fields are only ever added last."""

    facts: bytes
    clock: int
    generation: int
    standings: dict[str, Standing]
    attribute_times: dict[str, int]
    agreements: dict[str, Agreement]
    restricted: bool = False
