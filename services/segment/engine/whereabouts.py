"""Where a contact is, and the places that it came to or went from by that. Pure.

Only later locations count. A place that somebody is in is left only well beyond its border, so that
a shaky position does not enter and leave in turn.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from services.segment.engine.model import Spot
from services.segment.engine.places import Places
from services.segment.engine.rules import PlaceRule, Rules
from services.segment.engine.state import ContactState


class Passage(NamedTuple):
    """Somebody came to a place or went from it, as a trigger asks."""

    rule: PlaceRule
    place_id: str


def locate(rules: Rules, state: ContactState, spot: Spot) -> list[Passage]:
    """Take up where somebody was; returns what that causes, in the order of triggers and places."""
    if not rules.located or (state.spot is not None and spot.time <= state.spot.time):
        return []
    state.spot = spot
    state.changed = True
    if not rules.by_place:
        return []
    found = rules.places.fence.containing(spot.latitude, spot.longitude)
    passages: list[Passage] = []
    for rule in rules.by_place:
        if spot.accuracy <= rule.cause.max_accuracy_meters:
            before = frozenset(state.inside.get(rule.trigger_id, ()))
            now = (found & rule.places) | set(_lingering(rules.places, rule, before, spot))
            crossed = before - now & rule.places if rule.cause.leaving else now - before
            passages += [
                Passage(rule, one) for one in sorted(crossed & rules.places.records.keys())
            ]
            _note(state, rule, now)
    return passages


def settle_in(rules: Rules, state: ContactState, generation: int) -> None:
    """Begin with triggers that were made after a generation: of whoever is in a place already,
    nothing is said. Forget those that ended."""
    ended = state.inside.keys() - {rule.trigger_id for rule in rules.by_place}
    for gone in ended:
        del state.inside[gone]
    if not rules.located:
        state.spot = None
    if state.spot is not None:
        _begin(rules, state, [one for one in rules.by_place if one.since > generation])


def remember(rules: Rules, state: ContactState, spot: Spot) -> None:
    """Take up where somebody was before anybody asked; it causes nothing."""
    if rules.located and (state.spot is None or spot.time > state.spot.time):
        state.spot = spot
        state.changed = True
        _begin(rules, state, rules.by_place)


def unite(state: ContactState, other: ContactState) -> None:
    """Of two that are one contact, the later location counts."""
    if other.spot is not None and (state.spot is None or other.spot.time > state.spot.time):
        state.spot, state.inside = other.spot, other.inside


def _begin(rules: Rules, state: ContactState, begun: Iterable[PlaceRule]) -> None:
    spot = state.spot
    assert spot is not None
    for rule in begun:
        if spot.accuracy <= rule.cause.max_accuracy_meters:
            found = rules.places.fence.containing(spot.latitude, spot.longitude)
            _note(state, rule, found & rule.places)


def _lingering(
    places: Places, rule: PlaceRule, before: frozenset[str], spot: Spot
) -> Iterator[str]:
    """Of the places that somebody was in, those that are not far enough away yet."""
    for place_id in before & rule.places:
        distance = places.fence.distance(place_id, spot.latitude, spot.longitude)
        if distance is not None and distance <= rule.cause.margin_meters:
            yield place_id


def _note(state: ContactState, rule: PlaceRule, places: Iterable[str]) -> None:
    if inside := sorted(places):
        state.inside[rule.trigger_id] = inside
    else:
        state.inside.pop(rule.trigger_id, None)
