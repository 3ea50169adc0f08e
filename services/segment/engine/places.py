"""Places of the business, to be looked up by where somebody is. Pure and immutable."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from services.segment.engine.causes import PlaceCause
from services.segment.engine.geofence import Geofence
from services.segment.engine.model import Spot
from services.segment.engine.things import PlaceRecord, area


class Places:
    """All that there are, as of one moment."""

    def __init__(self, records: Mapping[str, PlaceRecord] | None = None) -> None:
        """By id."""
        self.records: Mapping[str, PlaceRecord] = records or {}

    @cached_property
    def fence(self) -> Geofence:
        """Made when somebody first asks: not every business has triggers that do."""
        return Geofence({one.place_id: area(one) for one in self.records.values()})

    def chosen(self, cause: PlaceCause) -> frozenset[str]:
        """The ids of the places that a cause names, by id or by label."""
        named, labels = set(cause.place_ids), set(cause.labels)
        return frozenset(
            place_id
            for place_id, one in self.records.items()
            if place_id in named or not labels.isdisjoint(one.labels)
        )

    def event(self, place_id: str, spot: Spot) -> Mapping[str, Any]:
        """What `event` says of somebody who came to a place, or went from it."""
        place = self.records[place_id]
        return {
            "place_id": place_id,
            "name": place.name,
            "labels": list(place.labels),
            "latitude": spot.latitude,
            "longitude": spot.longitude,
            "accuracy_meters": spot.accuracy,
        }
