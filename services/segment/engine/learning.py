"""What happened, put into what is known of a contact. Pure."""

from bisect import bisect_left
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from hashlib import blake2b
from typing import Any, Final

from expressions.facts import MAX_EVENTS
from services.segment.engine.journeys.rules import Name
from services.segment.engine.model import AttributeFact, ConsentFact, Happening
from services.segment.engine.rules import Rules
from services.segment.engine.state import Agreement, ContactState

PRINT: Final = "~"
"""The property that holds an event's fingerprint; it sorts behind those with a name."""
_MAX_ATTRIBUTES: Final = 500


class Learning:
    """Puts what happened into the facts of one contact."""

    __slots__ = ("_rules", "_state", "_touched", "dated", "grown")

    def __init__(self, rules: Rules, state: ContactState, touched: set[Name]) -> None:
        """`touched` is told what changed."""
        self._rules = rules
        self._state = state
        self._touched = touched
        self.grown: set[str] = set()
        """Events that were added."""
        self.dated: set[str] = set()
        """Attributes that are others, by which moments go."""

    def happening(self, happening: Happening) -> AbstractSet[str]:
        """Put what happened into the facts; returns the segments that it can change."""
        name, facts = happening.name, self._state.facts
        affected: AbstractSet[str] = set()
        if need := self._rules.history.get(name):
            properties = self._rules.registry.event_properties(
                name, happening.properties, need.properties
            )
            affected = self._rules.index.by_event(name, properties, facts.attributes)
            if affected or self._rules.needs.looks_at(name, properties):
                properties[PRINT] = _print(happening.event_id)
                if self.insert(name, happening.time, properties):
                    affected = self._rules.index.affected(events=(name,))
        if happening.attributes or happening.consents:
            affected = affected | self.facts(happening.attributes, happening.consents)
        return affected

    def facts(
        self, attributes: Iterable[AttributeFact], consents: Iterable[ConsentFact]
    ) -> set[str]:
        """The later fact wins, whatever comes first; returns the segments that they can change."""
        state = self._state
        facts, times = state.facts, state.attribute_times
        affected: set[str] = set()
        for fact in attributes:
            name = fact.name
            if name not in self._rules.attributes or fact.time < times.get(name, 0):
                continue
            if name not in times and len(times) >= _MAX_ATTRIBUTES:
                continue
            times[name] = fact.time
            state.changed = True
            value = self._rules.registry.attribute_value(name, fact.value)
            before = facts.attributes.get(name)
            if value == before:
                continue
            self._touched.add(("attributes", name))
            affected |= self._rules.index.by_attribute(name, before, value, facts.attributes)
            if value is None:
                del facts.attributes[name]
            else:
                facts.attributes[name] = value
            if name == "zone":
                facts.zone = value or "UTC"
            if name in self._rules.moved_by:
                self.dated.add(name)
        agreed: list[str] = []
        for consent in consents:
            known = state.agreements.get(consent.purpose)
            if known is not None and consent.time < known.time:
                continue
            over = consent.expire is not None and consent.expire <= max(state.clock, consent.time)
            granted = consent.granted and not over
            state.moved()
            state.agreements[consent.purpose] = Agreement(consent.time, granted, consent.expire)
            if facts.consents.get(consent.purpose, False) != granted:
                agreed.append(consent.purpose)
                self._touched.add(("consents", consent.purpose))
            facts.consents[consent.purpose] = granted
        return affected | self._rules.index.affected(consents=agreed) if agreed else affected

    def insert(self, name: str, time: int, properties: dict[str, Any]) -> bool:
        """Returns whether the oldest had to go."""
        timeline = self._state.facts.timelines.get(name)
        self._state.changed = True
        self.grown.add(name)
        self._touched.add(("events", name))
        if timeline is not None and timeline.times and time <= timeline.times[-1]:
            at = bisect_left(timeline.times, time)
            while at < len(timeline.times) and timeline.times[at] == time:
                if timeline.properties[at].get(PRINT) == properties[PRINT]:
                    # A repeat, perhaps read for a newer rule that looks at more of it.
                    properties = {**timeline.properties[at], **properties}
                    del timeline.times[at], timeline.properties[at]
                    break
                at += 1
        full = timeline is not None and len(timeline.times) >= MAX_EVENTS
        self._state.facts.insert(name, time, properties)
        return full


def _print(event_id: str) -> int:
    """64 bits by which a repeat of an event is known."""
    return int.from_bytes(blake2b(event_id.encode(), digest_size=8).digest(), "big")
