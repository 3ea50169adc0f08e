"""What the business declared to profile can be named in rules."""

from typing import Any

import grpc
import pytest

from merhaba.profile.v1 import AttributeType, EventType
from merhaba.segment.v1 import CheckExpressionRequest
from services.segment.names import Names
from services.segment.vocabulary import ATTRIBUTES

CALLED = 'events("taxi_called").last().fare > 10.0 && profile.seats >= 3'


async def problems(suite: Any, expression: str) -> list[str]:
    request = CheckExpressionRequest(expression=expression)
    return [one.message for one in (await suite.segments.CheckExpression(request)).problems]


async def test_a_name_can_be_used_as_soon_as_it_is_declared(suite: Any) -> None:
    assert (await problems(suite, CALLED))[0].startswith("unknown event `taxi_called`")
    seats = AttributeType(name="seats", type=AttributeType.TYPE_INTEGER)
    city = AttributeType(name="city", type=AttributeType.TYPE_INTEGER)
    suite.registered.attributes += [seats, city]
    fare = {"fare": AttributeType.TYPE_NUMBER}
    suite.registered.events.append(EventType(name="taxi_called", properties=fare))
    assert await problems(suite, CALLED) == []
    assert "left side is int" in (await problems(suite, 'profile.seats == "3"'))[0]
    assert await problems(suite, 'profile.city == "Izmir"') == [], "what is known stays as it is"
    assert "did you mean `seats`" in (await problems(suite, "profile.seat > 3"))[0]


async def test_what_was_declared_is_known_to_others_and_while_profile_is_away(
    suite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seats = AttributeType(name="seats", type=AttributeType.TYPE_INTEGER)
    suite.registered.attributes.append(seats)
    assert await problems(suite, "profile.seats > 3") == []
    other = Names()
    async with suite.pool.acquire() as connection:
        await other.load(connection, 1)
    assert str(other.anything.attributes["seats"]) == "int"
    assert other.anything.attributes.keys() > ATTRIBUTES.keys()

    async def away(request: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "away")

    await suite.pool.execute("DELETE FROM declared_names")
    monkeypatch.setattr(suite.registered, "ListAttributes", away)
    assert await problems(suite, "profile.seats > 3") == []
