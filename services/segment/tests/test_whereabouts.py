"""Coming to places and going from them, against what it means said slowly and plainly."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from services.segment.engine.actions import SendAction
from services.segment.engine.causes import PlaceCause
from services.segment.engine.model import Spot, TriggerDefinition
from services.segment.engine.places import Places
from services.segment.engine.rules import Compiler, Rules
from services.segment.engine.state import ContactState
from services.segment.engine.things import PlaceRecord, area
from services.segment.engine.whereabouts import locate, settle_in
from services.segment.vocabulary import registry

NORTH = 1 / 111_195  # degrees in a metre
COMPILER = Compiler(registry())
SQUARE = b'{"coordinates": [[[0, 0.01], [0.01, 0.01], [0.01, 0.02], [0, 0.02], [0, 0.01]]]}'
RECORDS = {
    one.place_id: one
    for one in (
        PlaceRecord("shop", 1, name="Shop", radius=100.0, labels=("store",)),
        PlaceRecord("mall", 1, name="Mall", radius=400.0, labels=("store", "big")),
        PlaceRecord("block", 1, name="Block", polygon=SQUARE, labels=("big",)),
    )
}
CAUSES = (
    PlaceCause(("shop",)),
    PlaceCause(("shop",), leaving=True, margin_meters=80.0),
    PlaceCause(("mall",), ("store",), max_accuracy_meters=30.0),
    PlaceCause((), ("big",), leaving=True, margin_meters=1.0),
)


def rules_of(causes=CAUSES, generation: int = 1, since: int = 0) -> Rules:
    triggers = [
        TriggerDefinition(str(number), f"t{number}", cause, SendAction("c"), since=since)
        for number, cause in enumerate(causes)
    ]
    return Rules(generation, (), triggers, COMPILER, Places(RECORDS))


@dataclass
class Plainly:
    """One trigger, and every place by itself."""

    cause: PlaceCause
    time: int = 0
    inside: set[str] = field(default_factory=set)

    def see(self, spot: Spot) -> set[str]:
        """The places by which it is caused."""
        if spot.time <= self.time:
            return set()
        self.time = spot.time
        if spot.accuracy > self.cause.max_accuracy_meters:
            return set()
        came, went = set(), set()
        for place_id, record in RECORDS.items():
            named = place_id in self.cause.place_ids
            if not named and not set(self.cause.labels) & set(record.labels):
                continue
            where = area(record)
            distance = where.distance(spot.latitude, spot.longitude)
            if place_id not in self.inside and where.contains(spot.latitude, spot.longitude):
                came.add(place_id)
            elif place_id in self.inside and distance > self.cause.margin_meters:
                went.add(place_id)
        self.inside = (self.inside | came) - went
        return went if self.cause.leaving else came


metres = st.sampled_from([0, 99, 101, 149, 151, 179, 181, 399, 401, 449, 451, 1100, 1300, 2300])
spots = st.builds(
    lambda time, north, east, accuracy: Spot(time, north * NORTH, east * NORTH, accuracy),
    st.integers(1, 12),
    metres,
    st.sampled_from([0, 60, 500]),
    st.sampled_from([0.0, 5.0, 30.0, 31.0, 200.0, 201.0]),
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(spots, max_size=12))
def test_places_are_entered_and_left_as_said_plainly_in_whatever_order(seen: list[Spot]) -> None:
    rules, state = rules_of(), ContactState()
    plainly = [Plainly(cause) for cause in CAUSES]
    for spot in seen:
        state = ContactState.from_bytes(state.to_bytes())
        found: dict[str, set[str]] = {}
        for rule, place_id in locate(rules, state, spot):
            found.setdefault(rule.trigger_id, set()).add(place_id)
        wanted = {str(i): one.see(spot) for i, one in enumerate(plainly)}
        assert found == {trigger_id: places for trigger_id, places in wanted.items() if places}


def test_a_trigger_that_ended_is_forgotten_and_one_that_begins_knows_who_is_there() -> None:
    state = ContactState()
    assert locate(rules_of(CAUSES[:1]), state, Spot(1, 0.0, 0.0))
    assert state.inside == {"0": ["shop"]}
    settle_in(rules_of(CAUSES[:3], since=2), state, generation=1)
    assert state.inside == {"0": ["shop"], "1": ["shop"], "2": ["mall", "shop"]}
    assert not list(locate(rules_of(CAUSES[:3]), state, Spot(2, 0.0, 0.0)))
    settle_in(rules_of(()), state, generation=2)
    assert (state.inside, state.spot) == ({}, None)
