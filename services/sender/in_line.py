"""What stands in line, for those who watch over it: how much and since when."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from chassis import names
from chassis.clock import Clock, milliseconds_of
from chassis.postgres import Pool
from chassis.telemetry import gauge
from services.sender.delivery.pace import Pace
from services.sender.measuring import LANES
from services.sender.model import Circuit, Lane, Number

_COUNTED: Final = 10_000  # of each number and lane: more is many

_waiting = gauge("merhaba.sender.waiting")
_oldest = gauge("merhaba.sender.oldest")
_unknown = gauge("merhaba.sender.unknown")
_circuits = gauge("merhaba.sender.circuit")


class Paces(Protocol):
    """The limiters, as far as they are asked here."""

    async def pace(self, number: Number) -> Pace:
        """What they now make of a number."""
        ...


class Line:
    """What stands in line, looked at every few seconds."""

    def __init__(
        self,
        pool: Pool,
        numbers: Callable[[], Awaitable[Sequence[Number]]],
        paces: Paces,
        clock: Clock,
    ) -> None:
        self._pool = pool
        self._numbers = numbers
        self._paces = paces
        self._clock = clock

    async def look(self) -> bool:
        """Look once; says that there is nothing more to do for now."""
        numbers = await self._numbers()
        now = milliseconds_of(self._clock.now())
        async with self._pool.acquire(timeout=10) as connection:
            rows = await connection.fetch(
                "SELECT lane, sum(n) AS n, min(oldest) AS oldest"
                " FROM unnest($1::text[]) AS number, unnest($2::smallint[]) AS lanes (lane),"
                " LATERAL (SELECT count(*) AS n, min(due_time) AS oldest FROM ("
                "  SELECT due_time FROM messages WHERE is_waiting AND phone_number_id = number"
                "  AND messages.lane = lanes.lane AND due_time <= $3 LIMIT $4) AS due) AS counted"
                " GROUP BY lane",
                [number.phone_number_id for number in numbers],
                list(Lane),
                *(now, _COUNTED),
            )
            unknown = await connection.fetchval(
                "SELECT count(*) FROM (SELECT FROM messages WHERE is_unknown LIMIT $1) AS found",
                _COUNTED,
            )
        found = {row["lane"]: row for row in rows}
        for lane, attributes in LANES.items():
            row = found.get(lane)
            oldest = row["oldest"] if row else None
            _waiting.set(row["n"] if row else 0, attributes)
            _oldest.set(0 if oldest is None else (now - oldest) / 1000, attributes)
        _unknown.set(unknown)
        circuits = Counter([(await self._paces.pace(number)).circuit for number in numbers])
        for circuit in Circuit:
            _circuits.set(circuits[circuit], {names.STATE: circuit.name.lower()})
        return False
