"""The nouns: what happens to a contact, what is defined, what follows.

All times are ints, milliseconds since 1970 UTC, as in the expression language.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

import msgspec

from services.segment.engine.actions import Action
from services.segment.engine.causes import Cause
from services.segment.engine.journeys.model import Exit, Start


class AttributeFact(msgspec.Struct, frozen=True):
    """An attribute or trait was set, or removed when `value` is None, at a time."""

    name: str
    value: Any
    time: int


class ConsentFact(msgspec.Struct, frozen=True):
    """A purpose was agreed to or not, at a time, perhaps until another."""

    purpose: str
    granted: bool
    time: int
    expire: int | None = None


class Spot(msgspec.Struct, frozen=True, array_like=True):
    """Where a contact was, as of a time."""

    time: int
    latitude: float
    longitude: float
    accuracy: float = 0.0
    """Radius of the uncertainty in metres; 0 is unknown."""


class Happening(msgspec.Struct, frozen=True):
    """Something that happened to a contact, as far as this service cares."""

    event_id: str
    contact_id: str
    time: int
    name: str
    properties: Mapping[str, Any] = {}
    attributes: tuple[AttributeFact, ...] = ()
    consents: tuple[ConsentFact, ...] = ()
    absorbed: str = ""
    """The contact that was merged into this one."""
    parted: str = ""
    """The contact that this one turned out to be no part of."""
    member_ids: tuple[str, ...] = ()
    """Of a contact that was parted: all ids that it stands for."""
    restricted: bool | None = None
    """Whether what is known of the contact may be used no longer, or again; None: as before."""
    erased: bool = False
    orders: tuple[Start | Exit, ...] = ()
    """Journeys to start and to take out of, because somebody asks for it."""
    received: int = 0
    """When it, or what caused it, was accepted."""
    traceparent: str = ""
    spot: Spot | None = None
    """Where the contact was by it."""
    trigger_ids: tuple[str, ...] = ()
    """Of a change of an item that the contact looked at: what it causes."""
    item: Mapping[str, Any] = {}
    """Of such a change: the item."""
    shared_cause: str = ""
    """Of such a change: by what its occurrences are known, whoever somebody becomes."""


class Past(msgspec.Struct, frozen=True):
    """What was known of a contact before, from profile's history; or a part of that."""

    contact_id: str
    happenings: tuple[Happening, ...] = ()
    attributes: tuple[AttributeFact, ...] = ()
    consents: tuple[ConsentFact, ...] = ()
    restricted: bool = False
    spot: Spot | None = None
    """Where the contact was last."""
    former_stage: str = ""
    """Where the contact stood before it came to its stage."""


class Transition(msgspec.Struct, frozen=True):
    """A contact entered or left a segment at an exact instant."""

    contact_id: str
    segment_id: str
    version: int
    entered: bool
    time: int
    cause_event_id: str = ""
    """Empty when time alone did it."""
    backfilled: bool = False
    received: int = 0
    traceparent: str = ""


class SegmentDefinition(msgspec.Struct, frozen=True):
    """One version of a segment's rule."""

    segment_id: str
    name: str
    version: int
    expression: str
    live: bool
    """Whether memberships are of this version; else it is being backfilled."""
    since: int = 0
    """The generation of the rules with which it became live."""


class TriggerDefinition(msgspec.Struct, frozen=True):
    """One version of a trigger: when this and if that, after a while, unless something, then do."""

    trigger_id: str
    name: str
    cause: Cause
    action: Action
    version: int = 1
    paused: bool = False
    condition: str = ""
    cancel_condition: str = ""
    key: str = ""
    delay: int = 0
    """ms"""
    not_after: int | None = None
    """ms after the due time; None is never too late."""
    period: int | None = None
    """ms"""
    max_per_period: int = 1
    since: int = 0
    """The generation of the rules with which its cause, or when that counts, became what it is."""
    start: int = 0
    """The instant at which it did: moments before that are not its own."""
    latest: bool = True
    """Whether it is caused; else only what waits since before an edit is of this version."""


class Occurrence(msgspec.Struct, frozen=True, omit_defaults=True):
    """One time that a trigger was caused for one contact."""

    occurrence_id: str
    trigger_id: str
    trigger_version: int
    contact_id: str
    key: str
    state: str
    """`waiting`, `fired`, `cancelled`, `limited`, `missed`, `failed` or `restricted`; in a replay
    also `unmet`."""
    cause_event_id: str
    cause_time: int
    due_time: int
    campaign_id: str = ""
    """When it sends."""
    not_after_time: int | None = None
    end_time: int | None = None
    reason: str = ""
    properties: Mapping[str, Any] = {}
    """The causing event's, for conditions that are evaluated later."""
    parameters: Mapping[str, Any] = {}
    """The values the action was given."""
    received: int = 0
    traceparent: str = ""
    given: Mapping[str, Mapping[str, Any]] = {}
    """What came with the cause, by root: `item`."""
    attempt_count: int = 0
    """Calls of a webhook so far."""
    shared_cause: str = ""
    """What many people have one occurrence of each because of."""

    @property
    def acted(self) -> bool:
        """Whether the action was handed on, whatever came of it."""
        return self.state in ("fired", "failed")


class SegmentRecord(msgspec.Struct, frozen=True):
    """A segment as it is kept."""

    segment_id: str
    name: str
    display_name: str
    description: str
    definition_name: str
    expression: str
    version: int
    live_expression: str
    live_version: int
    """The version that is evaluated; 0: none yet."""
    ready_version: int
    """The version that all members are of; 0 before the first backfill ended."""
    live_since: int
    state: str
    """`backfilling`, `active` or `archived`."""
    edit: int
    backfill_id: str
    create_time: datetime
    update_time: datetime
    archive_time: datetime | None = None
    labels: tuple[str, ...] = ()


class TriggerRecord(msgspec.Struct, frozen=True):
    """A trigger as it is kept."""

    definition: TriggerDefinition
    display_name: str
    description: str
    state: str
    """`active`, `paused` or `archived`."""
    edit: int
    create_time: datetime
    update_time: datetime
    archive_time: datetime | None = None
    labels: tuple[str, ...] = ()


class BackfillRecord(msgspec.Struct, frozen=True):
    """A computation over the whole base, as it is kept."""

    backfill_id: str
    segment_id: str
    """Empty when it fetches history for a trigger."""
    segment_version: int
    names: tuple[str, ...]
    """Events whose history is needed."""
    start_time: datetime | None
    """From when on; None is all."""
    state: str
    """`running`, `completed`, `superseded` or `failed`."""
    phase: str
    """`history`, then `members`."""
    cursor: str
    passed_count: int
    total_count: int
    member_count: int
    failure: str
    create_time: datetime
    update_time: datetime
    end_time: datetime | None = None
    attributes: tuple[str, ...] | None = None
    """Those that are read; None: all that rules look at when it begins."""
    whole: bool = True
    """It reads of everybody what all rules look at; else only of whom it finds something that was
    not kept before."""
    generation: int = 0
    """Of the rules by which everybody is looked at, at least."""
    phase_time: datetime | None = None
    """Since when it works at the phase without a pause."""
    phase_passed_count: int = 0
    """Contacts that were passed before that."""

    @property
    def contacts_per_s(self) -> float:
        """Its pace in this phase; 0 while nobody knows."""
        if self.phase_time is None or self.update_time <= self.phase_time:
            return 0.0
        passed = self.passed_count - self.phase_passed_count
        return passed / (self.update_time - self.phase_time).total_seconds()

    @property
    def remaining(self) -> timedelta | None:
        """How long the phase takes at that pace; None when it does not run, or nobody knows."""
        if self.state != "running" or not self.contacts_per_s:
            return None
        left = max(self.total_count - self.passed_count, 0)
        return timedelta(seconds=left / self.contacts_per_s)


class Sweep(NamedTuple):
    """What an edit leaves to be done with all who were there before."""

    owner_id: str
    """The trigger or the journey that was edited."""
    generation: int
    """Of the rules that the edit made."""
    work: Literal["cancel", "people"]
    """To cancel what waits, or is not done yet, of what ended; to bring people in a journey up to
    the rules."""
    edit_time: int
    oldest_version: int = 0
    """Of people: only who is on this version or a later one."""
    step_ids: tuple[str, ...] = ()
    """Of people: only who is in one of these steps; none is any."""
