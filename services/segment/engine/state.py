"""All that is kept of one contact, in its compact form. Pure."""

from typing import Any, Final

import msgspec

from expressions import Facts
from services.segment.engine.journeys.model import Journeying
from services.segment.engine.model import Spot
from services.segment.engine.rules import nobody
from services.segment.engine.stages import Joined

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


class Coming(msgspec.Struct, array_like=True):
    """The next moment of a trigger for a contact."""

    due: int | None
    """None: none comes."""
    name: str
    """Which of the trigger's moments it is."""
    since: int
    """The generation since which the trigger's cause is the one it was found by."""
    after: int
    """All moments until then have been."""
    last: str = ""
    """The name of the last one that was."""


class Waiting(msgspec.Struct, array_like=True):
    """An occurrence that is cancelled if its cancel condition holds before it is due."""

    trigger_id: str
    version: int
    cause_time: int
    due_time: int
    properties: dict[str, Any]
    """The causing event's, as far as the condition looks at them."""
    given: dict[str, Any]
    next: int | None = None
    """When time alone could make it hold."""


class TriggerState(msgspec.Struct, array_like=True):
    """What triggers have to do with a contact; by trigger id, but for what waits."""

    moments: dict[str, Coming] = {}
    waiting: dict[str, Waiting] = {}
    """By occurrence id."""
    recent: dict[str, list[int]] = {}
    """When it was caused last, where a period limits that."""
    had: dict[str, list[int]] = {}
    """Fingerprints of what there is one occurrence of at most."""
    walked: int = 0
    """The latest time by our clock at which anything was evaluated."""

    def next_due(self) -> int | None:
        """The earliest instant at which time alone does something."""
        if not self.moments and not self.waiting:  # nearly everybody
            return None
        dues = [one.due for one in self.moments.values() if one.due is not None]
        dues += [one.next for one in self.waiting.values() if one.next is not None]
        return min(dues, default=None)


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
    spot: Spot | None = None
    """Where the contact was last, while it matters."""
    inside: dict[str, list[str]] = {}
    """By trigger of places, those that the contact is in."""
    journeys: Journeying = msgspec.field(default_factory=Journeying)
    triggers: TriggerState = msgspec.field(default_factory=TriggerState)
    joined: Joined | None = None
    """The last that became part of it."""
    changed: bool = False
    """It is not as it was read. Not kept."""
    soonest: int | None = _UNKNOWN
    """What `next_due` found, until something it looks at changes. Not kept."""

    def to_bytes(self) -> bytes:
        """Compact and stable."""
        return _ENCODE(
            _Stored(
                self.facts.to_bytes(),
                self.clock,
                self.generation,
                self.standings,
                self.attribute_times,
                self.agreements,
                self.restricted,
                self.spot,
                self.inside,
                self.journeys,
                self.triggers,
                self.joined,
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "ContactState":
        """What `to_bytes` wrote."""
        facts, *rest = msgspec.structs.astuple(_DECODE(data))
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
        soonest = self.journeys.next_due()
        due = self.triggers.next_due()
        if due is not None and (soonest is None or due < soonest):
            soonest = due
        for standing in self.standings.values():
            due = standing.due
            if due is not None and (soonest is None or due < soonest):
                soonest = due
        for one in self.agreements.values():
            due = one.expire
            if one.granted and due is not None and (soonest is None or due < soonest):
                soonest = due
        return soonest


class _Stored(msgspec.Struct, array_like=True):
    """As it is in the database: fields are only ever added last."""

    facts: bytes
    clock: int
    generation: int
    standings: dict[str, Standing]
    attribute_times: dict[str, int]
    agreements: dict[str, Agreement]
    restricted: bool = False
    spot: Spot | None = None
    inside: dict[str, list[str]] = {}
    journeys: Journeying = msgspec.field(default_factory=Journeying)
    triggers: TriggerState = msgspec.field(default_factory=TriggerState)
    joined: Joined | None = None


_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(_Stored).decode
