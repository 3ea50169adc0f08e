"""What a batch changes, collected contact by contact. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec.structs import replace

from services.segment.engine.actions import Deed
from services.segment.engine.causing import Cancelled
from services.segment.engine.fanout import Look
from services.segment.engine.journeys.model import InstanceRecord, Reached, Visit
from services.segment.engine.journeys.trail import Trail
from services.segment.engine.model import Happening, Occurrence, Spot, Transition
from services.segment.engine.stages import Move
from services.segment.engine.state import ContactState
from services.segment.engine.timeline import Walk


@dataclass(slots=True)
class Outcome:
    """What a batch changes."""

    states: dict[str, ContactState] = field(default_factory=dict)
    """To be written, by contact."""
    gone: set[str] = field(default_factory=set)
    """Contacts of which everything from before is to be deleted, before anything is written."""
    absorbed: dict[str, str] = field(default_factory=dict)
    """Contacts that became part of another, with that one; their waiting occurrences move."""
    parted: list[Happening] = field(default_factory=list)
    """Contacts that are no part of another any more get theirs back."""
    rebuilds: dict[str, int] = field(default_factory=dict)
    """Contacts to be made anew from profile's history, and when."""
    transitions: list[Transition] = field(default_factory=list)
    occurrences: list[Occurrence] = field(default_factory=list)
    cancelled: list[Cancelled] = field(default_factory=list)
    instances: dict[str, InstanceRecord] = field(default_factory=dict)
    """Contacts in journeys, by instance, as they are now."""
    visits: list[Visit] = field(default_factory=list)
    reached: list[Reached] = field(default_factory=list)
    deeds: list[Deed] = field(default_factory=list)
    stages: dict[str, str | None] = field(default_factory=dict)
    """Where contacts stand that stand elsewhere now, or nowhere."""
    moves: list[Move] = field(default_factory=list)
    """Between stages."""
    spots: dict[str, Spot] = field(default_factory=dict)
    """Where contacts are, if that became known and matters for the weather."""
    looks: list[Look] = field(default_factory=list)
    anew: set[str] = field(default_factory=set)
    """Contacts of whom only what is in this is known."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why journeys did not start, by what they would have followed from."""

    def take(self, walked: Walk) -> None:
        """What followed for a contact; once."""
        self.transitions += walked.transitions
        walked.transitions = []
        causing = walked.causing
        self.occurrences += causing.occurrences
        self.cancelled += causing.cancelled
        self.deeds += causing.deeds
        causing.occurrences, causing.cancelled, causing.deeds = [], [], []
        if walked.moved:
            self.stages[walked.contact_id] = walked.stage
        self.moves += walked.moves
        walked.moves = []
        if walked.ways.trail is not None:
            self._follow(walked.ways.trail)
        self.looks += walked.looks
        walked.looks = []
        self.refused |= walked.refused
        if walked.spot is not None:
            self.spots[walked.contact_id] = walked.spot

    def _follow(self, trail: Trail) -> None:
        for instance_id, record in trail.records.items():
            before = self.instances.get(instance_id)
            started = record.started or (before is not None and before.started)
            self.instances[instance_id] = replace(record, started=started)
        self.visits += trail.visits
        self.reached += trail.reached
        self.deeds += trail.deeds
        trail.records, trail.visits, trail.reached, trail.deeds = {}, [], [], []

    def hand_over(self, absorbed: str, contact_id: str) -> None:
        """What followed for a contact is another's, whose part it became."""

        self.absorbed = {
            one: contact_id if who == absorbed else who for one, who in self.absorbed.items()
        } | {absorbed: contact_id}
        self.occurrences = [
            replace(o, contact_id=contact_id) if o.contact_id == absorbed else o
            for o in self.occurrences
        ]
        self.deeds = [
            replace(d, contact_id=contact_id) if d.contact_id == absorbed else d for d in self.deeds
        ]
        self.cancelled = [
            c._replace(contact_id=contact_id) if c.contact_id == absorbed else c
            for c in self.cancelled
        ]
        self.looks = [
            look._replace(contact_id=contact_id) if look.contact_id == absorbed else look
            for look in self.looks
        ]
        for instance_id, one in self.instances.items():
            if one.contact_id == absorbed:
                self.instances[instance_id] = replace(one, contact_id=contact_id)
        self.spots.pop(absorbed, None)

    def leave_out(self, erased: Collection[str]) -> None:
        """Nothing is to be written of people who were erased, and nothing follows for them."""
        for one in erased:
            self.states.pop(one, None)
            self.rebuilds.pop(one, None)
        self.absorbed = {i: who for i, who in self.absorbed.items() if who not in erased}
        self.transitions = [t for t in self.transitions if t.contact_id not in erased]
        self.occurrences = [o for o in self.occurrences if o.contact_id not in erased]
        self.cancelled = [c for c in self.cancelled if c.contact_id not in erased]
        self.instances = {
            i: one for i, one in self.instances.items() if one.contact_id not in erased
        }
        self.visits = [v for v in self.visits if v.instance_id in self.instances]
        self.reached = [r for r in self.reached if r.contact_id not in erased]
        self.deeds = [d for d in self.deeds if d.contact_id not in erased]
        self.stages = {i: stage for i, stage in self.stages.items() if i not in erased}
        self.moves = [m for m in self.moves if m.contact_id not in erased]
        self.spots = {i: spot for i, spot in self.spots.items() if i not in erased}
        self.looks = [one for one in self.looks if one.contact_id not in erased]


class Ending(NamedTuple):
    """What became of an occurrence that was due, and what is to be done outside for it."""

    occurrence: Occurrence
    deed: Deed | None = None
