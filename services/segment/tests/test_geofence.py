"""Which places a position is in, against looking at every place."""

import random
from time import perf_counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from expressions import Area
from services.segment.engine.geofence import Geofence

LATITUDE = st.floats(-90, 90)
LONGITUDE = st.floats(-180, 180)
NEAR = st.floats(-0.02, 0.02)


def slowly(areas: dict[str, Area], latitude: float, longitude: float) -> set[str]:
    """The same, said plainly."""
    return {one for one, area in areas.items() if area.contains(latitude, longitude)}


@st.composite
def circles(draw):
    radius = draw(st.sampled_from([0.0, 1.0, 50.0, 500.0, 20_000.0, 3_000_000.0]))
    return Area(draw(LATITUDE), draw(LONGITUDE), radius)


@st.composite
def polygons(draw):
    middle_north, middle_east = draw(st.floats(-80, 80)), draw(st.floats(-170, 170))
    size = draw(st.sampled_from([0.0005, 0.01, 1.0, 9.0]))
    corners = draw(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=3, max_size=6))
    ring = tuple((middle_north + n * size, middle_east + e * size) for n, e in corners)
    return Area(0.0, 0.0, rings=(ring,))


@st.composite
def cases(draw):
    """Places, and a position that often is in one or at its edge."""
    areas = draw(st.lists(circles() | polygons(), min_size=1, max_size=8))
    named = {str(number): area for number, area in enumerate(areas)}
    if draw(st.booleans()):
        return named, (draw(LATITUDE), draw(LONGITUDE))
    south, west, north, east = draw(st.sampled_from(areas)).bounds()
    share_north = draw(st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 1))
    share_east = draw(st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 1))
    latitude = south + share_north * (north - south)
    longitude = west + share_east * (east - west)
    return named, (max(-90.0, min(90.0, latitude)), (longitude + 180) % 360 - 180)


@settings(max_examples=600, deadline=None, derandomize=True)
@given(cases())
@example(({"0": Area(0.0, 180.0, 500.0)}, (0.0, -179.999)))
@example(({"0": Area(0.0, -180.0, 500.0)}, (0.0, 179.999)))
@example(({"0": Area(89.9999, 10.0, 500.0)}, (89.999, -170.0)))
@example(({"0": Area(-90.0, 0.0, 0.0)}, (-90.0, 0.0)))
def test_a_position_is_in_the_places_that_contain_it(case):
    areas, position = case
    assert Geofence(areas).containing(*position) == slowly(areas, *position)


def test_a_place_with_a_hole_does_not_contain_what_is_in_the_hole():
    outer = ((41.0, 29.0), (41.0, 29.1), (41.1, 29.1), (41.1, 29.0))
    hole = ((41.04, 29.04), (41.04, 29.06), (41.06, 29.06), (41.06, 29.04))
    fence = Geofence({"park": Area(0.0, 0.0, rings=(outer, hole))})
    assert fence.containing(41.02, 29.02) == {"park"}
    assert fence.containing(41.05, 29.05) == set()


def test_the_distance_is_to_the_border_and_unknown_of_no_place():
    fence = Geofence({"shop": Area(41.0, 29.0, 50.0)})
    assert fence.distance("shop", 41.0, 29.0) == 0
    assert fence.distance("shop", 41.001, 29.0) == pytest.approx(61.2, abs=0.5)
    assert fence.distance("gone", 41.0, 29.0) is None


def test_ten_thousand_places_cost_a_position_less_than_a_millisecond():
    draw = random.Random(1)
    areas = {
        str(number): Area(draw.uniform(40.8, 41.2), draw.uniform(28.6, 29.4), 200.0)
        for number in range(10_000)
    }
    fence = Geofence(areas)
    positions = [(draw.uniform(40.8, 41.2), draw.uniform(28.6, 29.4)) for _ in range(500)]
    began = perf_counter()
    found = [fence.containing(*one) for one in positions]
    each = (perf_counter() - began) / len(positions)
    assert each < 1e-3
    assert found[0] == slowly(areas, *positions[0])
