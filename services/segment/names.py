"""What rules may name: what is known by itself, what was declared, and where places are."""

from collections.abc import Iterable, Mapping

import orjson

from chassis.postgres import Connection
from expressions import Area, Registry
from expressions.schema import Spec
from services.segment.things import PlaceRecord, area, decoded_place
from services.segment.vocabulary import registry


class Names:
    """As of the generation of the definitions that was loaded last; names are only ever added."""

    def __init__(
        self, events: Iterable[str] = (), attributes: Mapping[str, str] | None = None
    ) -> None:
        """`events` and `attributes`: besides those known by themselves and those of profile."""
        self.areas: dict[str, Area] = {}
        """Looked up whenever a rule is evaluated; always the same object."""
        self._settings = list(events), dict(attributes or {})
        self._declared: tuple[dict[str, Spec], dict[str, Mapping[str, Spec]]] = {}, {}
        self._places: dict[str, PlaceRecord] = {}
        self._generation = -1
        self.anything = self.registry(None)
        """In which any segment and place may be named."""

    def registry(self, segments: Iterable[str] | None) -> Registry:
        """In which only these segments may be named, and places that there are."""
        found = registry(*self._settings, segments, self.areas)
        found.learn(*self._declared)
        return found

    def learn(
        self, attributes: Mapping[str, Spec], events: Mapping[str, Mapping[str, Spec]]
    ) -> None:
        """Take up what was declared."""
        self._declared[0].update(attributes)
        self._declared[1].update(events)
        self.anything.learn(attributes, events)

    async def load(self, connection: Connection, generation: int) -> None:
        """Take what is there with a generation."""
        if generation == self._generation:
            return
        declared = await connection.fetch("SELECT kind, name, spec FROM declared_names")
        specs = {(row["kind"], row["name"]): orjson.loads(row["spec"]) for row in declared}
        self.learn(
            {name: spec for (kind, name), spec in specs.items() if kind == "attribute"},
            {name: spec for (kind, name), spec in specs.items() if kind == "event"},
        )
        rows = await connection.fetch("SELECT place FROM places WHERE present")
        places = {place.place_id: place for place in (decoded_place(row["place"]) for row in rows)}
        for gone in self.areas.keys() - places.keys():
            del self.areas[gone]
        for place_id, place in places.items():
            if place_id not in self.areas or place != self._places[place_id]:
                self.areas[place_id] = area(place)
        self._places = places
        self._generation = generation
