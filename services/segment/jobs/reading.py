"""What a backfill reads of profile: no more than rules look at and is not kept already. Pure, but
for the contract."""

from collections.abc import Iterable, Iterator
from typing import Final

from google.protobuf.field_mask_pb2 import FieldMask

from chassis.times import stamped
from expressions.places import LOCATION, LOCATION_TIME
from expressions.registry import WEATHER
from merhaba.profile.v1 import StreamHistoryRequest
from services.segment.engine.model import BackfillRecord
from services.segment.engine.rules import Rules

_ALWAYS: Final = ("contact_id", "continued", "read_time", "state")
FACTS: Final = (
    *("contact_id", "attributes", "traits", "consents", "zone", "language", "stage"),
    *("continued", "read_time", "state"),
)
"""What of a history is looked at besides events, where everything is."""
_BY_ITSELF: Final = ("zone", "language", "stage")
"""Attributes that have fields of their own."""
_SPOT: Final = (LOCATION, LOCATION_TIME)


def attributes(backfill: BackfillRecord, rules: Rules) -> tuple[str, ...]:
    """The attributes to read."""
    names = set(rules.attributes if backfill.attributes is None else backfill.attributes)
    if WEATHER in names or (backfill.whole and rules.located):
        names.update(_SPOT)
    return tuple(sorted(names))


def request(backfill: BackfillRecord) -> StreamHistoryRequest:
    """What to ask, from where the backfill stands; its attributes are decided."""
    names = backfill.attributes or ()
    paths = [*_ALWAYS, *_paths(names)]
    if backfill.names:
        paths.append("events")
    if backfill.whole:
        paths.append("consents")
    return StreamHistoryRequest(
        cursor=backfill.cursor,
        names=backfill.names,
        start_time=stamped(backfill.start_time),
        read_mask=FieldMask(paths=paths),
        # Of everybody else there is nothing to take up.
        attribute_names=() if backfill.whole else names,
        skip_empty=not backfill.whole,
    )


def _paths(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if name in _BY_ITSELF:
            yield name
        yield name if name.startswith("traits.") else f"attributes.{name}"
