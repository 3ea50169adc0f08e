"""Places that move: whoever is near one by a segment's rule is found anew."""

from collections.abc import Sequence

from msgspec.structs import replace

from chassis.clock import Clock
from chassis.postgres import Connection
from services.segment.definitions import Catalogue, Edit, Sources, backfill_of, later
from services.segment.definitions_store import DefinitionsStore
from services.segment.things import PlaceRecord
from services.segment.things_store import put_places


class PlaceDefinitions:
    """Keeps places; they are a part of the definitions, since rules look at them."""

    def __init__(self, store: DefinitionsStore, clock: Clock, sources: Sources) -> None:
        self._store = store
        self._clock = clock
        self._sources = sources

    async def take(self, changes: Sequence[PlaceRecord]) -> None:
        """Keep what is told where it is later, as the next generation when a place moved."""
        moved: set[str] = set()

        async def put(connection: Connection) -> None:
            moved.update(await put_places(connection, changes))

        def decide(catalogue: Catalogue) -> Edit | None:
            return self._edit(catalogue, moved) if moved else None

        await self._store.edit(decide, put)

    def _edit(self, catalogue: Catalogue, moved: set[str]) -> Edit:
        """The members of active segments that look at these places are found anew. Those that are
        being found look at them as they are, as soon as the version comes into force."""
        now = self._clock.now()
        edit = Edit()
        if not catalogue.contacts:
            return edit
        for one in catalogue.segments.values():
            if one.state != "active" or not moved & self._sources.places(one.expression):
                continue
            backfill = replace(backfill_of(one.segment_id, one.version, [], now), phase="members")
            edit.backfills.append(backfill)
            edit.segments.append(
                replace(
                    one,
                    state="backfilling",
                    backfill_id=backfill.backfill_id,
                    edit=one.edit + 1,
                    update_time=later(now, one),
                )
            )
        return edit
