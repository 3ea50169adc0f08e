"""Business numbers in Postgres."""
# ruff: noqa: S608 - what is put into SQL here are names of the model's own columns

from collections.abc import Callable, Sequence
from typing import Final

from chassis.failures import EtagMismatch
from chassis.postgres import Connection, Effects, Pool
from chassis.streams import Record
from services.sender.failures import NumberNotFound
from services.sender.model import Number
from services.sender.numbers.facts import NumberFact, throughput

_FIELDS: Final = Number.__struct_fields__
_NUMBERS: Final = f"SELECT {', '.join(_FIELDS)} FROM numbers"
_WRITTEN: Final = [c for c in _FIELDS if c not in {"phone_number_id", "create_time"}]
_TIMES: Final = ("limit_time", "level_time", "quality_time", "name_time")
_COLUMNS: Final = {
    "limit": "messaging_limit",
    "level": "throughput_level",
    "quality": "quality_rating",
    "name": "verified_name",
}
# Meta writes the same number with and without a plus sign and spaces.
_MEANT: Final = (
    "waba_id = $1 AND ($2 = '' OR regexp_replace(display_phone_number, '[^0-9]', '', 'g') ="
    " regexp_replace($2, '[^0-9]', '', 'g'))"
)
_PORTFOLIO: Final = (
    f"({_MEANT} OR portfolio_id <> '' AND portfolio_id IN"
    " (SELECT portfolio_id FROM numbers WHERE waba_id = $1))"
)
_CHANGED: Final = "version = version + 1, update_time = greatest(update_time, $3)"


class NumberStore:
    """The registry of numbers."""

    def __init__(self, pool: Pool, effects: Effects) -> None:
        self._pool = pool
        self._effects = effects

    async def number(self, phone_number_id: str) -> Number:
        """By Meta's id; raises NumberNotFound."""
        row = await self._pool.fetchrow(f"{_NUMBERS} WHERE phone_number_id = $1", phone_number_id)
        if row is None:
            raise _unknown(phone_number_id)
        return Number(*row)

    async def numbers(self, waba_id: str, after: str, n: int) -> list[Number]:
        """Numbers by id; an empty account takes all."""
        rows = await self._pool.fetch(
            f"{_NUMBERS} WHERE ($1 = '' OR waba_id = $1) AND phone_number_id > $2"
            " ORDER BY phone_number_id LIMIT $3",
            *(waba_id, after, n),
        )
        return [Number(*row) for row in rows]

    async def add(self, number: Number, ask_time: int) -> Number:
        """Store a number unless it is known; returns the one that stands. Meta is asked of it again
        at `ask_time`."""
        marks = ", ".join(f"${i}" for i in range(1, len(_FIELDS) + 2))
        await self._pool.execute(
            f"INSERT INTO numbers ({', '.join(_FIELDS)}, ask_time) VALUES ({marks})"
            " ON CONFLICT DO NOTHING",
            *(getattr(number, field) for field in _FIELDS),
            ask_time,
        )
        return await self.number(number.phone_number_id)

    async def change(
        self, phone_number_id: str, change: Callable[[Number], bool], now: int, etag: str = ""
    ) -> Number:
        """Change a number while nobody else does. `change` works in place, or raises, and returns
        False when nothing is to change. Raises NumberNotFound and EtagMismatch."""
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            number = await _locked(connection, phone_number_id)
            if etag and etag != str(number.version):
                raise EtagMismatch(str(number.version))
            if change(number):
                number.version += 1
                number.update_time = now
                await _write(connection, number)
        return number

    async def learned(
        self, phone_number_id: str, change: Callable[[Number], None], asked: int, again: int
    ) -> Number:
        """Take over what Meta was asked at a time; webhooks that tell of times before change
        nothing any more."""
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            number = await _locked(connection, phone_number_id)
            before = _told(number)
            change(number)
            if _told(number) != before:
                number.version += 1
                number.update_time = asked
            await _write(connection, number)
            times = ", ".join(f"{c} = greatest({c}, $2)" for c in _TIMES)
            await connection.execute(
                f"UPDATE numbers SET {times}, ask_time = $3 WHERE phone_number_id = $1",
                *(phone_number_id, asked, again),
            )
        return number

    async def due(self, now: int, until: int, n: int) -> list[Number]:
        """Numbers of which Meta is to be asked, which nobody else takes until `until`."""
        rows = await self._pool.fetch(
            "UPDATE numbers SET ask_time = $2 WHERE phone_number_id IN"
            " (SELECT phone_number_id FROM numbers WHERE ask_time <= $1"
            "  ORDER BY ask_time LIMIT $3 FOR UPDATE SKIP LOCKED)"
            f" RETURNING {', '.join(_FIELDS)}",
            *(now, until, n),
        )
        return [Number(*row) for row in rows]

    async def told(self, facts: Sequence[NumberFact]) -> None:
        """Fold in what webhooks tell, each once; what is older than what is known changes nothing.
        Meta is asked soon whether that is all."""

        async def work(connection: Connection, fresh: Sequence[int]) -> list[Record]:
            for fact in sorted((facts[i] for i in fresh), key=lambda f: f.time):
                await _apply(connection, fact)
            return []

        await self._effects.apply([f"{fact.event_id}/{fact.fact}" for fact in facts], work)


async def _apply(connection: Connection, fact: NumberFact) -> None:
    who = (fact.waba_id, fact.display_phone_number, fact.time)
    match fact.fact:
        case "restriction":
            await connection.execute(
                f"UPDATE numbers SET restriction = $4, restricted_until = $5,"
                f" restriction_reason = $6, restriction_time = $3, {_CHANGED}"
                f" WHERE {_MEANT} AND restriction_time <= $3",
                *(*who, fact.value, fact.until, fact.reason),
            )
        case "lift":
            await connection.execute(
                f"UPDATE numbers SET restriction = '', restricted_until = 0,"
                f" restriction_reason = '', restriction_time = $3, {_CHANGED}"
                f" WHERE {_MEANT} AND restriction_time <= $3"
                " AND restriction_reason = ANY($4::text[])",
                *(*who, list(fact.lifts)),
            )
        case _:
            column, time = _COLUMNS[fact.fact], f"{fact.fact}_time"
            meant = _PORTFOLIO if fact.fact == "limit" else _MEANT
            rows = await connection.fetch(
                f"UPDATE numbers SET {column} = $4, {time} = $3, ask_time = least(ask_time, $3),"
                f" {_CHANGED} WHERE {meant} AND {time} < $3"
                " RETURNING phone_number_id, throughput_level, throughput_limit",
                *(*who, fact.value),
            )
            for row in rows if fact.fact == "level" else ():
                await connection.execute(
                    "UPDATE numbers SET throughput = $2 WHERE phone_number_id = $1",
                    row["phone_number_id"],
                    throughput(row["throughput_level"], row["throughput_limit"]),
                )


def _told(number: Number) -> tuple[object, ...]:
    """What of a number callers see change."""
    return tuple(getattr(number, c) for c in _WRITTEN if c not in {"update_time", "sync_time"})


async def _locked(connection: Connection, phone_number_id: str) -> Number:
    row = await connection.fetchrow(
        f"{_NUMBERS} WHERE phone_number_id = $1 FOR UPDATE", phone_number_id
    )
    if row is None:
        raise _unknown(phone_number_id)
    return Number(*row)


async def _write(connection: Connection, number: Number) -> None:
    assigned = ", ".join(f"{c} = ${i}" for i, c in enumerate(_WRITTEN, 2))
    await connection.execute(
        f"UPDATE numbers SET {assigned} WHERE phone_number_id = $1",
        number.phone_number_id,
        *(getattr(number, c) for c in _WRITTEN),
    )


def _unknown(phone_number_id: str) -> NumberNotFound:
    return NumberNotFound(
        f"number {phone_number_id} is not registered", phone_number_id=phone_number_id
    )
