"""Who is near a place."""

import pytest

from expressions import Area, Facts, Registry, compile
from expressions.oracle import Oracle, Person
from expressions.places import metres

SHOP = Area(40.9903, 29.0275, radius=50)
PARK = Area(
    41.005,
    29.005,
    rings=(((41.0, 29.0), (41.0, 29.01), (41.01, 29.01), (41.01, 29.0), (41.0, 29.0)),),
)
AREAS = {"shop": SHOP, "park": PARK}
REGISTRY = Registry({"traits.last_location": "map"}, areas=AREAS)


def near(place: str, distance: str, latitude: float | None, longitude: float) -> bool:
    """By the compiled form and by the oracle, which have to agree."""
    source = f'near("{place}", "{distance}")'
    here = {"latitude": latitude, "longitude": longitude}
    rule = compile(source, REGISTRY)
    found = rule.evaluate(Facts(attributes={"traits.last_location": here}), 0)
    told = Oracle(source, REGISTRY).evaluate(Person({"traits.last_location": here}), 0)
    assert found is (told is True)
    assert rule.attributes == {"traits.last_location"}
    assert rule.places == {place}
    return found


def test_the_distance_is_along_the_great_circle():
    assert metres(41.0082, 28.9784, 39.9334, 32.8597) == pytest.approx(349_300, rel=0.003)
    assert metres(0, 179.9, 0, -179.9) == pytest.approx(22_239, rel=0.001)
    assert metres(90, 0, -90, 77) == pytest.approx(20_015_115, rel=0.001)


def test_near_a_circle_is_so_far_from_its_edge():
    north = 1 / 111_195  # degrees in a metre
    assert near("shop", "500m", 40.9903 + 549 * north, 29.0275)
    assert not near("shop", "500m", 40.9903 + 551 * north, 29.0275)
    assert near("shop", "0.5km", 40.9903 - 549 * north, 29.0275)


def test_near_a_polygon_is_in_it_or_so_far_from_its_edge():
    north = 1 / 111_195
    assert near("park", "1m", 41.005, 29.005)
    assert near("park", "100m", 41.01 + 99 * north, 29.005)
    assert not near("park", "100m", 41.01 + 101 * north, 29.005)


def test_nobody_is_near_a_place_that_is_gone_or_without_a_location():
    assert not near("gone", "1000km", 41.0, 29.0)
    assert not near("shop", "1000km", None, 29.0)
    assert not near("shop", "1000km", 91.0, 29.0)
    assert not compile('near("shop", "1km")', REGISTRY).evaluate(Facts(), 0)


def test_a_place_that_moves_is_seen_where_it_is():
    areas = {"van": Area(41.0, 29.0)}
    rule = compile('near("van", "1km")', Registry(areas=areas))
    facts = Facts(attributes={"traits.last_location": {"latitude": 41.0, "longitude": 29.0}})
    assert rule.evaluate(facts, 0)
    areas["van"] = Area(42.0, 29.0)
    assert not rule.evaluate(facts, 0)
