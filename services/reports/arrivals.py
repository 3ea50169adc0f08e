"""Ads by which people came, and what each brought where it was the first.

As with messages, what people bought may be told before they are known to have come by an ad, or of
another of their ids. So whenever something is said of a person, what their arrivals brought is
found anew.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

import orjson

from chassis.clock import milliseconds_of
from chassis.postgres import Connection
from services.reports.attribution import Order, Touch, first
from services.reports.columns import TIME, by_column, upsert
from services.reports.model import Arrival, Goal

_ARRIVALS: Final = upsert(
    "arrivals",
    ["contact_id", "letter_id"],
    {
        **{"contact_id": "text", "letter_id": "text", "arrive_time": TIME},
        **{"ad_id": "text", "phone_number_id": "text"},
    },
    [],
)
_LATER: Final = "(excluded.say_time, excluded.headline) > (f.say_time, f.headline)"
_ADS: Final = upsert(
    "ads",
    ["ad_id"],
    {"ad_id": "text", "say_time": TIME, "headline": "text"},
    [
        f"{name} = CASE WHEN {_LATER} THEN excluded.{name} ELSE f.{name} END"
        for name in ("say_time", "headline")
    ],
)
_THEIRS: Final = (
    "SELECT contact_id, letter_id, arrive_time, sales::text FROM arrivals"
    " WHERE contact_id = ANY($1::text[]) ORDER BY contact_id, letter_id FOR UPDATE"
)
_CREDIT: Final = (
    "UPDATE arrivals a SET sales = t.sales::jsonb"
    " FROM unnest($1::text[], $2::text[], $3::text[]) AS t (contact_id, letter_id, sales)"
    " WHERE a.contact_id = t.contact_id AND a.letter_id = t.letter_id"
)


class Came(NamedTuple):
    """That a person came by an ad."""

    contact_id: str
    letter_id: str
    time: int
    sales: list[dict[str, object]]
    """What it brought so far as is known, as it is stored."""


async def note(connection: Connection, arrivals: Collection[Arrival]) -> None:
    """Store that people came, and what the ads are called."""
    if not arrivals:
        return
    rows = [(a.contact_id, a.letter_id, a.time, a.ad_id, a.phone_number_id) for a in arrivals]
    await connection.execute(_ARRIVALS, *by_column(rows))
    called: dict[str, tuple[int, str]] = {}
    for one in arrivals:
        said = (one.time, one.headline)
        called[one.ad_id] = max(said, called.get(one.ad_id, said))
    await connection.execute(_ADS, *by_column([(ad, *said) for ad, said in called.items()]))


async def held(connection: Connection, persons: Mapping[str, str]) -> dict[str, list[Came]]:
    """By person when they came by ads, locked. `persons`: contact → person, all ids of each."""
    came: dict[str, list[Came]] = {}
    for contact, letter, time, sales in await connection.fetch(_THEIRS, list(persons)):
        told = Came(contact, letter, milliseconds_of(time), orjson.loads(sales))
        came.setdefault(persons[contact], []).append(told)
    return came


async def credit(
    connection: Connection,
    came: Mapping[str, Sequence[Came]],
    done: Mapping[str, Mapping[str, Sequence[Order]]],
    goals: Mapping[str, Goal],
) -> None:
    """Find anew what the ads brought. `came`: by person; `done`: by definition and person."""
    changed: list[tuple[str, str, str]] = []
    for person, theirs in came.items():
        by_name = {f"{one.contact_id}\x1f{one.letter_id}": one for one in theirs}
        touches = [Touch(one.time, name) for name, one in by_name.items()]
        brought: dict[str, list[dict[str, object]]] = {name: [] for name in by_name}
        for conversion_id in sorted(done):
            orders, window = done[conversion_id].get(person, ()), goals[conversion_id].window_ms
            for name, sales in first(orders, touches, window).items():
                brought[name] += (
                    {
                        "conversion_id": conversion_id,
                        "currency": sale.currency,
                        "conversions": sale.conversions,
                        "revenue_micros": sale.revenue_micros,
                    }
                    for sale in sales
                )
        for name, one in by_name.items():
            if brought[name] != one.sales:
                told = orjson.dumps(brought[name]).decode()
                changed.append((one.contact_id, one.letter_id, told))
    if changed:
        await connection.execute(_CREDIT, *by_column(changed))
