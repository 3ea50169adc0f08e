"""What is registered, in Postgres.

Every process keeps it in memory, by generation: one small query tells whether it still holds, so
nothing is ever decided by what was changed before.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from chassis.clock import Clock, milliseconds_of
from chassis.failures import EtagMismatch, Failure
from chassis.postgres import Connection, Pool
from chassis.transient import transient
from services.profile.person import registry, standing
from services.profile.person.attributes import well_named
from services.profile.person.model import Happening, ValueType
from services.profile.person.registry import Registry, StageRulesNotFound, TypeInUse
from services.profile.person.standing import DEFAULT, Borders, Rules, StageRules
from services.profile.person.vocabulary import ATTRIBUTES, EVENTS, AttributeType, EventType

_FLUSH_EVERY: Final = timedelta(seconds=30)
_BORDERS_EVERY: Final = timedelta(minutes=10)
_MINUTE: Final = 60_000
_MOST_SEEN: Final = 10_000  # names of events at once
_SHIPPED: Final = 1  # the version of the rules until somebody writes others
_ENCODE: Final = msgspec.msgpack.Encoder().encode
_ATTRIBUTE: Final = msgspec.msgpack.Decoder(AttributeType)
_EVENT: Final = msgspec.msgpack.Decoder(EventType)
_RULES: Final = msgspec.msgpack.Decoder(StageRules)
_logger = structlog.get_logger()


class RulesVersion(NamedTuple):
    """The rules of stages as they were, or are."""

    version: int
    rules: StageRules
    update_time: int
    """0 of those that were shipped."""


class RegistryStore:
    """What is registered."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._known: Registry | None = None
        self._seen: dict[str, int] = {}

    async def current(self, connection: "Connection | Pool | None" = None) -> Registry:
        """What is registered now, or as of the transaction of `connection`."""
        where = connection or self._pool
        return await self.of_generation(
            await where.fetchval("SELECT generation FROM registry"), where
        )

    async def of_generation(self, generation: int, where: "Connection | Pool") -> Registry:
        """What is registered, when its generation was read with something else; or since."""
        if self._known is None or self._known.generation != generation:
            self._known = await self._load(where)
        return self._known

    async def _load(self, where: "Connection | Pool") -> Registry:
        # First, so that whatever changes meanwhile makes another generation.
        row = await where.fetchrow("SELECT generation, medium, high FROM registry")
        assert row is not None
        generation, medium, high = row
        rows = await where.fetch("SELECT name, seen, registration FROM attribute_types")
        rules = await self._rules(where, 0)
        return Registry(
            generation,
            {row["name"]: _ATTRIBUTE.decode(row["registration"]) for row in rows if row[2]},
            {row["name"]: ValueType(row["seen"]) for row in rows if row["seen"] is not None},
            rules.rules,
            rules.version,
            None if medium is None or high is None else Borders(medium, high),
        )

    async def refusals(self, happenings: Sequence[Happening], lenient: bool) -> dict[int, Failure]:
        """Position → why the types of attributes refuse what is said there: nothing, if lenient."""
        if lenient or not any(one.attributes for one in happenings):
            return {}
        known = await self.current()
        found: dict[int, Failure] = {}
        for position, happening in enumerate(happenings):
            try:
                known.check(happening.attributes)
            except Failure as failure:
                found[position] = failure
        return found

    async def admit(self, happenings: Iterable[Happening]) -> None:
        """Leave out of happenings what is not of its attribute's type; register what is new."""
        happenings = list(happenings)
        for happening in happenings:
            self._saw(happening)
        if not any(one.attributes for one in happenings):
            return
        new, left_out = (await self.current()).admit(happenings)
        if left_out:
            _logger.warning("values of another type were left out", attributes=sorted(left_out))
        if new:
            async with self._change() as connection:
                await connection.execute(
                    "INSERT INTO attribute_types (name, seen)"
                    " SELECT * FROM unnest($1::text[], $2::smallint[])"
                    " ON CONFLICT (name) DO UPDATE SET seen = excluded.seen",
                    list(new),
                    list(new.values()),
                )

    def _saw(self, happening: Happening) -> None:
        minute = happening.time // _MINUTE * _MINUTE
        name = happening.name
        known = name in self._seen
        if minute > self._seen.get(name, -1) and (
            known or (len(self._seen) < _MOST_SEEN and well_named(name))
        ):
            self._seen[name] = minute

    async def register_attribute(
        self, given: AttributeType, fields: Sequence[str], etag: str
    ) -> AttributeType:
        """Register an attribute, or change `fields` of its registration.

        Raises `EtagMismatch`, `TypeInUse` and `FieldInvalid`.
        """
        async with self._change() as connection:
            known = await self.current(connection)
            former = known.attributes.get(given.name)
            if etag and etag != etag_of(former.revision if former else 0):
                raise EtagMismatch(etag_of(former.revision if former else 0))
            new = given if former is None else former._replace(**_picked(given, fields))
            new = new._replace(revision=(former.revision if former else 0) + 1)
            used = given.name in known.told or given.name in ATTRIBUTES
            new = registry.changed(former, new, used)
            Rules(known.rules.stages, {**known.attributes, new.name: new}.values(), None)
            await connection.execute(
                "INSERT INTO attribute_types (name, registration) VALUES ($1, $2)"
                " ON CONFLICT (name) DO UPDATE SET registration = excluded.registration",
                new.name,
                _ENCODE(new),
            )
        return new

    async def attributes(self, prefix: str, after: str, limit: int) -> list[AttributeType]:
        """Attributes by name."""
        known = (await self.current()).attributes
        names = sorted(name for name in known if name > after and name.startswith(prefix))
        return [known[name] for name in names[:limit]]

    async def register_event(self, given: EventType, fields: Sequence[str], etag: str) -> EventType:
        """Register an event, or change `fields` of its registration.

        Raises `EtagMismatch` and `TypeInUse`.
        """
        async with self._change() as connection:
            former = (await self._events(connection, given.name, 1)).get(given.name)
            if etag and etag != etag_of(former.revision if former else 0):
                raise EtagMismatch(etag_of(former.revision if former else 0))
            new = given if former is None else former._replace(**_picked(given, fields))
            if former is not None:
                for name, kind in former.properties.items():
                    if new.properties.get(name, kind) != kind:
                        raise TypeInUse(f"{given.name}.{name}", kind.name)
            new = new._replace(revision=(former.revision if former else 0) + 1)
            await connection.execute(
                "INSERT INTO event_types (name, registration) VALUES ($1, $2)"
                " ON CONFLICT (name) DO UPDATE SET registration = excluded.registration",
                new.name,
                _ENCODE(new),
            )
        return new

    async def events(self, prefix: str, after: str, limit: int) -> list[EventType]:
        """Events by name."""
        found = await self._events(self._pool, prefix, None)
        names = sorted(name for name in found if name > after and name.startswith(prefix))
        return [found[name] for name in names[:limit]]

    async def _events(
        self, where: "Connection | Pool", prefix: str, limit: int | None
    ) -> dict[str, EventType]:
        rows = await where.fetch(
            "SELECT name, last_time, registration FROM event_types"
            " WHERE starts_with(name, $1) ORDER BY name LIMIT $2",
            prefix,
            limit,
        )
        found = {name: one for name, one in EVENTS.items() if name.startswith(prefix)}
        for row in rows:
            name, last_time, registration = row
            known = _EVENT.decode(registration) if registration else found.get(name)
            found[name] = (known or EventType(name))._replace(last_time=last_time)
        return found

    async def rules(self, version: int) -> RulesVersion:
        """The rules of stages of a version; 0 is those in force. Raises `StageRulesNotFound`."""
        return await self._rules(self._pool, version)

    async def _rules(self, where: "Connection | Pool", version: int) -> RulesVersion:
        row = await where.fetchrow(
            "SELECT version, rules, update_time FROM stage_rules"
            " WHERE version = $1 OR $1 = 0 ORDER BY version DESC LIMIT 1",
            version,
        )
        if row is not None:
            return RulesVersion(row["version"], _RULES.decode(row["rules"]), row["update_time"])
        if version not in (0, _SHIPPED):
            raise StageRulesNotFound(version)
        return RulesVersion(_SHIPPED, DEFAULT, 0)

    async def update_rules(self, rules: StageRules, etag: str, check_only: bool) -> RulesVersion:
        """Put other rules in force. Raises `EtagMismatch`, `FieldInvalid`, `ExpressionInvalid`."""
        async with self._change(not check_only) as connection:
            known = await self.current(connection)
            if etag and etag != etag_of(known.version):
                raise EtagMismatch(etag_of(known.version))
            Rules(rules, known.attributes.values(), None)
            now = milliseconds_of(self._clock.now())
            new = RulesVersion(known.version + 1, rules, now)
            if not check_only:
                await connection.execute(
                    "INSERT INTO stage_rules (version, update_time, rules) VALUES ($1, $2, $3)",
                    new.version,
                    now,
                    _ENCODE(rules),
                )
        return new

    @asynccontextmanager
    async def _change(self, real: bool = True) -> AsyncIterator[Connection]:
        """A transaction that changes what is registered, one after the other."""
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            await connection.execute("SELECT FROM registry FOR UPDATE")
            yield connection
            if real:
                await connection.execute("UPDATE registry SET generation = generation + 1")

    async def run(self) -> None:
        """Note which events were seen, and where levels begin, until cancelled."""
        while True:
            await self._clock.sleep(_FLUSH_EVERY)
            try:
                await self.flush()
                await self.measure()
            except Exception as error:
                if not transient(error):
                    raise
                _logger.warning("the registry waits", error=type(error).__name__)

    async def flush(self) -> None:
        """Note which events were seen, and when last."""
        seen, self._seen = self._seen, {}
        if not seen:
            return
        names = sorted(seen)
        try:
            await self._pool.execute(
                "INSERT INTO event_types AS e (name, last_time)"
                " SELECT * FROM unnest($1::text[], $2::bigint[])"
                " ON CONFLICT (name) DO UPDATE SET last_time = excluded.last_time"
                " WHERE e.last_time < excluded.last_time",
                names,
                [seen[name] for name in names],
            )
        except Exception:
            for name, minute in seen.items():
                self._seen[name] = max(minute, self._seen.get(name, 0))
            raise

    async def measure(self) -> None:
        """Find anew where levels of engagement begin, if nobody did lately.

        Scores are whole numbers, so everybody's are counted exactly, by one pass over narrow rows;
        on several nodes each counts its own.
        """
        now = milliseconds_of(self._clock.now())
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            row = await connection.fetchrow(
                "SELECT medium, high FROM registry WHERE borders_time <= $1 FOR UPDATE SKIP LOCKED",
                now - _BORDERS_EVERY // timedelta(milliseconds=1),
            )
            if row is None:
                return
            rows = await connection.fetch(
                "SELECT score, count(*) FROM standings WHERE score IS NOT NULL GROUP BY score"
            )
            found = standing.borders({row[0]: row[1] for row in rows})
            medium, high = found or (None, None)
            await connection.execute(
                "UPDATE registry SET borders_time = $1, medium = $2, high = $3,"
                " generation = generation + $4",
                now,
                medium,
                high,
                int((row["medium"], row["high"]) != (medium, high)),
            )


def etag_of(revision: int) -> str:
    """Changes with every change of what is registered."""
    return f"r{revision}"


def _picked(given: AttributeType | EventType, fields: Sequence[str]) -> dict[str, Any]:
    return {field: getattr(given, field) for field in fields}
