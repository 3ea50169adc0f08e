"""Places that move: whoever is near one by a segment's rule is found anew."""

from collections.abc import Sequence

from msgspec.structs import replace

from chassis.clock import Clock
from chassis.postgres import Connection
from services.segment.engine.definitions import Catalogue, Edit, Sources, backfill_of, find_anew
from services.segment.engine.things import PlaceRecord
from services.segment.jobs.things_store import put_places
from services.segment.tables.definitions import DefinitionsStore


class PlaceDefinitions:
    """Keeps places; they are a part of the definitions, since rules look at them."""

    def __init__(self, store: DefinitionsStore, clock: Clock, sources: Sources) -> None:
        self._store = store
        self._clock = clock
        self._sources = sources

    async def take(self, changes: Sequence[PlaceRecord]) -> None:
        """Keep what is told where it is later, as the next generation when a place changed."""
        changed: dict[str, bool] = {}

        async def put(connection: Connection) -> None:
            changed.update(await put_places(connection, changes))

        def decide(catalogue: Catalogue) -> Edit | None:
            moved = {place_id for place_id, elsewhere in changed.items() if elsewhere}
            return self._edit(catalogue, moved) if changed else None

        await self._store.edit(decide, put)

    def _edit(self, catalogue: Catalogue, moved: set[str]) -> Edit:
        """The members of segments that look at these places are found anew. A version that is to
        come into force looks at them as they are then."""
        now = self._clock.now()
        edit = Edit()
        if not catalogue.contacts:
            return edit
        for one in catalogue.segments.values():
            rule = self._sources.rule(one.expression)
            if one.state == "archived" or rule is None:
                continue
            if one.live_version != one.version:
                if moved & self._sources.places(one.live_expression):
                    # Who is looked at until then is evaluated by where the places are.
                    edit.segments.append(replace(one, live_since=catalogue.generation + 1))
            elif moved & rule.places:
                backfill = backfill_of(one.segment_id, one.version, [rule], now)
                if one.state == "active":
                    backfill = replace(backfill, phase="members", whole=False)
                find_anew(edit, one, backfill)
        return edit
