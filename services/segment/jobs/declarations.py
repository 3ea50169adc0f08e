"""What the business declared, kept: rules that look at what is of another type now are compiled
anew, and whoever is in segments by them is found anew."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, TypeAlias

import orjson
import structlog

from chassis.clock import Clock
from chassis.postgres import Connection, Pool
from expressions import Expression, ExpressionError, Registry
from services.segment.engine.causes import DateCause
from services.segment.engine.definitions import Catalogue, Edit, backfill_of, find_anew
from services.segment.engine.journeys.model import JourneyRecord
from services.segment.engine.journeys.rules import PARAMETERS, compile_journey
from services.segment.engine.model import SegmentRecord, TriggerRecord
from services.segment.engine.rules import Compiler, compile_trigger
from services.segment.names import Names, Told
from services.segment.tables.definitions import DefinitionsStore

_PUT: Final = (
    "INSERT INTO declared_names AS known (kind, name, spec, personal)"
    " SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bool[])"
    " ON CONFLICT (kind, name) DO UPDATE SET spec = excluded.spec, personal = excluded.personal"
    " WHERE (known.spec, known.personal) <> (excluded.spec, excluded.personal)"
    " RETURNING kind, name"
)
Record: TypeAlias = SegmentRecord | TriggerRecord | JourneyRecord

_logger = structlog.get_logger()


class Declarations:
    """A part of the definitions, since rules look at it."""

    def __init__(
        self, store: DefinitionsStore, pool: Pool, clock: Clock, names: Names, compiler: Compiler
    ) -> None:
        self._store = store
        self._pool = pool
        self._clock = clock
        self._names = names
        self._compiler = compiler

    async def take(self, given: Told) -> None:
        """Keep what is told; as the next generation when something is of another type now."""
        told, known = self._names.admitted(given), self._names.told
        if (
            _holds(known.attributes, told.attributes)
            and _holds(known.events, told.events)
            and _holds(known.personal, told.personal)
        ):
            return
        vocabulary = self._names.after(told)
        retyped = _retyped(self._names.anything, vocabulary)
        if retyped:
            stored: set[tuple[str, str]] = set()

            async def put(connection: Connection) -> None:
                stored.update(await _put(connection, given))

            def decide(catalogue: Catalogue) -> Edit | None:
                # Nothing of it is stored: another process has done it.
                changed = retyped & stored
                return self._edit(catalogue, changed, vocabulary) if changed else None

            await self._store.edit(decide, put)
        else:
            await _put(self._pool, given)
        # Who loads the generation learns what is of another type.
        self._names.learn(
            Told(
                {n: s for n, s in told.attributes.items() if ("attribute", n) not in retyped},
                {n: s for n, s in told.events.items() if ("event", n) not in retyped},
                told.personal,
            )
        )

    def _edit(
        self, catalogue: Catalogue, changed: set[tuple[str, str]], vocabulary: Registry
    ) -> Edit:
        now, edit = self._clock.now(), Edit()
        compiler = Compiler(vocabulary)
        broken: list[str] = []
        needed: list[Expression] = []
        definitions: list[Record] = [*catalogue.segments.values(), *catalogue.triggers.values()]
        for one in (*definitions, *catalogue.journeys.values()):
            before = _rules(one, self._compiler)
            if one.state == "archived" or (before is not None and not _look(before, changed)):
                continue
            after = _rules(one, compiler)
            if after is None:
                broken += [_name(one)] if before is not None else []
            elif not catalogue.contacts:
                continue
            elif isinstance(one, SegmentRecord):
                find_anew(edit, one, backfill_of(one.segment_id, one.version, after, now))
            else:
                needed += after
        if needed:
            edit.backfills.append(backfill_of("", 0, needed, now))
        if broken:
            _logger.warning("rules no longer compile: correct them", names=broken)
        return edit


def _rules(one: Record, compiler: Compiler) -> list[Expression] | None:
    """None when they do not compile."""
    try:
        match one:
            case SegmentRecord():
                return [compiler.compile(one.expression)]
            case TriggerRecord(definition=trigger):
                found = compile_trigger(trigger, compiler).expressions
                if isinstance(trigger.cause, DateCause):
                    found.append(compiler.compile(f"profile.{trigger.cause.attribute_name}"))
                return found
            case JourneyRecord(definition=journey):

                def compiled(source: str) -> Expression:
                    return compiler.compile(source, None, (PARAMETERS,))

                return [*compile_journey(journey, compiled).expressions]
    except ExpressionError:
        return None


def _name(one: Record) -> str:
    return one.name if isinstance(one, SegmentRecord) else one.definition.name


def _look(expressions: Sequence[Expression], changed: AbstractSet[tuple[str, str]]) -> bool:
    """Whether any looks at something of this kind and name."""
    looked = {("attribute", name) for one in expressions for name in one.attributes}
    looked |= {("event", name) for one in expressions for name in one.events}
    return bool(changed & looked)


def _holds(known: Mapping[str, object], told: Mapping[str, object]) -> bool:
    return all(name in known and known[name] == one for name, one in told.items())


def _retyped(known: Registry, new: Registry) -> set[tuple[str, str]]:
    """Kind and name of what is of another type."""
    return {
        *(("attribute", n) for n, kind in known.attributes.items() if new.attributes[n] != kind),
        *(("event", n) for n, kind in known.events.items() if new.events[n] != kind),
    }


async def _put(where: "Connection | Pool", told: Told) -> set[tuple[str, str]]:
    """Returns kind and name of what was not stored so."""
    rows = [
        *(
            ("attribute", name, spec, told.personal.get(name, True))
            for name, spec in told.attributes.items()
        ),
        *(("event", name, spec, True) for name, spec in told.events.items()),
    ]
    stored = await where.fetch(
        _PUT,
        [kind for kind, _, _, _ in rows],
        [name for _, name, _, _ in rows],
        [orjson.dumps(spec, option=orjson.OPT_SORT_KEYS).decode() for _, _, spec, _ in rows],
        [personal for _, _, _, personal in rows],
    )
    return {(row["kind"], row["name"]) for row in stored}
