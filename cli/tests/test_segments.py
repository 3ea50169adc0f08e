"""`merhaba segments` as somebody of marketing runs it, against a running service."""

from typing import Any
from uuid import uuid4

from cli.tests.running import Ended, ran
from merhaba.profile.v1 import Attribute
from services.segment.tests.conftest import TOKEN, migrated, suite  # noqa: F401 - fixtures


async def run(suite: Any, *arguments: str) -> Ended:  # noqa: F811 - a fixture
    """Exit code, output and errors of a command."""
    return await ran("segments", *arguments, SEGMENT_TARGET=suite.target, API_TOKEN=TOKEN)


async def test_a_segment_is_made_listed_looked_into_and_explained(suite: Any) -> None:  # noqa: F811
    code, output, _ = await run(suite, "definitions", "--language", "tr")
    assert code == 0
    assert "Bugün doğum günü olanlar" in output
    code, output, errors = await run(
        suite, "create", "often", "--from", "buyers_frequent", "--set", "orders=2"
    )
    assert (code, errors) == (0, "")
    assert 'events("order_completed").within("90d").count() >= 2' in output
    one = str(uuid4())
    orders = [suite.tracked(one, "order_completed") for _ in range(2)]
    await suite.hear(*orders)
    suite.profile.events[one] = orders
    listed = (await run(suite, "list"))[1]
    (row,) = [line for line in listed.splitlines() if "often" in line]
    assert [cell.strip() for cell in row.strip("│").split("│")][2:5] == ["active", "1", "1"]
    assert one in (await run(suite, "members", "often"))[1]
    explained = (await run(suite, "explain", "often", one))[1]
    assert "= true" in explained
    assert "order_completed 2026-11-22 09:00:00Z evt_" in explained
    assert "changes 2027-02-20 09:00:00Z if nothing happens" in explained


async def test_a_preview_shows_the_share_and_what_to_think_about(suite: Any) -> None:  # noqa: F811
    time = suite.tracked(str(uuid4()), "x").event_time
    for city in ("Izmir", "Izmir", "Ankara", "Ankara"):
        fact = Attribute(name="city", value_json=f'"{city}"'.encode(), change_time=time)
        suite.profile.facts[str(uuid4())] = [fact]
    code, output, _ = await run(suite, "preview", 'profile.city == "Izmir"')
    assert code == 0
    assert "50.00%" in output
    assert "fewer than 100 people belong to it" in output


async def test_a_mistake_is_shown_where_it_is(suite: Any) -> None:  # noqa: F811
    code, output, errors = await run(suite, "create", "x", 'profile.ctiy == "Izmir"')
    assert (code, output) == (2, "")
    assert "did you mean `city`?" in errors
    assert "        ^^^^" in errors
    code, _, errors = await run(suite, "members", "nobody")
    assert (code, errors) == (2, "merhaba: name: there is no segment nobody; list them first\n")
