"""What rules may name: what is known by itself, what was declared, and where places are."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import orjson

from chassis.postgres import Connection
from expressions import Area, Registry
from expressions.schema import Spec
from services.segment.engine.places import Places
from services.segment.engine.things import area, decoded_place
from services.segment.vocabulary import EVENTS, FIXED, registry


class Told(NamedTuple):
    """What the business declared, with its types."""

    attributes: dict[str, Spec]
    events: dict[str, Mapping[str, Spec]]
    personal: dict[str, bool]
    """Of attributes."""


class Names:
    """As of the generation of the definitions that was loaded last; names are only ever added."""

    def __init__(
        self,
        events: Iterable[str] = (),
        attributes: Mapping[str, str] | None = None,
        weather: bool = True,
    ) -> None:
        """`events` and `attributes`: besides those known by themselves and those of profile.
        `weather`: whether somebody tells it; else no new rule may look at it."""
        self.areas: dict[str, Area] = {}
        """Looked up whenever a rule is evaluated; always the same object."""
        self._settings = list(events), dict(attributes or {})
        self._weather = weather
        self.told = Told({}, {}, {})
        """As it was loaded or learned last."""
        self.places = Places()
        """All that there are; another object whenever one changes."""
        self._generation = -1
        self.anything = self.registry(None)
        """In which any segment and place may be named."""

    def registry(self, segments: Iterable[str] | None) -> Registry:
        """In which only these segments may be named, and places that there are."""
        weather = self._weather or segments is None
        found = registry(*self._settings, segments, self.areas, weather)
        found.learn(self.told.attributes, self.told.events)
        return found

    def after(self, told: Told) -> Registry:
        """In which anything may be named, as it will be when this is learned."""
        found = self.registry(None)
        found.learn(told.attributes, told.events)
        return found

    def admitted(self, told: Told) -> Told:
        """Without what has its types by itself or by the settings."""
        events, attributes = self._settings
        return Told(
            {n: s for n, s in told.attributes.items() if n not in FIXED and n not in attributes},
            {n: s for n, s in told.events.items() if n not in EVENTS and n not in events},
            told.personal,
        )

    def learn(self, told: Told) -> None:
        """Take up what was declared."""
        self.told.attributes.update(told.attributes)
        self.told.events.update(told.events)
        self.told.personal.update(told.personal)
        self.anything.learn(told.attributes, told.events)

    def personal(self, name: str) -> bool:
        """Whether an attribute, as expressions name it, is personal; what is unknown is."""
        return self.told.personal.get(name, True)

    async def load(self, connection: Connection, generation: int) -> None:
        """Take what is there with a generation."""
        if generation == self._generation:
            return
        rows = await connection.fetch("SELECT kind, name, spec, personal FROM declared_names")
        attributes = [row for row in rows if row["kind"] == "attribute"]
        told = Told(
            {row["name"]: orjson.loads(row["spec"]) for row in attributes},
            {row["name"]: orjson.loads(row["spec"]) for row in rows if row["kind"] == "event"},
            {row["name"]: row["personal"] for row in attributes},
        )
        self.learn(self.admitted(told))
        rows = await connection.fetch("SELECT place FROM places WHERE present")
        places = {place.place_id: place for place in (decoded_place(row["place"]) for row in rows)}
        for gone in self.areas.keys() - places.keys():
            del self.areas[gone]
        for place_id, place in places.items():
            if place_id not in self.areas or place != self.places.records[place_id]:
                self.areas[place_id] = area(place)
        if places != self.places.records:
            self.places = Places(places)
        self._generation = generation
