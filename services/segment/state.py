"""All that is kept of one contact, in its compact form. Pure."""

import msgspec

from expressions import Facts
from services.segment.rules import nobody


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

    def to_bytes(self) -> bytes:
        """Compact and stable."""
        return msgspec.msgpack.encode(
            (
                self.facts.to_bytes(),
                self.clock,
                self.generation,
                self.standings,
                self.attribute_times,
                self.agreements,
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "ContactState":
        """What `to_bytes` wrote."""
        facts, *rest = msgspec.msgpack.decode(data, type=_Stored)
        return cls(Facts.from_bytes(facts), *rest)

    def next_due(self) -> int | None:
        """The earliest instant at which time alone can change something."""
        dues = [s.due for s in self.standings.values() if s.due is not None]
        dues += [a.expire for a in self.agreements.values() if a.granted and a.expire is not None]
        return min(dues, default=None)


_Stored = tuple[bytes, int, int, dict[str, Standing], dict[str, int], dict[str, Agreement]]
